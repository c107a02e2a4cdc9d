//! A token bucket: how often something may happen, with room for a burst.
//!
//! In → Out: a request at a time → how much of it fits.
//! Kept in thousandths of a token, so that slow rates do not lose their fractions.
//! Spec: `docs/ix.md`, "Limits".

use media::UnixTime;

/// Tokens per second and the most that can be saved up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come each second.
    pub per_second: u32,
    /// The most that can be there; at least 1 or nothing ever passes.
    pub burst: u32,
}

impl Rate {
    /// `per_second` tokens a second and a burst of `burst`.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// The state of one bucket. Sixteen bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// May be negative: what was taken on credit has to come back first.
    millitokens: i64,
    at: UnixTime,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn full(rate: Rate, now: UnixTime) -> Self {
        Self {
            millitokens: i64::from(rate.burst) * 1_000,
            at: now,
        }
    }

    /// Takes up to `wanted` tokens and says how many it got.
    pub(crate) fn take(&mut self, rate: Rate, wanted: u32, now: UnixTime) -> u32 {
        self.take_units(rate, 1, wanted, now)
    }

    /// Takes up to `wanted` units of `unit` tokens each and says how many units it got. Large units come rarely and by chance
    /// a few in a row: up to [`Bucket::CREDIT`] of them are given on credit, so that the long-term rate is still `rate`.
    pub(crate) fn take_units(&mut self, rate: Rate, unit: u32, wanted: u32, now: UnixTime) -> u32 {
        self.refill(rate, now);
        let size = i64::from(unit.max(1)) * 1_000;
        let credit = if unit > 1 { Self::CREDIT * size } else { 0 };
        let taken = i64::from(wanted).min((self.millitokens + credit).max(0) / size);
        self.millitokens -= taken * size;
        u32::try_from(taken).unwrap_or(u32::MAX)
    }

    const CREDIT: i64 = 8;

    fn refill(&mut self, rate: Rate, now: UnixTime) {
        // A wall clock may step back: then nothing is added, and the bucket goes on from the new time.
        let millis = now
            .since(self.at)
            .to_duration()
            .map_or(0, media::Duration::as_millis);
        let added = i64::try_from(millis)
            .unwrap_or(i64::MAX)
            .saturating_mul(i64::from(rate.per_second));
        self.millitokens = self
            .millitokens
            .saturating_add(added)
            .min(i64::from(rate.burst) * 1_000);
        // Only whole milliseconds were paid out, so only those are used up.
        self.at = if now < self.at {
            now
        } else {
            self.at + media::Duration::from_millis(millis)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate::new(2, 5);
        let at = UnixTime::from_millis;
        let mut bucket = Bucket::full(rate, at(1_000));
        assert_eq!(bucket.take(rate, 9, at(1_000)), 5);
        assert_eq!(bucket.take(rate, 1, at(1_400)), 0);
        assert_eq!(bucket.take(rate, 1, at(1_500)), 1);
        assert_eq!(bucket.take(rate, 9, at(60_000)), 5);
    }

    #[test]
    fn large_units_come_on_credit_and_keep_the_rate() {
        let rate = Rate::new(10, 30);
        let mut bucket = Bucket::full(rate, UnixTime::from_millis(0));
        assert_eq!(
            bucket.take_units(rate, 64, 100, UnixTime::from_millis(0)),
            8
        );
        let taken: u32 = (1..=1_000)
            .map(|second| bucket.take_units(rate, 64, 5, UnixTime::from_millis(second * 1_000)))
            .sum();
        assert!((155..=157).contains(&taken), "{taken}");
    }

    #[test]
    fn a_clock_that_steps_back_neither_fills_nor_blocks_a_bucket() {
        let rate = Rate::new(1, 1);
        let at = UnixTime::from_millis;
        let mut bucket = Bucket::full(rate, at(10_000));
        assert_eq!(bucket.take(rate, 1, at(10_000)), 1);
        assert_eq!(bucket.take(rate, 1, at(5_000)), 0);
        assert_eq!(bucket.take(rate, 1, at(6_000)), 1);
    }
}
