//! Reads FLV tag bodies: one publisher's sound and picture, classic or enhanced.
//!
//! In → Out: audio and video tag bodies with RTMP timestamps, and what `onMetaData` says → [`Event`]s.
//! H.264 and AAC are taken; every other codec is refused by name. A broken audio configuration costs the audio only.
//! Decoders are told that nothing is reordered as long as that is so. When it turns out otherwise the original parameter
//! sets are announced, before the next random access point.
//! Spec: Adobe Flash Video File Format 10.1, E.4.2 "Audio Tags", E.4.3 "Video Tags"; Enhanced RTMP v2, "ExVideoTagHeader",
//! "ExAudioTagHeader".

use bytes::Bytes;
use media::{Duration, Event, Rotation, TrackKind, UnixTime};

use crate::assembler::{Assembler, Promise, Unit};
use crate::codec::aac::{self, AacError};
use crate::codec::h264::{self, H264Error};
use crate::timeline::{Clock, Stamp};

/// What `onMetaData` says, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Whether there will be picture, if it says so.
    pub video: Option<bool>,
    /// Whether there will be sound, if it says so.
    pub audio: Option<bool>,
    /// Length of a picture.
    pub frame_duration: Option<Duration>,
    /// How the picture is to be turned. A phone that turns says so again.
    pub rotation: Rotation,
}

/// Why a publisher cannot be served. The text is for its log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// A codec that we do not take.
    #[error("{0} is not supported; send H.264 video and AAC audio")]
    Codec(String),
    /// Enhanced RTMP's several tracks in one message.
    #[error("multitrack {0} is not supported; send one video and one audio track")]
    Multitrack(&'static str),
    /// The first video configuration cannot be used.
    #[error("H.264 configuration refused: {0}")]
    Video(#[from] H264Error),
    /// The audio configuration cannot be used, and there is no picture.
    #[error("AAC configuration refused: {0}")]
    Audio(#[from] AacError),
}

/// Something that the operator wants to know, and the publisher can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The audio track was given up; the picture goes on.
    AudioRefused(AacError),
    /// A later video configuration cannot be used; the one before stays.
    VideoConfigIgnored(H264Error),
}

/// The demuxer of one publisher's session.
#[derive(Debug)]
pub struct Demuxer {
    assembler: Assembler,
    h264: h264::Stream,
    order: h264::OrderWatch,
    audio: AudioState,
    notices: Vec<Notice>,
    broken: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum AudioState {
    Unknown,
    Configured,
    Refused(AacError),
}

/// After so many units of refused sound without any picture the session is given up: about two seconds.
const UNITS_WITHOUT_PICTURE: u64 = 100;
/// At most so many notices wait to be polled.
const NOTICES_MAX: usize = 16;

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl Demuxer {
    /// A demuxer at the start of a session.
    pub fn new() -> Self {
        let (mut h264, order) = (h264::Stream::new(), h264::OrderWatch::default());
        h264.set_order(order.order());
        Self {
            assembler: Assembler::new(Clock::RTMP),
            h264,
            order,
            audio: AudioState::Unknown,
            notices: Vec::new(),
            broken: 0,
        }
    }

    /// Takes what `onMetaData` says.
    pub fn handle_metadata(&mut self, metadata: Metadata) {
        let promise = Promise {
            video: metadata.video,
            audio: metadata.audio,
        };
        self.assembler
            .handle_promise(promise, metadata.frame_duration);
        self.assembler.handle_rotation(metadata.rotation);
    }

    /// Takes the body of a video tag. After an error the session is to be refused.
    pub fn handle_video(
        &mut self,
        timestamp: u32,
        body: &Bytes,
        arrival: UnixTime,
    ) -> Result<(), FlvError> {
        let Some(tag) = video_tag(body)? else {
            return Ok(());
        };
        match tag {
            VideoTag::Config(record) => self.handle_video_config(&record),
            VideoTag::Picture {
                composition,
                keyframe,
                data,
            } => self.handle_picture(timestamp, composition, keyframe, &data, arrival),
        }
    }

    /// Takes the body of an audio tag. After an error the session is to be refused.
    pub fn handle_audio(
        &mut self,
        timestamp: u32,
        body: &Bytes,
        arrival: UnixTime,
    ) -> Result<(), FlvError> {
        let Some(tag) = audio_tag(body)? else {
            return Ok(());
        };
        match tag {
            AudioTag::Config(config) => self.handle_audio_config(&config),
            AudioTag::Unit(data) => {
                if let AudioState::Refused(error) = self.audio {
                    return self.handle_refused_audio(error);
                }
                if data.is_empty() || data.len() > aac::UNIT_LENGTH_MAX {
                    self.broken += 1;
                    return Ok(());
                }
                if aac::has_adts_header(&data) {
                    return self.refuse_audio(AacError::Adts);
                }
                self.assembler.handle_unit(Unit {
                    kind: TrackKind::Audio,
                    stamp: Stamp {
                        dts: timestamp.into(),
                        composition: 0,
                    },
                    arrival,
                    random_access: true,
                    payload: data,
                });
                Ok(())
            }
        }
    }

    /// What happened, if anything.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.assembler.poll_event()
    }

    /// What the operator should know, if anything.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop()
    }

    /// Units that could not be read or that no decoder could have used.
    pub fn dropped(&self) -> u64 {
        self.broken + self.assembler.dropped()
    }

    /// Ends the session; returns what was still waiting.
    pub fn finish(self) -> impl Iterator<Item = Event> {
        self.assembler.finish()
    }

    fn handle_video_config(&mut self, record: &Bytes) -> Result<(), FlvError> {
        let known = matches!(self.h264.config(), Ok(Some(_)));
        let mut next = self.h264.clone();
        let config = next.handle_record(record).and_then(|_| next.config());
        match config {
            Ok(config) => {
                self.h264 = next;
                if let Some(config) = config {
                    self.assembler.handle_video_config(config);
                }
                Ok(())
            }
            Err(error) if known => {
                self.notice(Notice::VideoConfigIgnored(error));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn handle_picture(
        &mut self,
        timestamp: u32,
        composition: i32,
        keyframe: bool,
        data: &Bytes,
        arrival: UnixTime,
    ) -> Result<(), FlvError> {
        // A picture that cannot be read costs what depends on it, not the session.
        let Ok(Some(picture)) = self.h264.handle_picture(data) else {
            self.broken += 1;
            return Ok(());
        };
        self.order.handle(&picture, timestamp, composition);
        let random_access = picture.idr || (keyframe && picture.recovery_point);
        // Elsewhere a new configuration would cost the pictures up to the next random access point.
        let order_changed = random_access && self.h264.set_order(self.order.order());
        if (picture.config_changed || order_changed)
            && let Some(config) = self.h264.config()?
        {
            self.assembler.handle_video_config(config);
        }
        self.assembler.handle_unit(Unit {
            kind: TrackKind::Video,
            stamp: Stamp {
                dts: timestamp.into(),
                composition: composition.into(),
            },
            arrival,
            random_access,
            payload: picture.payload,
        });
        Ok(())
    }

    fn handle_audio_config(&mut self, config: &Bytes) -> Result<(), FlvError> {
        match aac::parse_config(config) {
            Ok(config) => {
                self.audio = AudioState::Configured;
                self.assembler.handle_audio_config(config);
                Ok(())
            }
            Err(error) => self.refuse_audio(error),
        }
    }

    fn refuse_audio(&mut self, error: AacError) -> Result<(), FlvError> {
        let refused = AudioState::Refused(error);
        if self.audio != refused {
            self.audio = refused;
            self.notice(Notice::AudioRefused(error));
        }
        self.assembler.handle_refused(TrackKind::Audio);
        if self.assembler.expects_no_video() {
            Err(error.into())
        } else {
            Ok(())
        }
    }

    /// Sound that was given up is all there is: then there is nothing to show.
    fn handle_refused_audio(&mut self, error: AacError) -> Result<(), FlvError> {
        self.broken += 1;
        let hopeless = self.broken > UNITS_WITHOUT_PICTURE && !self.assembler.has_video();
        if hopeless { Err(error.into()) } else { Ok(()) }
    }

    fn notice(&mut self, notice: Notice) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push(notice);
        }
    }
}

enum VideoTag {
    Config(Bytes),
    Picture {
        composition: i32,
        keyframe: bool,
        data: Bytes,
    },
}

enum AudioTag {
    Config(Bytes),
    Unit(Bytes),
}

/// Reads a video tag header; `None` for tags without meaning to us.
fn video_tag(body: &Bytes) -> Result<Option<VideoTag>, FlvError> {
    let Some(&first) = body.first() else {
        return Ok(None);
    };
    if first & 0x80 != 0 {
        return ex_video_tag(first, body);
    }
    let (frame_type, codec) = (first >> 4, first & 0x0F);
    // Frame type 5 is a command for players.
    if frame_type == 5 {
        return Ok(None);
    }
    if codec != 7 {
        return Err(FlvError::Codec(format!(
            "video codec {}",
            classic_video(codec)
        )));
    }
    let Some(&[packet, a, b, c]) = body.get(1..5).and_then(|header| header.first_chunk()) else {
        return Ok(None);
    };
    let data = body.slice(5..);
    Ok(match packet {
        0 => Some(VideoTag::Config(data)),
        1 => Some(VideoTag::Picture {
            composition: signed_24([a, b, c]),
            keyframe: frame_type == 1,
            data,
        }),
        _ => None,
    })
}

/// Packet types of enhanced tags that both kinds share.
mod packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const CODED_FRAMES_X: u8 = 3;
    pub(super) const AUDIO_MULTITRACK: u8 = 5;
    pub(super) const VIDEO_MULTITRACK: u8 = 6;
    pub(super) const MOD_EX: u8 = 7;
}

fn ex_video_tag(first: u8, body: &Bytes) -> Result<Option<VideoTag>, FlvError> {
    let (frame_type, mut kind, mut at) = ((first >> 4) & 7, first & 0x0F, 1);
    if !skip_modifiers(body, &mut kind, &mut at) {
        return Ok(None);
    }
    if kind == packet::VIDEO_MULTITRACK {
        return Err(FlvError::Multitrack("video"));
    }
    // A command frame has no FourCC behind it.
    if frame_type == 5 && kind != packet::SEQUENCE_START {
        return Ok(None);
    }
    let Some(four_cc) = body.get(at..at + 4) else {
        return Ok(None);
    };
    if four_cc != b"avc1" {
        return Err(FlvError::Codec(format!(
            "video codec {}",
            four_cc_name(four_cc)
        )));
    }
    let data = body.slice(at + 4..);
    let keyframe = frame_type == 1;
    Ok(match kind {
        packet::SEQUENCE_START => Some(VideoTag::Config(data)),
        packet::CODED_FRAMES => data.first_chunk().map(|&composition| VideoTag::Picture {
            composition: signed_24(composition),
            keyframe,
            data: data.slice(3..),
        }),
        packet::CODED_FRAMES_X => Some(VideoTag::Picture {
            composition: 0,
            keyframe,
            data,
        }),
        _ => None,
    })
}

fn audio_tag(body: &Bytes) -> Result<Option<AudioTag>, FlvError> {
    const EXTENDED: u8 = 9;
    const AAC: u8 = 10;
    let Some(&first) = body.first() else {
        return Ok(None);
    };
    match first >> 4 {
        EXTENDED => return ex_audio_tag(first, body),
        AAC => {}
        format => {
            return Err(FlvError::Codec(format!(
                "audio codec {}",
                classic_audio(format)
            )));
        }
    }
    Ok(match body.get(1) {
        Some(0) => Some(AudioTag::Config(body.slice(2..))),
        Some(1) => Some(AudioTag::Unit(body.slice(2..))),
        _ => None,
    })
}

fn ex_audio_tag(first: u8, body: &Bytes) -> Result<Option<AudioTag>, FlvError> {
    let (mut kind, mut at) = (first & 0x0F, 1);
    if !skip_modifiers(body, &mut kind, &mut at) {
        return Ok(None);
    }
    if kind == packet::AUDIO_MULTITRACK {
        return Err(FlvError::Multitrack("audio"));
    }
    let Some(four_cc) = body.get(at..at + 4) else {
        return Ok(None);
    };
    if four_cc != b"mp4a" {
        return Err(FlvError::Codec(format!(
            "audio codec {}",
            four_cc_name(four_cc)
        )));
    }
    let data = body.slice(at + 4..);
    Ok(match kind {
        packet::SEQUENCE_START => Some(AudioTag::Config(data)),
        packet::CODED_FRAMES => Some(AudioTag::Unit(data)),
        _ => None,
    })
}

/// Passes over ModEx prefixes. Returns whether a packet follows.
fn skip_modifiers(body: &[u8], kind: &mut u8, at: &mut usize) -> bool {
    while *kind == packet::MOD_EX {
        let Some(&short) = body.get(*at) else {
            return false;
        };
        let mut size = usize::from(short) + 1;
        *at += 1;
        if size == 256 {
            let Some(long) = body.get(*at..*at + 2) else {
                return false;
            };
            size = usize::from(u16::from_be_bytes([long[0], long[1]])) + 1;
            *at += 2;
        }
        *at += size;
        let Some(&next) = body.get(*at) else {
            return false;
        };
        *kind = next & 0x0F;
        *at += 1;
    }
    true
}

fn signed_24([a, b, c]: [u8; 3]) -> i32 {
    i32::from_be_bytes([a, b, c, 0]) >> 8
}

fn classic_video(codec: u8) -> String {
    match codec {
        2 => "Sorenson H.263".into(),
        3 | 6 => "Screen Video".into(),
        4 | 5 => "VP6".into(),
        // Some encoders used this number for HEVC before there was a standard.
        12 => "HEVC (H.265)".into(),
        other => format!("number {other}"),
    }
}

fn classic_audio(format: u8) -> String {
    match format {
        0 | 3 => "PCM".into(),
        1 => "ADPCM".into(),
        2 | 14 => "MP3".into(),
        4..=6 => "Nellymoser".into(),
        7 | 8 => "G.711".into(),
        11 => "Speex".into(),
        13 => "Opus".into(),
        other => format!("number {other}"),
    }
}

fn four_cc_name(four_cc: &[u8]) -> String {
    match four_cc {
        b"hvc1" | b"hev1" => "HEVC (H.265)".into(),
        b"vvc1" => "VVC (H.266)".into(),
        b"av01" => "AV1".into(),
        b"vp08" => "VP8".into(),
        b"vp09" => "VP9".into(),
        b"Opus" => "Opus".into(),
        b"fLaC" => "FLAC".into(),
        b"ac-3" => "AC-3".into(),
        b"ec-3" => "E-AC-3".into(),
        b".mp3" => "MP3".into(),
        other => format!("'{}'", other.escape_ascii()),
    }
}
