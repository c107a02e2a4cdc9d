//! The wall clock of the media path: read from the system once, then driven by the monotonic clock.
//!
//! In → Out: nothing → [`UnixTime`]s that never go back, also when somebody sets the system's clock.
//! Under tokio's paused time (tests) it stands still with it.
//! Spec: none; our own.

use std::time::SystemTime;

use media::{Duration, UnixTime};
use tokio::time::Instant;

/// A wall clock that cannot be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall: UnixTime,
    monotonic: Instant,
}

impl Clock {
    /// Begins at the system's time.
    pub(crate) fn start() -> Self {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            wall: UnixTime::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
            monotonic: Instant::now(),
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> UnixTime {
        self.wall + Duration::from(self.monotonic.elapsed())
    }
}
