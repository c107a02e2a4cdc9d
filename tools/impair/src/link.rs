//! One direction of a bad link: a queue in front of a slow wire, then delay, jitter and loss.
//!
//! In → Out: packets with the time at which they were sent → the same packets with the time at which they arrive, in
//! order, or not at all. Seeded: the same seed and the same packets give the same losses and delays.
//! Spec: none; the model of RFC 8867, "Test Cases" (bottleneck, one-way delay, jitter, random and bursty loss).

use std::collections::VecDeque;
use std::time::Duration;

/// What a direction does to packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    /// Wire speed in bits per second; 0 stands for no limit.
    pub(crate) rate_bps: u64,
    /// The least time a packet takes.
    pub(crate) delay: Duration,
    /// What is added at the most, evenly spread; packets never overtake each other.
    pub(crate) jitter: Duration,
    /// The share of packets that are lost, 0–1.
    pub(crate) loss: f64,
    /// How many packets in a row are lost at a time; at least 1.
    pub(crate) burst: u32,
    /// How long a packet may wait for the wire before it is dropped instead: the bottleneck's buffer.
    pub(crate) queue: Duration,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            rate_bps: 0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: 1,
            queue: Duration::from_millis(200),
        }
    }
}

/// What became of all packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Packets that arrived or are on their way.
    pub(crate) carried: u64,
    /// Packets lost on the wire.
    pub(crate) lost: u64,
    /// Packets for which the queue had no room.
    pub(crate) dropped: u64,
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Link {
    shape: Shape,
    random: u64,
    wire_free: Duration,
    last_arrival: Duration,
    losing: u32,
    flight: VecDeque<(Duration, Vec<u8>)>,
    tally: Tally,
}

impl Link {
    /// A direction of the given shape.
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        Self {
            shape,
            random: seed ^ 0x9e37_79b9_7f4a_7c15,
            wire_free: Duration::ZERO,
            last_arrival: Duration::ZERO,
            losing: 0,
            flight: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Changes what happens to packets that are sent from now on.
    pub(crate) fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    /// A packet is sent at `now`, a time that never goes back.
    pub(crate) fn handle_packet(&mut self, now: Duration, packet: &[u8]) {
        let start = self.wire_free.max(now);
        if start.saturating_sub(now) > self.shape.queue {
            self.tally.dropped += 1;
            return;
        }
        self.wire_free = start + self.serialisation(packet.len());
        if self.is_lost() {
            self.tally.lost += 1;
            return;
        }
        let jitter = self.shape.jitter.mul_f64(self.unit());
        let arrival = (self.wire_free + self.shape.delay + jitter).max(self.last_arrival);
        self.last_arrival = arrival;
        self.tally.carried += 1;
        self.flight.push_back((arrival, packet.to_vec()));
    }

    /// The next packet that has arrived by `now`.
    pub(crate) fn poll_packet(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.flight
            .pop_front_if(|(arrival, _)| *arrival <= now)
            .map(|(_, packet)| packet)
    }

    /// When the next packet arrives.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.flight.front().map(|(arrival, _)| *arrival)
    }

    /// What became of all packets so far.
    pub(crate) const fn tally(&self) -> Tally {
        self.tally
    }

    fn serialisation(&self, bytes: usize) -> Duration {
        let bits = bytes as u64 * 8;
        match self.shape.rate_bps {
            0 => Duration::ZERO,
            rate => Duration::from_nanos(bits.saturating_mul(1_000_000_000) / rate),
        }
    }

    fn is_lost(&mut self) -> bool {
        if self.losing > 0 {
            self.losing -= 1;
            return true;
        }
        let burst = self.shape.burst.max(1);
        let begins = self.shape.loss > 0.0 && self.unit() < self.shape.loss / f64::from(burst);
        if begins {
            self.losing = burst - 1;
        }
        begins
    }

    /// The next random number, 0 ≤ x < 1 (xorshift64*).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    fn unit(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn arrivals(
        shape: Shape,
        packets: u64,
        every: Duration,
        size: usize,
    ) -> (Vec<Duration>, Tally) {
        let mut link = Link::new(shape, 7);
        let mut times = Vec::new();
        for index in 0..packets {
            link.handle_packet(every * u32::try_from(index).unwrap(), &vec![0; size]);
            while let Some(at) = link.next_timeout() {
                times.push(at);
                link.poll_packet(at).unwrap();
            }
        }
        (times, link.tally())
    }

    #[test]
    fn a_clean_link_adds_its_delay_and_the_time_on_the_wire() {
        let shape = Shape {
            rate_bps: 1_000_000,
            delay: millis(20),
            ..Shape::default()
        };
        let (times, _) = arrivals(shape, 2, millis(50), 1_250);
        assert_eq!(times, [millis(30), millis(80)]);
    }

    #[test]
    fn packets_wait_for_the_wire_and_are_dropped_when_its_queue_is_full() {
        let shape = Shape {
            rate_bps: 1_000_000,
            queue: millis(25),
            ..Shape::default()
        };
        let (times, tally) = arrivals(shape, 6, Duration::ZERO, 1_250);
        assert_eq!(times, [millis(10), millis(20), millis(30)]);
        assert_eq!((tally.carried, tally.dropped), (3, 3));
    }

    #[test]
    fn jitter_never_reorders_and_stays_within_its_bounds() {
        let shape = Shape {
            delay: millis(20),
            jitter: millis(10),
            ..Shape::default()
        };
        let (times, _) = arrivals(shape, 2_000, millis(1), 100);
        assert!(times.is_sorted());
        let late = |(index, at): (usize, &Duration)| at.saturating_sub(millis(index as u64 + 20));
        assert!(
            times
                .iter()
                .enumerate()
                .map(late)
                .all(|late| late <= millis(10))
        );
    }

    #[test]
    fn the_share_of_lost_packets_is_what_was_asked_for_also_in_bursts() {
        for burst in [1, 3] {
            let shape = Shape {
                loss: 0.05,
                burst,
                ..Shape::default()
            };
            let (_, tally) = arrivals(shape, 100_000, millis(1), 100);
            assert!((4_500..5_500).contains(&tally.lost), "{tally:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_fate() {
        let shape = Shape {
            loss: 0.1,
            jitter: millis(5),
            ..Shape::default()
        };
        assert_eq!(
            arrivals(shape, 500, millis(3), 64),
            arrivals(shape, 500, millis(3), 64)
        );
    }
}
