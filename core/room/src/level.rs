//! How far a room cuts back under load, and how it comes back without swinging.
//!
//! In → Out: what was offered in the last second → a [`Level`] and how viewers should sample.
//! The load is what would come if nobody sampled, so that sampling does not make the load look gone. Up at once; down one
//! step at a time, only when twice the load would still be fine, and later each time the room has to go up again soon.
//! Spec: `docs/ix.md`, "Levels".

use media::{Duration, UnixTime};

use crate::Policy;

/// Steps of degradation. Media is never among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything is shown.
    #[default]
    L0,
    /// Comments are ranked, join names sampled.
    L1,
    /// Taps are sampled, slow mode, longer beats, fewer comments, joins as a count only.
    L2,
    /// Slower slow mode.
    L3,
    /// Read-only; hearts stay on the tapper's own screen.
    L4,
}

impl Level {
    const ALL: [Self; 5] = [Self::L0, Self::L1, Self::L2, Self::L3, Self::L4];

    /// 0–4.
    pub const fn number(self) -> u8 {
        self as u8
    }

    fn below(self) -> Self {
        Self::ALL[usize::from(self.number().saturating_sub(1))]
    }
}

/// What one second brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Comments offered, refused ones too.
    pub(crate) comments: u32,
    /// Tap requests, each times the sampling that its sender applied.
    pub(crate) posts: u64,
    /// Viewers that came.
    pub(crate) joins: u64,
    /// How busy the process was at the best moment of that second, 0–1,000, as its owner measures it.
    pub(crate) pressure: u16,
}

impl Load {
    /// Pressure from which a room cuts back.
    const PRESSED: u16 = 500;

    fn level(self, policy: &Policy) -> Level {
        let budget = u64::from(policy.posts_per_second);
        let readable = policy.shown.per_second;
        if self.pressure >= 950 {
            Level::L4
        } else if self.pressure >= 850
            || self.comments >= readable.saturating_mul(1_000)
            || self.posts >= budget.saturating_mul(64)
        {
            Level::L3
        } else if self.pressure >= 700
            || self.comments >= readable.saturating_mul(10)
            || self.posts >= budget
            || self.joins >= budget
        {
            Level::L2
        } else if self.pressure >= Self::PRESSED || self.comments > readable || self.joins > 10 {
            Level::L1
        } else {
            Level::L0
        }
    }

    fn doubled(self) -> Self {
        // Pressure is a share of a fixed whole: doubling would never let it fall, a margin does.
        let pressure = if self.pressure == 0 {
            0
        } else {
            self.pressure + 100
        };
        Self {
            comments: self.comments * 2,
            posts: self.posts * 2,
            joins: self.joins * 2,
            pressure,
        }
    }
}

/// The state of the ladder.
#[derive(Clone, Debug)]
pub(crate) struct Ladder {
    level: Level,
    changed: UnixTime,
    /// Since when the load has been low enough for the level below.
    calm_since: Option<UnixTime>,
    /// How many times `calm` must pass; doubles when the room goes up again soon after it came down.
    patience: u32,
    tap_one_in: u32,
    /// The pressure of the second before: a process that stood still once is not a busy one.
    pressure_before: u16,
}

impl Ladder {
    /// The largest sampling.
    pub(crate) const ONE_IN_MAX: u32 = 4_096;
    const PATIENCE_MAX: u32 = 8;

    pub(crate) fn new(now: UnixTime) -> Self {
        Self {
            level: Level::L0,
            changed: now,
            calm_since: None,
            patience: 1,
            tap_one_in: 1,
            pressure_before: 0,
        }
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// One tap in so many; 0 at the last level.
    pub(crate) fn tap_one_in(&self) -> u32 {
        if self.level == Level::L4 {
            0
        } else {
            self.tap_one_in
        }
    }

    /// Whether seconds without load still matter.
    pub(crate) fn is_settled(&self) -> bool {
        self.level == Level::L0 && self.tap_one_in == 1 && self.pressure_before < Load::PRESSED
    }

    /// Takes one second's load. Pressure counts from the second time on: a machine that slept, or that was kept from
    /// running for a moment, is as fast as before when it wakes.
    pub(crate) fn observe(&mut self, load: Load, policy: &Policy, now: UnixTime) {
        let before = std::mem::replace(&mut self.pressure_before, load.pressure);
        let load = Load {
            pressure: load.pressure.min(before),
            ..load
        };
        self.sample(load.posts, policy);
        let wanted = load.level(policy);
        if wanted > self.level {
            let soon = now.since(self.changed).magnitude() < policy.calm.times(6)
                && self.changed != UnixTime::default();
            if self.level != Level::L0 || soon {
                self.patience = (self.patience * 2).min(Self::PATIENCE_MAX);
            }
            (self.level, self.changed, self.calm_since) = (wanted, now, None);
            return;
        }
        if self.level == Level::L0 || load.doubled().level(policy) >= self.level {
            self.calm_since = None;
            if self.level == Level::L0
                && now.since(self.changed).magnitude() > policy.calm.times(12)
            {
                self.patience = 1;
            }
            return;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now.since(since).magnitude() >= policy.calm.times(u64::from(self.patience)) {
            (self.level, self.changed, self.calm_since) = (self.level.below(), now, Some(now));
        }
    }

    /// Powers of two, up at once, down by half when a quarter of the budget would do.
    fn sample(&mut self, posts: u64, policy: &Policy) {
        let budget = u64::from(policy.posts_per_second).max(1);
        let needed = posts
            .div_ceil(budget)
            .next_power_of_two()
            .min(u64::from(Self::ONE_IN_MAX));
        let needed = u32::try_from(needed).unwrap_or(Self::ONE_IN_MAX).max(1);
        if needed > self.tap_one_in {
            self.tap_one_in = needed;
        } else if self.tap_one_in > 1 && posts * 4 <= budget * u64::from(self.tap_one_in) {
            self.tap_one_in /= 2;
        }
    }
}

/// One heartbeat in so many, for a room of `viewers`: the largest power of two that still brings the wanted number a
/// second. `current` keeps it from swinging around a border.
pub(crate) fn heartbeat_one_in(viewers: u64, current: u32, policy: &Policy) -> u32 {
    let per_second = viewers.saturating_mul(1_000) / policy.heartbeat_every.as_millis().max(1);
    let budget = u64::from(policy.heartbeats_per_second).max(1);
    let ratio = (per_second / budget).clamp(1, u64::from(Ladder::ONE_IN_MAX));
    let needed = 1_u32 << ratio.ilog2();
    if needed >= current || per_second * 2 <= budget * u64::from(current) {
        needed
    } else {
        current
    }
}

/// Slow mode that a level imposes by itself.
pub(crate) fn slow(level: Level) -> Duration {
    match level {
        Level::L0 | Level::L1 => Duration::ZERO,
        Level::L2 => Duration::from_secs(5),
        Level::L3 | Level::L4 => Duration::from_secs(15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ladder: &mut Ladder, second: &mut u64, seconds: u64, load: Load) -> Vec<u8> {
        let policy = Policy::default();
        let mut levels = Vec::new();
        for _ in 0..seconds {
            *second += 1;
            ladder.observe(load, &policy, UnixTime::from_millis(*second * 1_000));
            if levels.last() != Some(&ladder.level().number()) {
                levels.push(ladder.level().number());
            }
        }
        levels
    }

    #[test]
    fn load_raises_the_level_at_once_and_lowers_it_step_by_step() {
        let mut second = 1_000;
        let mut ladder = Ladder::new(UnixTime::from_millis(0));
        let flood = Load {
            comments: 8_000,
            posts: 50_000,
            ..Load::default()
        };
        assert_eq!(run(&mut ladder, &mut second, 1, flood), [3]);
        assert_eq!(ladder.tap_one_in(), 16);
        assert_eq!(
            run(&mut ladder, &mut second, 200, Load::default()),
            [3, 2, 1, 0]
        );
        assert!(ladder.is_settled());
    }

    #[test]
    fn a_load_that_swings_around_a_border_does_not_move_the_level() {
        let mut second = 1_000;
        let mut ladder = Ladder::new(UnixTime::from_millis(0));
        run(
            &mut ladder,
            &mut second,
            1,
            Load {
                posts: 5_000,
                ..Load::default()
            },
        );
        for _ in 0..100 {
            assert_eq!(
                run(
                    &mut ladder,
                    &mut second,
                    3,
                    Load {
                        posts: 4_900,
                        ..Load::default()
                    }
                ),
                [2]
            );
            assert_eq!(
                run(
                    &mut ladder,
                    &mut second,
                    3,
                    Load {
                        posts: 5_100,
                        ..Load::default()
                    }
                ),
                [2]
            );
        }
    }

    #[test]
    fn a_room_that_keeps_coming_back_up_comes_down_later_each_time() {
        let mut second = 1_000;
        let mut ladder = Ladder::new(UnixTime::from_millis(0));
        let mut waits = Vec::new();
        for _ in 0..4 {
            run(
                &mut ladder,
                &mut second,
                1,
                Load {
                    comments: 90,
                    ..Load::default()
                },
            );
            let before = second;
            while ladder.level() == Level::L2 {
                run(&mut ladder, &mut second, 1, Load::default());
            }
            waits.push(second - before);
        }
        assert!(
            waits
                .windows(2)
                .all(|pair| pair[1] > pair[0] || pair[1] >= 80),
            "{waits:?}"
        );
    }

    #[test]
    fn only_pressure_makes_a_room_read_only_and_it_passes() {
        let mut second = 1_000;
        let mut ladder = Ladder::new(UnixTime::from_millis(0));
        assert_eq!(
            run(
                &mut ladder,
                &mut second,
                2,
                Load {
                    pressure: 990,
                    ..Load::default()
                }
            ),
            [0, 4]
        );
        assert_eq!(ladder.tap_one_in(), 0);
        assert_eq!(
            run(
                &mut ladder,
                &mut second,
                300,
                Load {
                    pressure: 100,
                    ..Load::default()
                }
            ),
            [4, 3, 2, 1, 0]
        );
    }

    #[test]
    fn a_process_that_stands_still_now_and_then_stays_open() {
        let mut second = 1_000;
        let mut ladder = Ladder::new(UnixTime::from_millis(0));
        let busy = |pressure| Load {
            pressure,
            ..Load::default()
        };
        for _ in 0..10 {
            assert_eq!(run(&mut ladder, &mut second, 1, busy(1_000)), [0]);
            assert!(!ladder.is_settled(), "the next second decides");
            assert_eq!(run(&mut ladder, &mut second, 1, busy(0)), [0]);
            assert!(ladder.is_settled());
        }
    }

    #[test]
    fn heartbeats_are_sampled_to_their_budget() {
        let policy = Policy::default();
        assert_eq!(heartbeat_one_in(10_000, 1, &policy), 1);
        assert_eq!(heartbeat_one_in(1_000_000, 1, &policy), 64);
        assert_eq!(heartbeat_one_in(600_000, 64, &policy), 64);
        assert_eq!(heartbeat_one_in(200_000, 64, &policy), 16);
    }
}
