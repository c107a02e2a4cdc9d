//! Codecs and the configuration that a decoder needs before the first access unit.
//!
//! In → Out: parameter sets parsed in `formats` → what packagers, playlists and the API say of a track.
//! Spec: RFC 6381 (codec strings); ISO/IEC 14496-15 (decoder configuration records).

use bytes::Bytes;

use crate::Duration;

/// Video codecs that a broadcast may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264 / AVC.
    H264,
}

/// Audio codecs that a broadcast may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// AAC (LC, HE, HE v2).
    Aac,
}

/// How far the picture is to be turned clockwise for display.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// As coded.
    #[default]
    None,
    /// A quarter turn clockwise.
    Clockwise90,
    /// Upside down.
    Half,
    /// A quarter turn counter-clockwise.
    Clockwise270,
}

impl Rotation {
    /// Whether width and height change places.
    pub const fn is_quarter(self) -> bool {
        matches!(self, Self::Clockwise90 | Self::Clockwise270)
    }
}

/// Whether pictures may be made of two fields, each of every other line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scan {
    /// Whole pictures only.
    #[default]
    Progressive,
    /// Fields may occur.
    Interlaced,
}

/// What is known of a video track before its first access unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoConfig {
    /// The codec.
    pub codec: VideoCodec,
    /// Shown width in pixels, after cropping, before rotation: 1–16384.
    pub width: u32,
    /// Shown height in pixels, after cropping, before rotation: 1–16384.
    pub height: u32,
    /// Nominal length of one picture where the stream says it (SPS timing or metadata).
    pub frame_duration: Option<Duration>,
    /// The decoder configuration record (`avcC` content). Access units are length-prefixed with four bytes.
    pub decoder_config: Bytes,
    /// RFC 6381, such as `avc1.64001f`.
    pub codec_string: String,
    /// How the picture is to be turned.
    pub rotation: Rotation,
    /// How many pictures a decoder must hold back for reordering, if the stream says so; 0 means none.
    pub reorder_frames: Option<u8>,
    /// Whether fields may occur.
    pub scan: Scan,
}

impl VideoConfig {
    /// Whether browsers can be relied upon to decode it: no more than 8 bits a sample, no more colour than 4:2:0.
    pub fn is_for_browsers(&self) -> bool {
        // `avcC`: version, then `profile_idc`: High 10, High 4:2:2, High 4:4:4 Predictive, CAVLC 4:4:4 Intra.
        !matches!(self.decoder_config.get(1), Some(110 | 122 | 244 | 44))
    }
}

/// What is known of an audio track before its first access unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioConfig {
    /// The codec.
    pub codec: AudioCodec,
    /// Samples per second of the decoder's output: 7350–96000.
    pub sample_rate: u32,
    /// Channels: 1–8.
    pub channels: u8,
    /// Samples per access unit in `sample_rate` units: 1024, 960, 2048 or 1920.
    pub samples_per_unit: u32,
    /// The codec's own configuration (AudioSpecificConfig).
    pub decoder_config: Bytes,
    /// RFC 6381, such as `mp4a.40.2`.
    pub codec_string: String,
}
