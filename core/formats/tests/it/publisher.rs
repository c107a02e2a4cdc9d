//! A made-up publisher: parameter sets by choice, pictures and sound with FLV tag headers around them.
//!
//! In → Out: what a test wants wrong → tag bodies, and what the demuxer makes of them.
//! Spec: ITU-T H.264, 7.3.2.1.1; Adobe Flash Video File Format 10.1, annex E.

use bytes::Bytes;
use formats::container::flv::demux::{Demuxer, FlvError, Notice};
use media::{AccessUnit, DiscontinuityReason, Event, Track, TrackId, UnixTime};

/// Bits for parameter sets.
#[derive(Default)]
pub(crate) struct Bits(Vec<bool>);

impl Bits {
    pub(crate) fn u(&mut self, value: u32, width: u32) -> &mut Self {
        self.0
            .extend((0..width).rev().map(|shift| value >> shift & 1 == 1));
        self
    }

    pub(crate) fn ue(&mut self, value: u32) -> &mut Self {
        let code = u64::from(value) + 1;
        let width = code.ilog2() + 1;
        self.u(0, width - 1);
        self.0
            .extend((0..width).rev().map(|shift| code >> shift & 1 == 1));
        self
    }

    /// With the stop bit, filled up, and with emulation prevention.
    pub(crate) fn nal(&mut self, header: u8) -> Vec<u8> {
        self.0.push(true);
        let mut nal = vec![header];
        let mut zeros = 0;
        for bits in self.0.chunks(8) {
            let byte = bits
                .iter()
                .enumerate()
                .fold(0, |byte, (index, &bit)| byte | u8::from(bit) << (7 - index));
            if zeros >= 2 && byte <= 3 {
                nal.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            nal.push(byte);
        }
        nal
    }
}

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sps {
    pub(crate) profile: u32,
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    pub(crate) references: u32,
    pub(crate) order_type: u32,
    pub(crate) crop_bottom: u32,
    /// Time scale over ticks, if there is a VUI with timing.
    pub(crate) timing: Option<(u32, u32)>,
    pub(crate) reorder: Option<u32>,
}

impl Default for Sps {
    fn default() -> Self {
        Self {
            profile: 66,
            columns: 40,
            rows: 23,
            references: 1,
            order_type: 0,
            crop_bottom: 4,
            timing: Some((60, 1)),
            reorder: Some(0),
        }
    }
}

impl Sps {
    pub(crate) fn nal(&self) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.u(self.profile, 8).u(0xC0, 8).u(30, 8).ue(0);
        if self.profile == 100 {
            bits.ue(1).ue(0).ue(0).u(0, 2);
        }
        bits.ue(0).ue(self.order_type);
        if self.order_type == 0 {
            bits.ue(2);
        }
        bits.ue(self.references).u(0, 1);
        bits.ue(self.columns - 1).ue(self.rows - 1).u(0b11, 2);
        bits.u(1, 1).ue(0).ue(0).ue(0).ue(self.crop_bottom);
        if self.timing.is_none() && self.reorder.is_none() {
            return bits.u(0, 1).nal(0x67);
        }
        bits.u(1, 1).u(0, 4);
        match self.timing {
            Some((scale, ticks)) => bits.u(1, 1).u(ticks, 32).u(scale, 32).u(1, 1),
            None => bits.u(0, 1),
        };
        bits.u(0, 3);
        match self.reorder {
            Some(frames) => bits
                .u(0b11, 2)
                .ue(0)
                .ue(0)
                .ue(15)
                .ue(15)
                .ue(frames)
                .ue(frames.max(self.references).max(1)),
            None => bits.u(0, 1),
        };
        bits.nal(0x67)
    }
}

pub(crate) const PPS: [u8; 4] = [0x68, 0xCE, 0x0F, 0xC8];

pub(crate) fn record(sps: &[&[u8]], pps: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![1, 66, 0xC0, 30, 0xFF];
    for (flags, sets) in [(0xE0, sps), (0, pps)] {
        out.push(flags | u8::try_from(sets.len()).unwrap());
        for set in sets {
            out.extend(u16::try_from(set.len()).unwrap().to_be_bytes());
            out.extend(*set);
        }
    }
    out
}

pub(crate) fn prefixed(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter()
        .flat_map(|nal| [&u32::try_from(nal.len()).unwrap().to_be_bytes()[..], nal].concat())
        .collect()
}

pub(crate) const IDR: [u8; 5] = [0x65, 0x88, 0x80, 0x10, 0x20];
pub(crate) const SLICE: [u8; 5] = [0x41, 0x9A, 0x01, 0x02, 0x03];
/// Of a picture that nothing refers to.
pub(crate) const B_SLICE: [u8; 5] = [0x01, 0x9E, 0x01, 0x02, 0x03];
/// 48 kHz, stereo.
pub(crate) const AAC: [u8; 2] = [0x11, 0x90];

/// The video tag body of a configuration.
pub(crate) fn video_config(record: &[u8]) -> Bytes {
    [&[0x17, 0, 0, 0, 0], record].concat().into()
}

/// The video tag body of a picture.
pub(crate) fn video(keyframe: bool, composition: i32, data: &[u8]) -> Bytes {
    let [_, a, b, c] = composition.to_be_bytes();
    [&[if keyframe { 0x17 } else { 0x27 }, 1, a, b, c], data]
        .concat()
        .into()
}

/// The audio tag body of a configuration.
pub(crate) fn audio_config(config: &[u8]) -> Bytes {
    [&[0xAF, 0], config].concat().into()
}

/// The audio tag body of an access unit.
pub(crate) fn audio() -> Bytes {
    Bytes::from_static(&[0xAF, 1, 0x21, 0x10, 0x04])
}

/// A demuxer with everything that it gave.
pub(crate) struct Subject {
    pub(crate) demuxer: Demuxer,
    pub(crate) events: Vec<Event>,
    pub(crate) notices: Vec<Notice>,
}

/// An arrival time, in milliseconds after some moment.
pub(crate) fn at(millis: u64) -> UnixTime {
    UnixTime::from_millis(1_800_000_000_000 + millis)
}

impl Subject {
    /// A demuxer that knows nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            demuxer: Demuxer::new(),
            events: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// A demuxer that has both configurations.
    pub(crate) fn with_both() -> Self {
        let mut subject = Self::with_video();
        subject.audio(0, &audio_config(&AAC)).unwrap();
        subject
    }

    /// A demuxer that has a video configuration.
    pub(crate) fn with_video() -> Self {
        let mut subject = Self::new();
        subject
            .video(0, &video_config(&record(&[&Sps::default().nal()], &[&PPS])))
            .unwrap();
        subject
    }

    /// A video tag that arrives at its own timestamp.
    pub(crate) fn video(&mut self, millis: u32, body: &Bytes) -> Result<(), FlvError> {
        let result = self.demuxer.handle_video(millis, body, at(millis.into()));
        self.drain();
        result
    }

    /// An audio tag that arrives at its own timestamp.
    pub(crate) fn audio(&mut self, millis: u32, body: &Bytes) -> Result<(), FlvError> {
        let result = self.demuxer.handle_audio(millis, body, at(millis.into()));
        self.drain();
        result
    }

    /// Pictures and sound of a well-behaved publisher for `from..to` milliseconds, arriving `late` after their stamps
    /// say: 30 pictures a second, an IDR picture each second.
    pub(crate) fn play(&mut self, from: u32, to: u32, tracks: Tracks) {
        let mut stamps: Vec<(u32, bool)> = Vec::new();
        if tracks != Tracks::Audio {
            stamps.extend(
                (0..)
                    .map(|n| (n * 100 / 3, true))
                    .skip_while(|s| s.0 < from)
                    .take_while(|s| s.0 < to),
            );
        }
        if tracks != Tracks::Video {
            stamps.extend(
                (0..)
                    .map(|n| (n * 64 / 3, false))
                    .skip_while(|s| s.0 < from)
                    .take_while(|s| s.0 < to),
            );
        }
        stamps.sort_unstable();
        for (stamp, picture) in stamps {
            if picture {
                let key = stamp % 1_000 < 33;
                let nal = if key { IDR } else { SLICE };
                self.video(stamp, &video(key, 0, &prefixed(&[&nal])))
                    .unwrap();
            } else {
                self.audio(stamp, &audio()).unwrap();
            }
        }
    }

    fn drain(&mut self) {
        self.events
            .extend(std::iter::from_fn(|| self.demuxer.poll_event()));
        self.notices
            .extend(std::iter::from_fn(|| self.demuxer.poll_notice()));
    }

    /// The sets of tracks announced, in order.
    pub(crate) fn sets(&self) -> Vec<&[Track]> {
        self.events
            .iter()
            .filter_map(|event| {
                if let Event::Tracks(set) = event {
                    Some(&set[..])
                } else {
                    None
                }
            })
            .collect()
    }

    /// The track ids of the sets announced.
    pub(crate) fn set_ids(&self) -> Vec<Vec<u32>> {
        self.sets()
            .iter()
            .map(|set| set.iter().map(|track| track.id.0).collect())
            .collect()
    }

    pub(crate) fn units(&self, track: TrackId) -> Vec<&AccessUnit> {
        let mut units = Vec::new();
        for event in &self.events {
            if let Event::Unit(unit) = event
                && unit.track == track
            {
                units.push(unit);
            }
        }
        units
    }

    pub(crate) fn breaks(&self) -> Vec<DiscontinuityReason> {
        let reason = |event: &Event| {
            if let Event::Discontinuity(reason) = event {
                Some(*reason)
            } else {
                None
            }
        };
        self.events.iter().filter_map(reason).collect()
    }
}

/// What a publisher sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracks {
    Both,
    Video,
    Audio,
}
