//! What a packager yields: init sections, segments, chunks and parts, in the order in which viewers may learn of them.
//!
//! In → Out: made by [`crate::Packager`]; consumed by [`crate::Window`] (numbers) and by delivery (bytes).
//! Spec: ISO/IEC 23000-19 (chunk); RFC 8216bis, "Partial Segments"; design "Segments".

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use media::{Delta, Duration, Epoch, Msn, SegmentId, Timestamp, Track, UnixTime};

/// Where the numbers of a rendition begin; `Default` is a broadcast that has never been on air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The epoch of the first segment.
    pub epoch: Epoch,
    /// The media sequence number of the first segment.
    pub msn: Msn,
    /// How many discontinuities came before the first segment.
    pub discontinuity_sequence: u64,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            epoch: Epoch::FIRST,
            msn: Msn(0),
            discontinuity_sequence: 0,
        }
    }
}

/// Where a segment begins on the timelines, for packagers that follow this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment that begins.
    pub id: SegmentId,
    /// Whether media time or the init section is not continuous with the segment before.
    pub discontinuity: bool,
    /// When the first access unit happened.
    pub program_date_time: UnixTime,
    /// Session time of the first picture, or of the first sound where there is no picture.
    pub pts: Timestamp,
    /// Session time from which sound belongs to this segment.
    pub audio_pts: Timestamp,
    /// Broadcast time minus session time, in force from here on.
    pub shift: Delta,
}

/// One thing that happened to a rendition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The init section of an epoch; comes before the epoch's first segment, once an epoch.
    Init {
        /// The epoch that it belongs to.
        epoch: Epoch,
        /// `ftyp` + `moov`.
        bytes: Bytes,
        /// The tracks that are really in the segments of this epoch.
        tracks: Arc<[Track]>,
    },
    /// A segment begins; its first chunk follows.
    SegmentStart {
        /// Its name.
        id: SegmentId,
        /// Whether `EXT-X-DISCONTINUITY` stands before it.
        discontinuity: bool,
        /// When its first access unit happened; never before that of an earlier segment.
        program_date_time: UnixTime,
        /// No part of this segment is longer; whole milliseconds.
        part_target: Duration,
        /// The usual distance of two pictures, where known.
        frame_duration: Option<Duration>,
        /// The same beginning for followers.
        cut: Cut,
    },
    /// The next chunk of the open segment.
    Chunk {
        /// The open segment.
        segment: SegmentId,
        /// (`prft`) + `moof` + `mdat`, contiguous.
        bytes: Bytes,
        /// The same access units as whole 188-byte packets, if the packager was told to make them.
        ts: Option<Bytes>,
        /// How long its pictures last (its sound, where it has no picture); may be zero.
        duration: Duration,
        /// Whether a decoder can start at its first access unit.
        independent: bool,
    },
    /// A part of the open segment is complete.
    Part {
        /// The open segment.
        segment: SegmentId,
        /// Its index in the segment, from 0, without holes.
        part: u32,
        /// Which chunks of the segment make it up, by index from 0.
        chunks: Range<u32>,
        /// Not more than the segment's part target.
        duration: Duration,
        /// Whether it holds an access unit at which a decoder can start.
        independent: bool,
    },
    /// The open segment is complete: all its chunks and parts were output.
    SegmentEnd {
        /// The segment that was open.
        id: SegmentId,
        /// Its true duration: the next segment begins exactly then, unless media time jumps.
        duration: Duration,
    },
    /// No segment is open and none begins at once. Requests held for any other name than `next` will not be answered.
    Interrupted {
        /// The name of the next segment, should one come.
        next: SegmentId,
        /// Whether the publisher's session is over, so that nobody knows when, or if, it will come.
        away: bool,
    },
    /// The broadcast is over: nothing follows.
    Finished,
}
