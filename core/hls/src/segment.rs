//! A segment as the window keeps it: numbers only, no bytes.
//!
//! In → Out: packager outputs → what playlists say of one segment.
//! Spec: RFC 8216bis, "Media Segments", "EXT-X-PROGRAM-DATE-TIME", "EXT-X-GAP".

use media::{Duration, SegmentId, UnixTime};

use crate::Part;

/// One segment, open or complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name.
    pub id: SegmentId,
    /// Whether `EXT-X-DISCONTINUITY` stands before it.
    pub discontinuity: bool,
    /// When its first access unit happened.
    pub program_date_time: UnixTime,
    /// True duration if complete, else what its chunks sum up to so far.
    pub duration: Duration,
    /// Its complete parts.
    pub parts: Vec<Part>,
    /// No part is longer.
    pub part_target: Duration,
    /// How many chunks it has so far.
    pub chunks: u32,
    /// Bytes as fMP4 so far.
    pub bytes: u64,
    /// Bytes as MPEG-TS so far; 0 if that form is not made.
    pub ts_bytes: u64,
    /// Whether a decoder can start at its first access unit.
    pub independent: bool,
}

impl Segment {
    /// Whether nothing was in it (a rendition that follows another's boundaries may have nothing to put there).
    pub const fn is_gap(&self) -> bool {
        self.chunks == 0
    }
}
