//! Judges the times inside of chunks, and tells when on the wall clock they happened.
//!
//! In → Out: chunks in order → faults, gaps, the wall-clock time of each chunk's newest sample.
//! Spec: ISO/IEC 14496-12, "Track Fragment Decode Time", "Producer Reference Time Box"; design "Segments".

use std::collections::BTreeMap;

use media::{Delta, Duration, SegmentId, Timescale, Timestamp, UnixTime};

use super::Fact;
use super::boxes::{Chunk, Init, Run, Stamp};
use super::fault::Fault;

/// Holes up to this length are rounding: RTMP counts in whole milliseconds, and the last sample's length is a guess.
const GAP_MIN: Duration = Duration::from_millis(60);

/// Where the tracks are.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    ends: BTreeMap<u32, Expected>,
    anchor: Option<Anchor>,
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    begin: Timestamp,
    end: Timestamp,
    last: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    wall: UnixTime,
    media: Timestamp,
}

/// What a chunk means in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// When its leading track begins.
    pub(super) begin: Timestamp,
    /// When its leading track ends.
    pub(super) end: Timestamp,
    /// When its leading track's last sample begins.
    pub(super) last: Timestamp,
    /// When its newest sample happened.
    pub(super) newest: Option<UnixTime>,
}

impl Timeline {
    /// A new init section: track ids and timescales may differ, but time goes on.
    pub(super) fn change_epoch(&mut self) {
        let end = self.ends.values().map(|expected| expected.begin).max();
        self.ends.clear();
        if let Some(end) = end {
            // Track 0 does not exist: it holds what no track may go back behind.
            let last = Duration::ZERO;
            self.ends.insert(
                0,
                Expected {
                    begin: end,
                    end,
                    last,
                },
            );
        }
    }

    /// Media was left out on purpose: holes are expected, steps back are not.
    pub(super) fn skip(&mut self) {
        for expected in self.ends.values_mut() {
            expected.last = Duration::from_secs(u64::from(u32::MAX));
        }
    }

    /// Whether all of a chunk has been seen before, on another connection.
    pub(super) fn is_repeat(&self, chunk: &Chunk, init: &Init) -> bool {
        chunk.runs.iter().all(|run| {
            let seen = self.ends.get(&run.track);
            seen.is_some_and(|seen| begin(run, init) <= seen.begin)
        })
    }

    /// Takes the next chunk.
    pub(super) fn take(
        &mut self,
        segment: SegmentId,
        chunk: &Chunk,
        init: &Init,
        facts: &mut Vec<Fact>,
    ) -> Option<Span> {
        for run in &chunk.runs {
            self.judge(segment, run, init, facts);
        }
        if let Some(stamp) = chunk.stamp {
            self.anchor = anchor(stamp, init).or(self.anchor);
        }
        let leading = init.leading()?;
        let run = chunk
            .runs
            .iter()
            .find(|run| run.track == leading.id)
            .or(chunk.runs.first())?;
        let scale = scale(run.track, init);
        let newest = run
            .decode_time
            .saturating_add(run.duration.saturating_sub(run.last_duration));
        let last = stamp_of(newest, scale);
        Some(Span {
            begin: begin(run, init),
            end: stamp_of(run.decode_time.saturating_add(run.duration), scale),
            last,
            newest: self.wall(last),
        })
    }

    /// When a media time happened.
    pub(super) fn wall(&self, media: Timestamp) -> Option<UnixTime> {
        let anchor = self.anchor?;
        Some(anchor.wall + media.since(anchor.media))
    }

    fn judge(&mut self, segment: SegmentId, run: &Run, init: &Init, facts: &mut Vec<Fact>) {
        let scale = scale(run.track, init);
        let begin = begin(run, init);
        let end = stamp_of(run.decode_time.saturating_add(run.duration), scale);
        let last = begin + length(run.last_duration, scale);
        let last = last.since(begin).to_duration().unwrap_or_default();
        let floor = self.ends.remove(&0);
        let expected = self.ends.insert(run.track, Expected { begin, end, last });
        if let Some(floor) = floor {
            self.ends.insert(0, floor);
            if begin < floor.begin {
                facts.push(backwards(segment, run.track, begin.since(floor.begin)));
            }
        }
        let Some(expected) = expected else { return };
        let difference = begin.since(expected.end);
        let overlap = difference.to_duration().is_none();
        // A sample's length is a guess until the next has come: half of it may turn out to have been too much.
        let tolerance =
            Duration::from_nanos(expected.last.as_nanos() / 2).max(Duration::from_millis(2));
        if begin <= expected.begin || (overlap && difference.magnitude() > tolerance) {
            facts.push(backwards(segment, run.track, difference));
        } else if !overlap && difference.magnitude() > GAP_MIN.max(expected.last) {
            let (track, length) = (run.track, difference.magnitude());
            facts.push(Fact::Gap {
                segment,
                track,
                length,
            });
        }
    }
}

fn backwards(segment: SegmentId, track: u32, by: Delta) -> Fact {
    Fact::Fault(Fault::Backwards { segment, track, by })
}

fn anchor(stamp: Stamp, init: &Init) -> Option<Anchor> {
    let track = init.tracks.iter().find(|track| track.id == stamp.track)?;
    let media = stamp_of(stamp.media_time, Timescale::new(track.timescale)?);
    Some(Anchor {
        wall: stamp.wall,
        media,
    })
}

fn scale(track: u32, init: &Init) -> Timescale {
    let known = init.tracks.iter().find(|known| known.id == track);
    known
        .and_then(|known| Timescale::new(known.timescale))
        .unwrap_or(Timescale::MPEG)
}

fn begin(run: &Run, init: &Init) -> Timestamp {
    stamp_of(run.decode_time, scale(run.track, init))
}

fn stamp_of(ticks: u64, scale: Timescale) -> Timestamp {
    Timestamp::from_ticks(i64::try_from(ticks).unwrap_or(i64::MAX), scale)
}

fn length(ticks: u64, scale: Timescale) -> Duration {
    Duration::from_ticks(u32::try_from(ticks).unwrap_or(u32::MAX), scale)
}
