//! A synthetic publisher: valid H.264 and AAC without an encoder, at exact sizes and times.
//!
//! In → Out: settings → [`Event`]s for a packager, or message bodies for an RTMP connection.
//! The pictures are grey and the sound is silence, but every decoder takes them; user data pads pictures to a wanted size.
//! Spec: see the two files for H.264 and AAC; FLV file format 10.1, "AUDIODATA", "VIDEODATA" for RTMP bodies.

pub mod aac;
pub mod h264;

use bytes::Bytes;
use media::{
    AccessUnit, AudioCodec, AudioConfig, Duration, Event, Rotation, Timescale, Timestamp, Track,
    TrackConfig, TrackId, UnixTime, VideoCodec, VideoConfig,
};

use crate::pattern::FrameRate;

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Width in pixels, a multiple of 16.
    pub width: u32,
    /// Height in pixels, a multiple of 16.
    pub height: u32,
    /// Pictures a second.
    pub rate: FrameRate,
    /// Pictures from one random access point to the next; at least 1.
    pub gop: u64,
    /// Pictures are padded to this many bytes, or one more; 0 leaves them as small as they come.
    pub picture_bytes: usize,
    /// Whether there is sound.
    pub sound: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            width: 320,
            height: 176,
            rate: FrameRate {
                numerator: 30,
                denominator: 1,
            },
            gop: 60,
            picture_bytes: 0,
            sound: true,
        }
    }
}

/// One picture or one unit of sound, and when it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The track.
    pub track: TrackId,
    /// When it happens, and is to be sent.
    pub at: Timestamp,
    /// How long it lasts.
    pub duration: Duration,
    /// Whether a decoder can start here.
    pub random_access: bool,
    /// H.264 with four-byte lengths, or one raw AAC frame.
    pub payload: Bytes,
}

impl Unit {
    /// As an access unit of a session that began at `start`.
    pub fn access_unit(&self, start: UnixTime) -> AccessUnit {
        AccessUnit {
            track: self.track,
            pts: self.at,
            dts: self.at,
            duration: Some(self.duration),
            wall: start + self.at.since(Timestamp::ZERO),
            random_access: self.random_access,
            payload: self.payload.clone(),
        }
    }

    /// The RTMP timestamp in milliseconds.
    pub fn millis(&self) -> u32 {
        u32::try_from(self.at.as_millis()).unwrap_or(u32::MAX)
    }

    /// The same, with the instant of its sending in the picture for whoever receives it.
    pub fn stamped_body(&self, now: UnixTime) -> Bytes {
        let mut body = Vec::from(self.message_body());
        let mark = &h264::STAMP_MARK;
        if let Some(at) = body.windows(mark.len()).position(|window| window == mark) {
            let stamp = h264::stamp(now.as_nanos());
            body[at..at + stamp.len()].copy_from_slice(&stamp);
        }
        body.into()
    }

    /// The body of the RTMP message that carries it.
    pub fn message_body(&self) -> Bytes {
        let mut body = Vec::with_capacity(self.payload.len() + 5);
        if self.track == TrackId::AUDIO {
            body.extend_from_slice(&[AAC_HEADER, 1]);
        } else {
            let kind = if self.random_access { 0x17 } else { 0x27 };
            body.extend_from_slice(&[kind, 1, 0, 0, 0]);
        }
        body.extend_from_slice(&self.payload);
        body.into()
    }
}

/// AAC, 44 kHz flag, 16 bits, mono flag as real encoders send for mono.
const AAC_HEADER: u8 = 0xAE;

/// Yields units in the order in which they happen, for ever.
#[derive(Clone, Debug)]
pub struct Synthetic {
    settings: Settings,
    picture: u64,
    sound: u64,
}

impl Synthetic {
    /// A publisher that begins at media time zero.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            picture: 0,
            sound: 0,
        }
    }

    /// The set of tracks, as the first event.
    pub fn tracks(&self) -> Event {
        let mut tracks = vec![Track {
            id: TrackId::VIDEO,
            config: TrackConfig::Video(VideoConfig {
                codec: VideoCodec::H264,
                width: self.settings.width,
                height: self.settings.height,
                frame_duration: Some(Duration::from_nanos(self.settings.rate.frame_nanos(1))),
                decoder_config: h264::decoder_config(self.settings.width, self.settings.height),
                codec_string: h264::CODEC_STRING.to_owned(),
                rotation: Rotation::None,
                reorder_frames: Some(0),
                scan: media::Scan::Progressive,
            }),
        }];
        if self.settings.sound {
            tracks.push(Track {
                id: TrackId::AUDIO,
                config: TrackConfig::Audio(AudioConfig {
                    codec: AudioCodec::Aac,
                    sample_rate: aac::SAMPLE_RATE,
                    channels: 1,
                    samples_per_unit: aac::SAMPLES_PER_UNIT,
                    decoder_config: Bytes::from_static(&aac::DECODER_CONFIG),
                    codec_string: "mp4a.40.2".to_owned(),
                }),
            });
        }
        Event::Tracks(tracks)
    }

    /// The bodies of the RTMP messages that come before the first unit: `(track, body)`.
    pub fn configuration_bodies(&self) -> Vec<(TrackId, Bytes)> {
        let mut video = vec![0x17, 0, 0, 0, 0];
        video.extend_from_slice(&h264::decoder_config(
            self.settings.width,
            self.settings.height,
        ));
        let mut bodies = vec![(TrackId::VIDEO, Bytes::from(video))];
        if self.settings.sound {
            let mut audio = vec![AAC_HEADER, 0];
            audio.extend_from_slice(&aac::DECODER_CONFIG);
            bodies.push((TrackId::AUDIO, audio.into()));
        }
        bodies
    }

    /// The next unit.
    pub fn next_unit(&mut self) -> Unit {
        let picture_at = self.settings.rate.frame_nanos(self.picture);
        let sound_at = sound_nanos(self.sound);
        if self.settings.sound && sound_at < picture_at {
            self.sound += 1;
            return Unit {
                track: TrackId::AUDIO,
                at: Timestamp::from_nanos(sound_at.cast_signed()),
                duration: Duration::from_nanos(sound_nanos(self.sound) - sound_at),
                random_access: true,
                payload: Bytes::from_static(&aac::SILENCE),
            };
        }
        let place = self.picture % self.settings.gop.max(1);
        self.picture += 1;
        Unit {
            track: TrackId::VIDEO,
            at: Timestamp::from_nanos(picture_at.cast_signed()),
            duration: Duration::from_nanos(
                self.settings.rate.frame_nanos(self.picture) - picture_at,
            ),
            random_access: place == 0,
            payload: h264::picture(
                self.settings.width,
                self.settings.height,
                place,
                self.settings.picture_bytes,
            ),
        }
    }
}

fn sound_nanos(index: u64) -> u64 {
    let ticks = i64::try_from(index * u64::from(aac::SAMPLES_PER_UNIT)).unwrap_or(i64::MAX);
    let scale = Timescale::new(aac::SAMPLE_RATE).unwrap_or(Timescale::MPEG);
    Timestamp::from_ticks(ticks, scale)
        .as_nanos()
        .unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_in_the_order_in_which_they_happen() {
        let mut source = Synthetic::new(Settings::default());
        let units: Vec<Unit> = (0..500).map(|_| source.next_unit()).collect();
        assert!(units.is_sorted_by_key(|unit| unit.at));
        let pictures = units
            .iter()
            .filter(|unit| unit.track == TrackId::VIDEO)
            .count();
        // 30 pictures against 46.875 units of sound a second.
        assert!((190..=200).contains(&pictures), "{pictures}");
    }

    #[test]
    fn pictures_are_padded_to_a_size() {
        let settings = Settings {
            picture_bytes: 2_500,
            ..Settings::default()
        };
        let mut source = Synthetic::new(settings);
        for _ in 0..200 {
            let unit = source.next_unit();
            let length = unit.payload.len();
            assert!(unit.track == TrackId::AUDIO || (2_500..=2_501).contains(&length));
        }
    }
}
