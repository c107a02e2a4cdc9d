//! What readers see of one rendition at one moment; never changes.
//!
//! In → Out: made by [`crate::Window`]; read by playlists, blocking reload and delivery, on any thread.
//! Spec: RFC 8216bis, "Media Playlists"; design "Playlists".

use std::sync::Arc;

use media::{Duration, Msn, SegmentId, Track};

use crate::{Part, Segment};

/// Whether more is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A segment is open, or the next is about to begin.
    Live,
    /// No publisher is there; one may come (back).
    Away,
    /// Nothing follows.
    Ended,
}

/// Measured bits per second of the media itself, over the listed segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bitrate {
    /// Of the fattest segment.
    pub peak_bps: u64,
    /// Of all of them.
    pub average_bps: u64,
}

/// One rendition at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Grows with each change that a playlist shows.
    pub version: u64,
    /// Whether more is to come.
    pub state: State,
    /// Complete segments that playlists list, oldest first, without holes in their numbers.
    pub segments: Vec<Arc<Segment>>,
    /// The open segment.
    pub current: Option<Arc<Segment>>,
    /// The name of the segment after the open one, or of the next to come where none is open.
    pub next: SegmentId,
    /// Whether `next` will begin with a discontinuity, as far as is known.
    pub next_discontinuity: bool,
    /// Complete segments that are not listed any more but still answered, oldest first.
    pub lingering: Vec<SegmentId>,
    /// `EXT-X-TARGETDURATION`: whole seconds.
    pub target_duration: Duration,
    /// `PART-TARGET`: the longest part listed is not longer; whole milliseconds.
    pub part_target: Duration,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: u64,
    /// The tracks of the newest epoch; empty before the first.
    pub tracks: Arc<[Track]>,
    /// The usual distance of two pictures in the newest segment, where known.
    pub frame_duration: Option<Duration>,
    /// Of the fMP4 form.
    pub bitrate: Bitrate,
    /// Of the MPEG-TS form; zero if that form is not made.
    pub ts_bitrate: Bitrate,
}

impl Snapshot {
    /// Whether a playlist would show anything that can be played.
    pub fn has_media(&self) -> bool {
        !self.segments.is_empty()
            || self
                .current
                .as_ref()
                .is_some_and(|current| !current.parts.is_empty())
    }

    /// The number of the first segment in a playlist.
    pub fn first_msn(&self) -> Msn {
        let first = self.segments.first().or(self.current.as_ref());
        first.map_or(self.next.msn, |segment| segment.id.msn)
    }

    /// The newest part that a playlist lists, and its parent's number.
    pub fn last_part(&self) -> Option<(Msn, u32)> {
        let newest = self.current.iter().chain(self.segments.last());
        newest
            .filter(|segment| !segment.parts.is_empty())
            .map(|s| (s.id.msn, count(&s.parts) - 1))
            .next()
    }

    /// A listed segment by its number, complete or open.
    pub fn segment(&self, msn: Msn) -> Option<&Arc<Segment>> {
        let index = msn.0.checked_sub(self.first_msn().0)?;
        let index = usize::try_from(index).ok()?;
        self.segments.get(index).or_else(|| {
            self.current
                .as_ref()
                .filter(|current| current.id.msn == msn)
        })
    }

    /// The part that a preload hint names: the next of the open segment or, where the open one has reached the length of
    /// the one before, the first of the next segment. `None` while nobody knows whether anything will come.
    pub fn hinted_part(&self) -> Option<(SegmentId, u32)> {
        if self.state != State::Live {
            return None;
        }
        let Some(current) = &self.current else {
            return Some((self.next, 0));
        };
        let expected = self
            .segments
            .last()
            .filter(|last| last.id.epoch == current.id.epoch)
            .map(|last| last.duration);
        // Less than half a part is missing: the segment ends here if it is like the one before.
        let ends = expected.is_some_and(|expected| {
            current.duration.as_nanos() + self.part_target.as_nanos() / 2 >= expected.as_nanos()
                && current
                    .parts
                    .last()
                    .is_some_and(|part| part.chunks.end == current.chunks)
        });
        Some(if ends {
            (self.next, 0)
        } else {
            (current.id, count(&current.parts))
        })
    }
}

/// How many parts, as a part index.
pub(crate) fn count(parts: &[Part]) -> u32 {
    u32::try_from(parts.len()).unwrap_or(u32::MAX)
}
