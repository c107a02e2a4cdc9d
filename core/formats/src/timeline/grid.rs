//! Puts rounded or jittering timestamps of one track back on the grid on which they were made.
//!
//! In → Out: decoding times as the protocol rounds them → exact multiples of the track's cadence, strictly increasing.
//! Audio holds its grid as long as the stamps stay near, since samples follow each other without holes; video holds it
//! only where rounding explains the difference, since its frames may really come at uneven times.
//! A grid that lies to one side of the stamps for a while is moved towards them in small steps (a clock that drifts).
//! Spec: none; our own.

use media::{Delta, Duration, Rounding, Timescale, Timestamp, TrackKind};

/// The exact distance between units: `units / per_second` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Ticks that a unit lasts; not zero.
    pub ticks: u32,
    /// Ticks per second.
    pub timescale: Timescale,
}

impl Cadence {
    /// A distance of `ticks` in `timescale`; `None` for zero ticks.
    pub fn new(ticks: u32, timescale: Timescale) -> Option<Self> {
        (ticks > 0).then_some(Self { ticks, timescale })
    }

    /// The nearest frame rate in common use, or the distance as it is. `None` for zero.
    pub fn from_frame_duration(duration: Duration) -> Option<Self> {
        let nanos = i64::try_from(duration.as_nanos()).ok()?;
        let common = RATES.into_iter().find_map(|(frames, ticks)| {
            let exact = 1_000_000_000 * i64::from(ticks) / i64::from(frames);
            ((nanos - exact).abs() <= exact / 4_000)
                .then(|| Self::new(ticks, Timescale::new(frames)?))?
        });
        common.or_else(|| Self::new(u32::try_from(nanos).ok()?, Timescale::new(1_000_000_000)?))
    }

    fn at(self, index: i64) -> Delta {
        Timestamp::from_ticks(index.saturating_mul(i64::from(self.ticks)), self.timescale)
            .since(Timestamp::ZERO)
    }

    /// How long one unit lasts.
    pub fn duration(self) -> Duration {
        Duration::from_ticks(self.ticks, self.timescale)
    }

    fn nanos(self) -> i64 {
        self.at(1).as_nanos().max(1)
    }
}

/// Frame rates in common use as (time scale, ticks a frame).
const RATES: [(u32, u32); 14] = [
    (24_000, 1_001),
    (24, 1),
    (25, 1),
    (30_000, 1_001),
    (30, 1),
    (48, 1),
    (50, 1),
    (60_000, 1_001),
    (60, 1),
    (10, 1),
    (12, 1),
    (15, 1),
    (20, 1),
    (120, 1),
];

/// The grid of one track.
#[derive(Debug)]
pub(super) struct Grid {
    kind: TrackKind,
    cadence: Option<Cadence>,
    /// Where the grid begins, and how many cadences after it the last unit stands.
    anchor: Timestamp,
    index: i64,
    last: Option<Placing>,
    /// The next unit begins a new grid.
    fresh: bool,
    errors: Errors,
    /// Video: recent stamps off the grid; many of them mean that the cadence is wrong.
    misses: u32,
    /// Video without a cadence: how it is found.
    estimate: Estimate,
}

#[derive(Clone, Copy, Debug)]
struct Placing {
    placed: Timestamp,
    step: Duration,
    step_before: Duration,
}

/// How far audio may be from its grid before the grid is given up, in nanoseconds.
const AUDIO_TOLERANCE: i64 = 120_000_000;
/// How far rounding of two stamps to milliseconds can move video, with a little room.
const VIDEO_TOLERANCE: i64 = 1_500_000;
/// How far to one side all recent stamps must lie before the grid moves.
const AUDIO_ONE_SIDED: i64 = 5_000_000;
const VIDEO_ONE_SIDED: i64 = 600_000;
/// The shortest step between two units.
const STEP_MIN: Duration = Duration::from_millis(1);
/// So many recent misses and the cadence is thrown away.
const MISSES_MAX: u32 = 24;

impl Grid {
    pub(super) fn new(kind: TrackKind) -> Self {
        Self {
            kind,
            cadence: None,
            anchor: Timestamp::ZERO,
            index: 0,
            last: None,
            fresh: true,
            errors: Errors::default(),
            misses: 0,
            estimate: Estimate::default(),
        }
    }

    pub(super) fn set_cadence(&mut self, cadence: Option<Cadence>) {
        if cadence != self.cadence {
            self.cadence = cadence;
            self.misses = 0;
            self.restart();
        }
    }

    /// Forgets where the grid stands; the next unit begins a new one.
    pub(super) fn restart(&mut self) {
        self.errors = Errors::default();
        self.estimate = Estimate::default();
        self.fresh = true;
    }

    /// Places the unit that the protocol puts at `given`. `None` for audio that overlaps what was placed before.
    pub(super) fn place(&mut self, given: Timestamp) -> Option<Timestamp> {
        let Some(last) = self.last.filter(|_| !self.fresh) else {
            return Some(self.begin(given));
        };
        let placed = match (self.kind, self.cadence) {
            (_, None) => {
                self.learn(given);
                self.after(given)
            }
            (TrackKind::Audio, Some(cadence)) => self.place_audio(cadence, given)?,
            (TrackKind::Video, Some(cadence)) => self.place_video(cadence, last, given),
        };
        Some(self.remember(placed))
    }

    /// How long the last unit lasts, as far as can be told.
    pub(super) fn duration(&self) -> Option<Duration> {
        let usual = self.cadence.map(Cadence::duration);
        match self.kind {
            TrackKind::Audio => usual,
            // A publisher that sends every second frame does so for a while; one long step alone is a frame left out.
            TrackKind::Video => {
                let steady = self.last.filter(|last| {
                    let change = last.step.as_nanos().abs_diff(last.step_before.as_nanos());
                    last.step > Duration::ZERO && (usual.is_none() || change <= 2_000_000)
                });
                steady.map(|last| last.step).or(usual)
            }
        }
    }

    /// A composition offset put back on the grid, in nanoseconds.
    pub(super) fn snap(&self, composition: i64) -> i64 {
        let Some(cadence) = self.cadence.filter(|_| self.kind == TrackKind::Video) else {
            return composition;
        };
        let frames = (2 * composition + cadence.nanos()).div_euclid(2 * cadence.nanos());
        let exact = cadence.at(frames).as_nanos();
        if (exact - composition).abs() <= VIDEO_TOLERANCE {
            exact
        } else {
            composition
        }
    }

    fn begin(&mut self, given: Timestamp) -> Timestamp {
        self.fresh = false;
        let start = self.after(given);
        self.anchor_at(start);
        self.remember(self.anchor)
    }

    /// `given`, or the earliest time after the last unit.
    fn after(&self, given: Timestamp) -> Timestamp {
        self.last
            .map_or(given, |last| given.max(last.placed + STEP_MIN))
    }

    /// Begins the grid here; that of audio on a whole sample, so that every unit stands on one.
    fn anchor_at(&mut self, time: Timestamp) {
        self.anchor = match self.cadence {
            Some(cadence) if self.kind == TrackKind::Audio => Timestamp::from_ticks(
                time.to_ticks(cadence.timescale, Rounding::Up),
                cadence.timescale,
            ),
            _ => time,
        };
        self.index = 0;
        self.errors = Errors::default();
    }

    fn remember(&mut self, placed: Timestamp) -> Timestamp {
        let step = self
            .last
            .and_then(|last| placed.since(last.placed).to_duration());
        // A hole says nothing of how long the unit after it lasts.
        let step = step
            .filter(|step| *step < Duration::from_secs(1))
            .unwrap_or_default();
        let step_before = self.last.map_or(Duration::ZERO, |last| last.step);
        self.last = Some(Placing {
            placed,
            step,
            step_before,
        });
        placed
    }

    fn place_audio(&mut self, cadence: Cadence, given: Timestamp) -> Option<Timestamp> {
        let expected = self.anchor + cadence.at(self.index + 1);
        let error = given.since(expected).as_nanos();
        if error < -AUDIO_TOLERANCE {
            return None;
        }
        if error > AUDIO_TOLERANCE {
            self.anchor_at(given);
            return Some(self.anchor);
        }
        self.index += 1;
        self.errors.push(error);
        if let Some(side) = self.errors.one_sided(AUDIO_ONE_SIDED) {
            self.slew(cadence, side, cadence.nanos() / 64);
        }
        Some(self.anchor + cadence.at(self.index))
    }

    fn place_video(&mut self, cadence: Cadence, last: Placing, given: Timestamp) -> Timestamp {
        let frame = cadence.nanos();
        let ahead = given.since(last.placed).as_nanos();
        let frames = ((2 * ahead + frame).div_euclid(2 * frame)).max(1);
        let expected = self.anchor + cadence.at(self.index + frames);
        let error = given.since(expected).as_nanos();
        if error.abs() > VIDEO_TOLERANCE {
            self.misses += 2;
            if self.misses > MISSES_MAX {
                self.cadence = None;
                self.estimate = Estimate::default();
            }
            let time = self.after(given);
            self.anchor_at(time);
            return time;
        }
        self.misses = self.misses.saturating_sub(1);
        self.index += frames;
        self.errors.push(error);
        if let Some(side) = self.errors.off_centre(VIDEO_ONE_SIDED) {
            self.anchor = self.anchor + Delta::from_nanos(side.clamp(-50_000, 50_000));
        }
        self.after(self.anchor + cadence.at(self.index))
    }

    /// Moves the grid towards the stamps by whole ticks, `limit` nanoseconds at most.
    fn slew(&mut self, cadence: Cadence, side: i64, limit: i64) {
        let ticks_max = Delta::from_nanos(limit).to_ticks(cadence.timescale, Rounding::Down);
        let wanted = Delta::from_nanos(side).to_ticks(cadence.timescale, Rounding::Nearest);
        let ticks = wanted.clamp(-ticks_max, ticks_max);
        self.anchor =
            self.anchor + Timestamp::from_ticks(ticks, cadence.timescale).since(Timestamp::ZERO);
    }

    fn learn(&mut self, given: Timestamp) {
        if self.kind == TrackKind::Video
            && let Some(cadence) = self.estimate.push(given)
        {
            self.cadence = Some(cadence);
            self.misses = 0;
            let time = self.after(given);
            self.anchor_at(time);
        }
    }
}

const WINDOW: usize = 32;

/// The last differences between stamps and grid, in nanoseconds.
#[derive(Debug, Default)]
struct Errors {
    ring: [i64; WINDOW],
    count: usize,
}

impl Errors {
    fn push(&mut self, error: i64) {
        self.ring[self.count % WINDOW] = error;
        self.count += 1;
    }

    fn range(&self) -> Option<(i64, i64)> {
        let filled = self.count >= WINDOW;
        filled.then(|| {
            self.ring
                .iter()
                .fold((i64::MAX, i64::MIN), |(low, high), &e| {
                    (low.min(e), high.max(e))
                })
        })
    }

    /// The difference nearest to zero, if all lie more than `limit` to one side.
    fn one_sided(&self, limit: i64) -> Option<i64> {
        let (low, high) = self.range()?;
        if low > limit {
            Some(low)
        } else {
            (high < -limit).then_some(high)
        }
    }

    /// The middle of all differences, if it is more than `limit` off.
    fn off_centre(&self, limit: i64) -> Option<i64> {
        let (low, high) = self.range()?;
        let middle = i64::midpoint(low, high);
        (middle.abs() > limit).then_some(middle)
    }
}

/// Finds the cadence of evenly spaced stamps.
#[derive(Debug, Default)]
struct Estimate {
    first: Option<Timestamp>,
    previous: Option<Timestamp>,
    steps: i64,
    shortest: i64,
    longest: i64,
}

impl Estimate {
    const STEPS: i64 = 60;

    fn push(&mut self, given: Timestamp) -> Option<Cadence> {
        let (Some(first), Some(previous)) = (self.first, self.previous) else {
            *self = Self {
                first: Some(given),
                previous: Some(given),
                ..Self::default()
            };
            return None;
        };
        let step = given.since(previous).as_nanos();
        self.previous = Some(given);
        self.shortest = if self.steps == 0 {
            step
        } else {
            self.shortest.min(step)
        };
        self.longest = if self.steps == 0 {
            step
        } else {
            self.longest.max(step)
        };
        self.steps += 1;
        if step <= 0 || self.longest - self.shortest > 2 * VIDEO_TOLERANCE {
            *self = Self {
                first: Some(given),
                previous: Some(given),
                ..Self::default()
            };
            return None;
        }
        if self.steps < Self::STEPS {
            return None;
        }
        let mean = given.since(first).as_nanos() / self.steps;
        *self = Self::default();
        // Sixty steps tell the mean to a sixtieth of a millisecond: enough to name the rate, too little to keep.
        let uncertain = 1_000_000 / Self::STEPS * 2;
        let common = RATES
            .into_iter()
            .filter_map(|(frames, ticks)| Cadence::new(ticks, Timescale::new(frames)?));
        let nearest = common.min_by_key(|cadence| (cadence.nanos() - mean).abs())?;
        if (nearest.nanos() - mean).abs() <= uncertain {
            return Some(nearest);
        }
        Cadence::new(u32::try_from(mean).ok()?, Timescale::new(1_000_000_000)?)
    }
}
