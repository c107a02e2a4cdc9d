//! The least value of the last seconds.
//!
//! In → Out: values and when they came → the least of those that came in the last ten seconds.
//! Spec: none; our own.

use media::UnixTime;

/// A sliding minimum with a grain of one second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Least {
    /// The least of each second of arrival, newest last.
    seconds: [i64; SECONDS],
    newest: u64,
}

/// How many seconds count.
const SECONDS: usize = 10;

impl Least {
    pub(super) const fn new() -> Self {
        Self {
            seconds: [i64::MAX; SECONDS],
            newest: 0,
        }
    }

    /// Takes a value in, and returns the least of the last seconds, this one included.
    pub(super) fn push(&mut self, value: i64, arrival: UnixTime) -> i64 {
        self.advance(arrival);
        let newest = &mut self.seconds[SECONDS - 1];
        *newest = (*newest).min(value);
        self.seconds.iter().copied().min().unwrap_or(value)
    }

    /// The least of the last seconds; `None` if nothing came in them.
    pub(super) fn at(&mut self, arrival: UnixTime) -> Option<i64> {
        self.advance(arrival);
        self.seconds
            .iter()
            .copied()
            .min()
            .filter(|least| *least != i64::MAX)
    }

    fn advance(&mut self, arrival: UnixTime) {
        let second = arrival.as_nanos() / 1_000_000_000;
        let passed = usize::try_from(second.saturating_sub(self.newest))
            .unwrap_or(SECONDS)
            .min(SECONDS);
        self.seconds.rotate_left(passed % SECONDS);
        self.seconds[SECONDS - passed..].fill(i64::MAX);
        self.newest = self.newest.max(second);
    }
}
