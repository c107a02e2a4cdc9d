//! Parts: how many chunks make one, and how long the longest may be.
//!
//! In → Out: the usual distance of two chunks → part target; chunks of a segment → complete [`Part`]s.
//! Spec: RFC 8216bis, "EXT-X-PART-INF", "EXT-X-PART" (no part exceeds the target; all but the last reach 85 % of it).

use std::ops::Range;

use media::Duration;

/// A complete part of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which chunks of the segment make it up, by index from 0.
    pub chunks: Range<u32>,
    /// Not more than the part target of the playlist.
    pub duration: Duration,
    /// Whether it holds an access unit at which a decoder can start.
    pub independent: bool,
}
