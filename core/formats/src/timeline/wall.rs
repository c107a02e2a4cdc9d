//! When a media time happened by the server's clock.
//!
//! In → Out: (PTS, arrival) pairs → wall-clock time of each PTS, growing with it.
//! Nothing can arrive before it happened, and the network and the encoder only ever add delay: so the least of recent
//! (arrival − PTS) is the best guess, and neither a burst at the start nor jitter disturbs it. The guess is moved towards
//! a new least in slopes along PTS, never in steps.
//! Spec: none; our own.

use media::{Delta, Timestamp, UnixTime};

use super::least::Least;

/// The mapping from media time to wall-clock time of one session.
#[derive(Debug)]
pub(super) struct WallClock {
    /// The least (arrival − PTS) of late, in nanoseconds since 1970.
    least: Least,
    started: Option<Timestamp>,
    /// The greatest PTS so far.
    latest: Timestamp,
    /// The slope in use first, then those before it, for pictures that come after others in decoding order.
    slopes: [Slope; SLOPES],
}

/// With [`SLOPE_LENGTH`] 0.8 s: more than sixteen frames of reordering at common rates.
const SLOPES: usize = 8;
/// A slope is chosen anew after this much media time, in nanoseconds.
const SLOPE_LENGTH: i64 = 100_000_000;
/// In the first seconds the guess follows quickly: a burst at the start is the rule.
const START_LENGTH: i64 = 3_000_000_000;

/// From `from` on the anchor moves by `per_thousand` of media time until it reaches `target`.
#[derive(Clone, Copy, Debug, Default)]
struct Slope {
    from: Timestamp,
    anchor: i64,
    target: i64,
    per_thousand: i64,
}

impl Slope {
    fn at(self, time: Timestamp) -> i64 {
        let passed = time.since(self.from).as_nanos().max(0);
        // Multiplied before it is divided: each nanosecond of media time moves the anchor by less than one.
        let reach = passed.saturating_mul(self.per_thousand) / 1_000;
        self.anchor + (self.target - self.anchor).clamp(-reach, reach)
    }
}

impl WallClock {
    pub(super) fn new() -> Self {
        Self {
            least: Least::new(),
            started: None,
            latest: Timestamp::from_nanos(i64::MIN),
            slopes: [Slope::default(); SLOPES],
        }
    }

    /// The wall-clock time of `pts`. `arrival` never goes back.
    pub(super) fn place(&mut self, pts: Timestamp, arrival: UnixTime) -> UnixTime {
        let now = i64::try_from(arrival.as_nanos()).unwrap_or(i64::MAX);
        let least = self.least.push(now.saturating_sub(pts.as_nanos()), arrival);
        self.latest = self.latest.max(pts);
        let latest = self.latest;
        let started = *self.started.get_or_insert_with(|| {
            self.slopes = [Slope {
                from: latest,
                anchor: least,
                target: least,
                per_thousand: 0,
            }; SLOPES];
            latest
        });
        if latest.since(self.slopes[0].from).as_nanos() >= SLOPE_LENGTH {
            let anchor = self.slopes[0].at(latest);
            let young = latest.since(started).as_nanos() < START_LENGTH;
            let per_thousand = match (anchor - least).abs() {
                // A publisher that sends much faster than time passes: do not run into the future.
                1_000_000_000.. if anchor > least => 900,
                _ if young => 900,
                _ => 20,
            };
            self.slopes.rotate_right(1);
            self.slopes[0] = Slope {
                from: latest,
                anchor,
                target: least,
                per_thousand,
            };
        }
        let slope = self
            .slopes
            .iter()
            .find(|slope| slope.from <= pts)
            .unwrap_or(&self.slopes[SLOPES - 1]);
        UnixTime::from_nanos(0) + Delta::from_nanos(slope.at(pts).saturating_add(pts.as_nanos()))
    }
}
