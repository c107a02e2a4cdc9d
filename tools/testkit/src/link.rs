//! A bad network path in virtual time, as one TCP connection lives through it.
//!
//! In → Out: how many bytes are written and when → when the last of them can be read at the other end.
//! Packets are serialised at the link's rate, delayed, jittered and lost; a lost one is sent again a round trip and a quarter
//! later; bytes come out in order, so those behind a lost one wait. Congestion control is left out: on such a path BBR keeps
//! up, Cubic does not.
//! Spec: RFC 8985 (RACK-TLP), "Reordering window" for the quarter.

use media::{Duration, UnixTime};

use crate::rng::Rng;

/// Bytes of payload in one packet.
const PACKET: usize = 1_448;
/// A packet that is lost this often gets through all the same: the run must end.
const LOSSES_MAX: u32 = 10;

/// What a path is like, one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Each packet takes at least this long.
    pub delay: Duration,
    /// And up to so much longer.
    pub jitter: Duration,
    /// Lost packets in a million.
    pub loss_per_million: u32,
    /// Bits a second.
    pub rate_bps: u64,
}

/// One direction of one connection.
#[derive(Clone, Debug)]
pub struct Link {
    config: LinkConfig,
    rng: Rng,
    /// When the sender's interface is idle again.
    idle_at: UnixTime,
    /// When the newest byte came out.
    out_at: UnixTime,
}

impl Link {
    /// An idle path.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            rng: Rng::new(seed),
            idle_at: UnixTime::default(),
            out_at: UnixTime::default(),
        }
    }

    /// Writes `bytes` at `now`; when the last of them can be read.
    pub fn send(&mut self, now: UnixTime, bytes: usize) -> UnixTime {
        let mut left = bytes.max(1);
        while left > 0 {
            let packet = left.min(PACKET);
            left -= packet;
            let nanos = packet as u64 * 8 * 1_000_000_000 / self.config.rate_bps.max(1);
            self.idle_at = self.idle_at.max(now) + Duration::from_nanos(nanos);
            let jitter = self.rng.below(self.config.jitter.as_nanos() + 1);
            let mut arrival = self.idle_at + self.config.delay + Duration::from_nanos(jitter);
            for _ in 0..LOSSES_MAX {
                if !self.rng.chance(self.config.loss_per_million) {
                    break;
                }
                let round_trip = self.config.delay.as_nanos() * 2;
                arrival = arrival + Duration::from_nanos(round_trip + round_trip / 4);
            }
            self.out_at = self.out_at.max(arrival);
        }
        self.out_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: LinkConfig = LinkConfig {
        delay: Duration::from_millis(20),
        jitter: Duration::ZERO,
        loss_per_million: 0,
        rate_bps: 8_000_000,
    };

    fn at(millis: u64) -> UnixTime {
        UnixTime::from_millis(1_000 + millis)
    }

    #[test]
    fn a_clean_path_takes_its_delay_and_the_time_to_serialise() {
        let mut link = Link::new(CLEAN, 1);
        assert_eq!(link.send(at(0), 1_000), at(21));
        assert_eq!(link.send(at(0), 1_000), at(22));
        assert_eq!(link.send(at(100), 10_000), at(130));
    }

    #[test]
    fn what_follows_a_lost_packet_waits_for_it() {
        let mut link = Link::new(
            LinkConfig {
                loss_per_million: 1_000_000,
                ..CLEAN
            },
            1,
        );
        let lost = link.send(at(0), 1_000);
        link.config.loss_per_million = 0;
        assert_eq!(lost, at(21 + 10 * 50));
        assert_eq!(link.send(at(1), 1_000), lost);
    }
}
