//! The coded data of one picture, or of one audio frame.
//!
//! In → Out: made by ingest and transcode, consumed by packagers; the payload is never copied on the way.
//! Spec: ISO/IEC 14496-12, "Sample"; ISO/IEC 14496-15 (length-prefixed NAL units).

use bytes::Bytes;

use crate::{Duration, Timestamp, TrackId, UnixTime};

/// One access unit. Timestamps are on the session's normalised timeline: DTS strictly increases within a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// The track it belongs to.
    pub track: TrackId,
    /// When it is shown or heard.
    pub pts: Timestamp,
    /// When it is decoded; not after `pts` by more than the reorder depth, and equal to it without B-frames.
    pub dts: Timestamp,
    /// How long it lasts, where known (audio always; video by nominal frame length).
    pub duration: Option<Duration>,
    /// The wall-clock time at which `pts` happened, as well as the server can tell: monotone with `pts` in one session.
    pub wall: UnixTime,
    /// Whether a decoder can start here (every audio unit; IDR pictures).
    pub random_access: bool,
    /// H.264: NAL units with four-byte lengths, no parameter sets needed beside the track's. AAC: one raw frame.
    pub payload: Bytes,
}
