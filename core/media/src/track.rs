//! A track: one audio or video line inside a broadcast.
//!
//! In → Out: a configuration, and the number by which access units name it.
//! Spec: ISO/IEC 14496-12, "Track Header Box" (track_ID is not zero).

use crate::{AudioConfig, Timescale, VideoConfig};

/// Which track of a broadcast; unique within one set of tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u32);

impl TrackId {
    /// The video track; every broadcast has at most one.
    pub const VIDEO: Self = Self(1);
    /// The audio track; every broadcast has at most one.
    pub const AUDIO: Self = Self(2);
}

/// Sound or picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// Picture.
    Video,
    /// Sound.
    Audio,
}

/// What a decoder of this track needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackConfig {
    /// Picture.
    Video(VideoConfig),
    /// Sound.
    Audio(AudioConfig),
}

/// One track of a broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its number.
    pub id: TrackId,
    /// Its configuration.
    pub config: TrackConfig,
}

impl Track {
    /// Sound or picture.
    pub const fn kind(&self) -> TrackKind {
        match self.config {
            TrackConfig::Video(_) => TrackKind::Video,
            TrackConfig::Audio(_) => TrackKind::Audio,
        }
    }

    /// The picture's configuration; `None` for sound.
    pub const fn video(&self) -> Option<&VideoConfig> {
        match &self.config {
            TrackConfig::Video(video) => Some(video),
            TrackConfig::Audio(_) => None,
        }
    }

    /// RFC 6381 codec string.
    pub fn codec_string(&self) -> &str {
        match &self.config {
            TrackConfig::Video(video) => &video.codec_string,
            TrackConfig::Audio(audio) => &audio.codec_string,
        }
    }

    /// The clock of this track in fMP4: 90 kHz for video, the sample rate for audio.
    pub fn timescale(&self) -> Timescale {
        match &self.config {
            TrackConfig::Video(_) => Timescale::MPEG,
            TrackConfig::Audio(audio) => {
                Timescale::new(audio.sample_rate).unwrap_or(Timescale::MPEG)
            }
        }
    }
}
