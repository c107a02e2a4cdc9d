//! One track on its way in: what is taken, what is dropped, and how long its pictures usually last.
//!
//! In → Out: access units as they come → a verdict on each; the usual distance of two units.
//! Ingest normalises time; this is the last guard, so that whatever comes, decode times of a track grow on the wire.
//!
//! Spec: ISO/IEC 14496-12, "Decoding Time to Sample Box" (decode times grow within a track).

use formats::container::fmp4::mux::TrackLayout;
use media::{AccessUnit, Duration, Timestamp, Track, TrackConfig, TrackId};

use super::hole::Cover;
use crate::timeline::DISTANCE_MIN;

/// What to do with an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Take,
    Drop,
    /// Media time is broken: begin anew with this unit.
    Jump,
}

/// One track of the session.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) layout: TrackLayout,
    declared: Option<Duration>,
    last_dts: Option<Timestamp>,
    last_random_access: Option<Timestamp>,
    refused: u32,
    usual: Duration,
    /// Distances of the last units, newest last.
    recent: Vec<u64>,
    /// The largest deviation from the usual distance in this segment.
    jitter: Duration,
    /// Where the next sample begins on the wire if nothing is missing, in ticks.
    next_ticks: Option<i64>,
    /// What its pictures cover.
    pub(super) cover: Cover,
}

/// Units further from the newest than this are not of the same timeline.
const LEAP_MAX: Duration = Duration::from_secs(10);
/// That many refused units in a row mean that the timeline moved without notice.
const REFUSED_MAX: u32 = 100;
const RECENT: usize = 15;
const USUAL: Duration = Duration::from_nanos(33_333_333);

impl Lane {
    pub(super) fn new(track: &Track) -> Self {
        let layout = TrackLayout::of(track);
        let declared = match &track.config {
            TrackConfig::Video(video) => video.frame_duration.filter(|frame| sane(*frame)),
            TrackConfig::Audio(_) => Some(Duration::from_ticks(
                layout.default_duration,
                layout.timescale,
            )),
        };
        Self {
            layout,
            declared,
            last_dts: None,
            last_random_access: None,
            refused: 0,
            usual: declared.unwrap_or(USUAL),
            recent: Vec::with_capacity(RECENT),
            jitter: Duration::ZERO,
            next_ticks: None,
            cover: Cover::default(),
        }
    }

    pub(super) const fn id(&self) -> TrackId {
        self.layout.id
    }

    /// The newest decode time taken.
    pub(super) const fn last_dts(&self) -> Option<Timestamp> {
        self.last_dts
    }

    /// Forgets where time was: what follows is not continuous.
    pub(super) fn restart(&mut self) {
        self.last_dts = None;
        self.last_random_access = None;
        self.refused = 0;
        self.next_ticks = None;
        self.cover.forget();
        self.recent.clear();
    }

    /// Judges a unit; `front` is the newest decode time of any track.
    pub(super) fn judge(&mut self, unit: &AccessUnit, front: Option<Timestamp>) -> Verdict {
        if unit.pts.since(unit.dts).magnitude() > LEAP_MAX || unit.payload.is_empty() {
            return Verdict::Drop;
        }
        let ahead = front.map_or(media::Delta::ZERO, |front| unit.dts.since(front));
        let stale = ahead.magnitude() > LEAP_MAX
            || self
                .last_dts
                .is_some_and(|last| unit.dts < last + DISTANCE_MIN);
        if !stale {
            self.refused = 0;
            return Verdict::Take;
        }
        self.refused += 1;
        let forward = ahead.to_duration().is_some_and(|ahead| ahead > LEAP_MAX);
        if forward || self.refused > REFUSED_MAX {
            Verdict::Jump
        } else {
            Verdict::Drop
        }
    }

    /// Takes note of a unit that was taken.
    pub(super) fn advance(&mut self, unit: &AccessUnit) {
        if let Some(declared) = unit.duration.filter(|duration| sane(*duration)) {
            self.declared = Some(declared);
        }
        if let Some(distance) = self
            .last_dts
            .and_then(|last| unit.dts.since(last).to_duration())
        {
            let off = distance.as_nanos().abs_diff(self.usual().as_nanos());
            self.jitter = self.jitter.max(Duration::from_nanos(off));
            if self.recent.len() == RECENT {
                self.recent.remove(0);
            }
            self.recent.push(distance.as_nanos());
        }
        self.last_dts = Some(unit.dts);
        self.usual = self.reckon();
    }

    /// The same session had another configuration before: decode times go on from there.
    pub(super) fn continue_after(&mut self, before: &Self) {
        self.last_dts = before.last_dts;
    }

    /// The usual distance of two units, if anything is known of it.
    pub(super) fn known(&self) -> Option<Duration> {
        (self.declared.is_some() || !self.recent.is_empty()).then(|| self.usual())
    }

    /// Time went on without a unit from outside.
    pub(super) fn skip_to(&mut self, dts: Timestamp) {
        self.last_dts = Some(dts);
    }

    /// How far back the random access point before this one was, if there was one; takes note of this one.
    pub(super) fn mark_random_access(&mut self, pts: Timestamp) -> Option<Duration> {
        self.last_random_access
            .replace(pts)
            .and_then(|last| pts.since(last).to_duration())
    }

    /// The usual distance of two units: as declared, unless what is seen contradicts it.
    pub(super) const fn usual(&self) -> Duration {
        self.usual
    }

    fn reckon(&self) -> Duration {
        match (self.declared, self.seen()) {
            (Some(declared), Some(seen)) if !agree(declared.as_nanos(), seen.as_nanos()) => seen,
            (Some(declared), _) => declared,
            (None, Some(seen)) => seen,
            (None, None) => self
                .recent
                .last()
                .map_or(USUAL, |last| Duration::from_nanos(*last)),
        }
    }

    /// The mean of the last distances, without those far from their median.
    fn seen(&self) -> Option<Duration> {
        if self.recent.len() < RECENT / 2 {
            return None;
        }
        let mut sorted = [0; RECENT];
        let sorted = &mut sorted[..self.recent.len()];
        sorted.copy_from_slice(&self.recent);
        sorted.sort_unstable();
        let median = sorted[sorted.len() / 2];
        let usual = || sorted.iter().filter(|distance| agree(**distance, median));
        Some(Duration::from_nanos(
            usual().sum::<u64>() / usual().count().max(1) as u64,
        ))
    }

    /// The largest deviation since the last call.
    pub(super) fn take_jitter(&mut self) -> Duration {
        std::mem::replace(&mut self.jitter, Duration::ZERO)
    }

    /// The ticks at which a sample at `ticks` is put: rounding must not open or close gaps of one tick between sounds.
    pub(super) fn place(&mut self, ticks: i64, duration: i64) -> i64 {
        let placed = match self.next_ticks {
            Some(next) if next.abs_diff(ticks) <= 1 => next,
            _ => ticks,
        };
        self.next_ticks = Some(placed + duration);
        placed
    }
}

/// Whether two distances are the same one. Stamps are often whole milliseconds: that much is not a contradiction.
fn agree(left: u64, right: u64) -> bool {
    left.abs_diff(right) <= (right / 10).max(1_500_000)
}

fn sane(duration: Duration) -> bool {
    (Duration::from_millis(1)..=Duration::from_secs(2)).contains(&duration)
}
