//! Who is there: exactly while a room is small, as an estimate with its error when it is large.
//!
//! In → Out: heartbeats, each with the sampling its sender applied → [`Viewers`], and a draw of present viewers.
//! A heartbeat kept with probability 1/N stands for N viewers; its variance is N(N−1). Both are summed over one period.
//! Spec: `docs/ix.md`, "Viewer count" (Horvitz–Thompson estimate of a total).

use std::collections::BTreeMap;

use media::{Duration, UnixTime};

use crate::intake::Present;
use crate::{Prefix, Random, ViewerId, Viewers};

/// A viewer whom the room knows by id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    last: UnixTime,
    /// Since when.
    pub(crate) since: UnixTime,
    /// From which network.
    pub(crate) prefix: Prefix,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    second: u64,
    viewers: u64,
    variance: u64,
}

/// The viewers of one room.
#[derive(Debug)]
pub(crate) struct Presence {
    seen: BTreeMap<ViewerId, Seen>,
    seen_max: usize,
    period: Duration,
    /// Heartbeats by second, newest last; at most one a second of one period and a bit.
    slices: Vec<Slice>,
    /// Until when the count is an estimate: someone did not fit or sampled.
    estimate_until: UnixTime,
    /// When it was last counted.
    counted: UnixTime,
}

impl Presence {
    pub(crate) fn new(seen_max: usize, period: Duration) -> Self {
        Self {
            seen: BTreeMap::new(),
            seen_max,
            period,
            slices: Vec::new(),
            estimate_until: UnixTime::default(),
            counted: UnixTime::default(),
        }
    }

    /// A heartbeat of a viewer whom a collector named.
    pub(crate) fn handle_heartbeat(
        &mut self,
        present: &Present,
        random: &mut Random,
        now: UnixTime,
    ) {
        self.handle_unnamed(u64::from(present.one_in), variance(present.one_in), now);
        if present.one_in > 1 {
            self.estimate_until = now + self.period.times(2);
        }
        if let Some(seen) = self.seen.get_mut(&present.viewer) {
            seen.last = now;
            return;
        }
        if self.seen.len() >= self.seen_max {
            self.estimate_until = now + self.period.times(2);
            // A full table keeps a sample: a newcomer takes the place of a random viewer.
            let from = ViewerId(random.next_u64());
            let victim = self
                .seen
                .range(from..)
                .next()
                .or_else(|| self.seen.iter().next())
                .map(|(viewer, _)| *viewer);
            if let Some(victim) = victim {
                self.seen.remove(&victim);
            }
        }
        self.seen.insert(
            present.viewer,
            Seen {
                last: now,
                since: now,
                prefix: present.prefix,
            },
        );
    }

    /// Heartbeats of viewers whom no collector named: how many viewers they stand for, and their variance.
    pub(crate) fn handle_unnamed(&mut self, viewers: u64, variance: u64, now: UnixTime) {
        let second = now.as_millis() / 1_000;
        // A clock that stepped back goes on in the newest slice.
        if self.slices.last().is_none_or(|slice| slice.second < second) {
            self.slices.push(Slice {
                second,
                ..Slice::default()
            });
            let keep = self.period.as_millis() / 1_000 + 2;
            self.slices.retain(|slice| slice.second + keep > second);
        }
        if let Some(slice) = self.slices.last_mut() {
            slice.viewers = slice.viewers.saturating_add(viewers);
            slice.variance = slice.variance.saturating_add(variance);
        }
    }

    /// Collectors had more viewers than they name: the count is an estimate for a while.
    pub(crate) fn handle_overflow(&mut self, now: UnixTime) {
        self.estimate_until = now + self.period.times(2);
    }

    /// A page said goodbye.
    pub(crate) fn handle_leave(&mut self, viewer: ViewerId) {
        self.seen.remove(&viewer);
    }

    /// How many are there now. Forgets whom it has not heard of for one and a half periods.
    pub(crate) fn count(&mut self, now: UnixTime) -> Viewers {
        self.counted = now;
        let lifetime = self.lifetime();
        self.seen.retain(|_, seen| seen.last + lifetime > now);
        if now >= self.estimate_until {
            return Viewers {
                count: self.seen.len() as u64,
                error: 0,
            };
        }
        let (mut viewers, mut variance) = (0_u64, 0_u64);
        let period = self.period.as_millis();
        let start = now.as_millis().saturating_sub(period);
        for slice in &self.slices {
            // The oldest slice is only partly inside the period.
            let inside = (slice.second * 1_000 + 1_000)
                .saturating_sub(start)
                .min(1_000);
            viewers = viewers.saturating_add(slice.viewers * inside / 1_000);
            variance = variance.saturating_add(slice.variance * inside / 1_000);
        }
        Viewers {
            count: viewers,
            error: variance.isqrt().saturating_mul(196) / 100,
        }
    }

    /// When the count may fall without anything else happening; `None` if nobody is there.
    pub(crate) fn next_change(&self) -> Option<UnixTime> {
        let oldest = self.seen.values().map(|seen| seen.last).min();
        let expiry = oldest.map(|last| last + self.lifetime());
        let estimate = if self.counted < self.estimate_until {
            Some(self.counted + Duration::from_secs(1))
        } else {
            None
        };
        match (expiry, estimate) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// A viewer whom the room knows.
    pub(crate) fn seen(&self, viewer: ViewerId) -> Option<&Seen> {
        self.seen.get(&viewer)
    }

    /// All viewers whom the room knows, in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ViewerId, &Seen)> {
        self.seen.iter().map(|(viewer, seen)| (*viewer, seen))
    }

    fn lifetime(&self) -> Duration {
        Duration::from_nanos(self.period.as_nanos() / 2 * 3)
    }
}

/// The variance that one heartbeat kept with probability 1/N adds.
pub(crate) fn variance(one_in: u32) -> u64 {
    u64::from(one_in) * u64::from(one_in.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(10);

    fn present(viewer: u64, one_in: u32) -> Present {
        Present {
            viewer: ViewerId(viewer),
            prefix: Prefix(0),
            name: None,
            one_in,
            joined: false,
        }
    }

    #[test]
    fn a_small_room_is_counted_exactly_and_without_a_saw_tooth() {
        let mut presence = Presence::new(2_048, PERIOD);
        let mut random = Random::new(1);
        let mut counts = Vec::new();
        for milli in (0..120_000_u64).step_by(100) {
            let now = UnixTime::from_millis(1_000_000 + milli);
            for viewer in 0..50 {
                if (milli + viewer * 137) % 10_000 < 100 {
                    presence.handle_heartbeat(&present(viewer, 1), &mut random, now);
                }
            }
            if milli > 11_000 {
                counts.push(presence.count(now));
            }
        }
        assert!(counts.iter().all(|viewers| *viewers
            == Viewers {
                count: 50,
                error: 0
            }));
    }

    #[test]
    fn ix_19_sampled_counts_stay_within_their_stated_error() {
        let mut inside = 0;
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let mut presence = Presence::new(256, PERIOD);
            for milli in (0..10_000).step_by(10) {
                let now = UnixTime::from_millis(1_000_000 + milli);
                for _ in 0..50 {
                    if random.below(16) == 0 {
                        presence.handle_heartbeat(
                            &present(random.next_u64(), 16),
                            &mut random,
                            now,
                        );
                    }
                }
            }
            let viewers = presence.count(UnixTime::from_millis(1_010_000));
            assert!(viewers.error > 0 && viewers.error < 3_000, "{viewers:?}");
            inside += u32::from(viewers.count.abs_diff(50_000) <= viewers.error);
        }
        assert!(inside >= 88, "{inside} of 100 inside a 95 % interval");
    }

    #[test]
    fn ix_19_repeated_heartbeats_and_a_clock_that_steps_count_nobody_twice() {
        let mut presence = Presence::new(16, PERIOD);
        let mut random = Random::new(1);
        for millis in [50_000, 50_001, 40_000, 60_000, 50_500] {
            presence.handle_heartbeat(&present(7, 1), &mut random, UnixTime::from_millis(millis));
        }
        assert_eq!(
            presence.count(UnixTime::from_millis(50_600)),
            Viewers { count: 1, error: 0 }
        );
        assert_eq!(
            presence.count(UnixTime::from_millis(90_000)),
            Viewers { count: 0, error: 0 }
        );
    }
}
