//! Tracks to write with.
//!
//! In → Out: sizes and rates → tracks.
//! Spec: none; test equipment.

use bytes::Bytes;
use media::{
    AudioCodec, AudioConfig, Duration, Rotation, Track, TrackConfig, TrackId, VideoCodec,
    VideoConfig,
};

/// An `avcC` with one parameter set of each kind.
pub(crate) const AVCC: [u8; 18] = [
    1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 3, 0x68, 0xee, 0x3c,
];

pub(crate) fn video(rotation: Rotation) -> Track {
    let config = VideoConfig {
        codec: VideoCodec::H264,
        width: 640,
        height: 360,
        frame_duration: Some(Duration::from_nanos(33_333_333)),
        decoder_config: Bytes::from_static(&AVCC),
        codec_string: "avc1.64001f".into(),
        rotation,
        reorder_frames: Some(0),
        scan: media::Scan::Progressive,
    };
    Track {
        id: TrackId::VIDEO,
        config: TrackConfig::Video(config),
    }
}

pub(crate) fn audio(sample_rate: u32, decoder_config: &[u8]) -> Track {
    let config = AudioConfig {
        codec: AudioCodec::Aac,
        sample_rate,
        channels: 2,
        samples_per_unit: 1024,
        decoder_config: Bytes::copy_from_slice(decoder_config),
        codec_string: "mp4a.40.2".into(),
    };
    Track {
        id: TrackId::AUDIO,
        config: TrackConfig::Audio(config),
    }
}
