//! The wall clock of a viewer: monotone, and set by the server's.
//!
//! In → Out: the machine's clocks and a measured offset → [`UnixTime`].
//! Spec: none; our own.

use std::time::{Duration, Instant, SystemTime};

use media::{Delta, UnixTime};

/// Reads the same instant everywhere in a run; never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    begin: Instant,
    wall: UnixTime,
}

impl Clock {
    /// This machine's clock plus `offset`.
    pub fn new(offset: Delta) -> Self {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Self {
            begin: Instant::now(),
            wall: UnixTime::from_nanos(nanos) + offset,
        }
    }

    /// Now.
    pub fn now(&self) -> UnixTime {
        self.wall + media::Duration::from(self.begin.elapsed())
    }

    /// How long until `time`; zero if it is past.
    pub fn until(&self, time: UnixTime) -> Duration {
        time.since(self.now())
            .to_duration()
            .unwrap_or_default()
            .into()
    }
}
