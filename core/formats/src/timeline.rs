//! The one timestamp normaliser: whatever a publisher's clocks do becomes one clean timeline.
//!
//! In → Out: a protocol's timestamp and the arrival time of each access unit → PTS, DTS, duration and wall-clock time.
//! Counters that wrap go on; what was rounded to the protocol's ticks is put back on the track's exact grid; jumps,
//! steps back and silences are named once and closed up. DTS strictly increases within a track, whatever comes in.
//! Time starts at zero with the first unit of a session; a second track may begin a little before zero.
//! Spec: Adobe RTMP 1.0, 4 "Byte Order, Alignment, and Time Format" (wrap); the rest is our own.

mod drift;
mod grid;
mod least;
mod wall;

use media::{Delta, DiscontinuityReason, Duration, Timescale, Timestamp, TrackKind, UnixTime};

use drift::Drift;
pub use grid::Cadence;
use grid::Grid;
use wall::WallClock;

/// A protocol's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Ticks per second.
    pub timescale: Timescale,
    /// After how many bits the counter wraps: 1–63.
    pub bits: u32,
}

impl Clock {
    /// RTMP: milliseconds in 32 bits.
    pub const RTMP: Self = Self {
        timescale: Timescale::MILLIS,
        bits: 32,
    };
}

/// When a unit is decoded and shown, as the protocol says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Decoding time in ticks of the [`Clock`]; wraps.
    pub dts: u64,
    /// Presentation after decoding, in the same ticks.
    pub composition: i64,
}

/// Where a unit stands on the session's timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Set on the first unit after a break in the timeline.
    pub discontinuity: Option<DiscontinuityReason>,
    /// Presentation time, not before `dts`.
    pub pts: Timestamp,
    /// Decoding time, after that of every unit of the track before.
    pub dts: Timestamp,
    /// Exact for audio, nominal for video; `None` while nothing is known.
    pub duration: Option<Duration>,
    /// Wall-clock time of `pts`; grows with it within a session.
    pub wall: UnixTime,
}

/// The normaliser of one session. Its memory does not grow.
#[derive(Debug)]
pub struct Normaliser {
    clock: Clock,
    video: TrackState,
    audio: TrackState,
    session: Option<SessionState>,
    rebase: Option<Rebase>,
    drift: Drift,
    wall: WallClock,
}

/// What all tracks share, since the first unit.
#[derive(Clone, Copy, Debug)]
struct SessionState {
    /// The latest counter value of any track, as it came and unwrapped.
    counter: Counter,
    /// What is added to unwrapped time; that of the track that came last.
    offset: Delta,
    /// The latest decoding time of any track before smoothing, and when it arrived.
    latest: Timestamp,
    arrival: UnixTime,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    raw: u64,
    unwrapped: i64,
}

/// A break in the timeline that the other track has not met yet.
#[derive(Clone, Copy, Debug)]
struct Rebase {
    offset: Delta,
    arrival: UnixTime,
}

#[derive(Debug)]
struct TrackState {
    grid: Grid,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    counter: Counter,
    offset: Delta,
    /// Decoding time before smoothing.
    time: Timestamp,
    step: Duration,
    arrival: UnixTime,
}

/// Steps back beyond this break the timeline; smaller ones are closed up in place.
const BACKWARDS: i64 = 500_000_000;
/// Steps ahead beyond this, and beyond what the wall clock explains by as much, break the timeline.
const LEAP: i64 = 2_000_000_000;
/// A track whose first stamp is further from the other's than this has a clock of its own.
const OWN_CLOCK: i64 = 10_000_000_000;
/// For so long the second track may take the same leap as the first without another break.
const SAME_LEAP: i64 = 5_000_000_000;
/// Composition offsets beyond this are nonsense, in nanoseconds.
const COMPOSITION_MAX: i64 = 5_000_000_000;

impl Normaliser {
    /// A normaliser for a session on this clock.
    pub fn new(clock: Clock) -> Self {
        let track = |kind| TrackState {
            grid: Grid::new(kind),
            last: None,
        };
        Self {
            clock,
            video: track(TrackKind::Video),
            audio: track(TrackKind::Audio),
            session: None,
            rebase: None,
            drift: Drift::new(),
            wall: WallClock::new(),
        }
    }

    /// Tells the exact distance of a track's units: samples per unit over sample rate, or the nominal frame length.
    pub fn set_cadence(&mut self, kind: TrackKind, cadence: Option<Cadence>) {
        self.track(kind).grid.set_cadence(cadence);
    }

    /// Places a unit. Units come in decoding order within a track; `arrival` never goes back.
    /// `None` for audio that overlaps what is already there: it is to be dropped.
    pub fn place(&mut self, kind: TrackKind, stamp: Stamp, arrival: UnixTime) -> Option<Placed> {
        let (time, counter, offset, discontinuity) = self.unify(kind, stamp.dts, arrival);
        let composition = Timestamp::from_ticks(stamp.composition, self.clock.timescale).as_nanos();
        let composition = if composition.abs() > COMPOSITION_MAX {
            0
        } else {
            composition
        };
        let last = self.track(kind).last;
        let step = last
            .and_then(|last| time.since(last.time).to_duration())
            .unwrap_or_default();
        let moved = last.is_some_and(|last| last.offset != offset);
        if moved || discontinuity.is_some() {
            self.drift.restart();
        }
        let shift = self.drift.observe(kind, time, step, arrival);
        let track = self.track(kind);
        if moved {
            track.grid.restart();
        }
        track.last = Some(Last {
            counter,
            offset,
            time,
            step,
            arrival,
        });
        let dts = track.grid.place(time + shift);
        let placed = dts.map(|dts| {
            // A unit is never shown before it is decoded: senders with negative offsets mean "at once".
            let pts = dts + Delta::from_nanos(track.grid.snap(composition).max(0));
            (dts, pts, track.grid.duration())
        });
        let latest = self
            .session
            .filter(|_| discontinuity.is_none())
            .map_or(time, |session| session.latest.max(time));
        self.session = Some(SessionState {
            counter,
            offset,
            latest,
            arrival,
        });
        let (dts, pts, duration) = placed?;
        let wall = self.wall.place(pts, arrival);
        Some(Placed {
            discontinuity,
            pts,
            dts,
            duration,
            wall,
        })
    }

    fn track(&mut self, kind: TrackKind) -> &mut TrackState {
        match kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        }
    }

    /// Unwraps the counter and shifts it onto the session's timeline.
    fn unify(
        &mut self,
        kind: TrackKind,
        raw: u64,
        arrival: UnixTime,
    ) -> (Timestamp, Counter, Delta, Option<DiscontinuityReason>) {
        let clock = self.clock;
        let session = self.session;
        let Some(session) = session else {
            let counter = Counter { raw, unwrapped: 0 };
            return (Timestamp::ZERO, counter, Delta::ZERO, None);
        };
        let at = |counter: Counter, offset: Delta| {
            Timestamp::from_ticks(counter.unwrapped, clock.timescale) + offset
        };
        let Some(last) = self.track(kind).last else {
            let counter = unwrap(session.counter, raw, clock);
            let time = at(counter, session.offset);
            let offset =
                if time.since(session.latest).magnitude().as_nanos() > OWN_CLOCK.unsigned_abs() {
                    session.offset + session.latest.since(time)
                } else {
                    session.offset
                };
            return (at(counter, offset), counter, offset, None);
        };
        let counter = unwrap(last.counter, raw, clock);
        let time = at(counter, last.offset);
        let Some(reason) = broken(last, time, session, arrival) else {
            return (time, counter, last.offset, None);
        };
        if reason == DiscontinuityReason::Gap {
            return (time, counter, last.offset, Some(reason));
        }
        if let Some(rebase) = self.rebase
            && arrival.since(rebase.arrival).as_nanos() < SAME_LEAP
            && at(counter, rebase.offset)
                .since(session.latest)
                .magnitude()
                .as_nanos()
                < LEAP.unsigned_abs()
        {
            return (at(counter, rebase.offset), counter, rebase.offset, None);
        }
        // Go on where the timeline stands, by the wall clock if the break took time.
        let silence = arrival.since(session.arrival);
        let pause = if silence.as_nanos() > 1_000_000_000 {
            silence
        } else {
            Delta::from_nanos(step_nanos(last.step))
        };
        let offset = last.offset + (session.latest + pause).since(time);
        self.rebase = Some(Rebase { offset, arrival });
        (at(counter, offset), counter, offset, Some(reason))
    }
}

/// The length of the last step, within what a frame can last.
fn step_nanos(step: Duration) -> i64 {
    i64::try_from(step.as_nanos())
        .unwrap_or(i64::MAX)
        .clamp(1_000_000, 100_000_000)
}

/// Whether a unit at `time` breaks its track's timeline, and how.
fn broken(
    last: Last,
    time: Timestamp,
    session: SessionState,
    arrival: UnixTime,
) -> Option<DiscontinuityReason> {
    let step = time.since(last.time).as_nanos();
    if step < -BACKWARDS {
        return Some(DiscontinuityReason::Backwards);
    }
    // A publisher with a picture each five seconds does not leap each time.
    let usual = i64::try_from(last.step.as_nanos())
        .unwrap_or(i64::MAX)
        .saturating_mul(3);
    if step <= LEAP.max(usual) {
        return None;
    }
    let elapsed = arrival.since(last.arrival).as_nanos();
    if step - elapsed > LEAP {
        return Some(DiscontinuityReason::Jump);
    }
    // If the other track went on meanwhile, this one has a hole and the session has none.
    let silence = time.since(session.latest).as_nanos();
    (silence > LEAP.max(usual)).then_some(DiscontinuityReason::Gap)
}

/// Goes on from `from` to the counter value `raw`, over whichever wrap makes the step short.
fn unwrap(from: Counter, raw: u64, clock: Clock) -> Counter {
    let step = wrapped_step(from.raw, raw, clock.bits);
    let near = i64::from(clock.timescale.hertz()) * 10;
    // Besides the full counter: senders that keep milliseconds in a signed number, and those that keep only the 24 bits
    // of a chunk header. They are told from a leap by both values lying next to the boundary.
    let step = [31, 24]
        .into_iter()
        .filter(|&bits| bits < clock.bits && step.abs() > near)
        .fold(step, |step, bits| {
            let size = 1_i64 << bits;
            let short = wrapped_step(from.raw, raw, bits);
            let beside = |value: u64| {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                value < near || (size - near..size + near).contains(&value)
            };
            if short.abs() <= near && beside(from.raw) && beside(raw) {
                short
            } else {
                step
            }
        });
    Counter {
        raw,
        unwrapped: from.unwrapped.saturating_add(step),
    }
}

/// The signed step from one value of a counter of `bits` bits to another.
fn wrapped_step(from: u64, to: u64, bits: u32) -> i64 {
    let shift = 64 - bits;
    (to.wrapping_sub(from) << shift).cast_signed() >> shift
}
