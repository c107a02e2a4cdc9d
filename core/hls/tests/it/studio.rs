//! A synthetic publisher, and a rendition that takes note of everything that comes out.
//!
//! In → Out: frame rates, GOP lengths and mishaps → events; events → outputs, bytes and snapshots.
//! Spec: none; test equipment.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::audit::{Audit, Numbers};
use bytes::Bytes;
use hls::{Cut, Output, Packager, PackagerConfig, Snapshot, Start, Window, WindowConfig};
use media::{
    AccessUnit, AudioCodec, AudioConfig, Delta, Duration, EndReason, Event, Rotation, SegmentId,
    Timescale, Timestamp, Track, TrackConfig, TrackId, UnixTime, VideoCodec, VideoConfig,
};

/// When the synthetic publishers go on air: 2026-11-22T12:00:00Z.
pub(crate) const ON_AIR: UnixTime = UnixTime::from_millis(1_795_348_800_000);

pub(crate) fn video_track(width: u32, height: u32, frame: Option<Duration>) -> Track {
    let decoder_config = Bytes::from_static(&[
        1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 3, 0x68, 0xee, 0x3c,
    ]);
    let config = VideoConfig {
        codec: VideoCodec::H264,
        width,
        height,
        frame_duration: frame,
        decoder_config,
        codec_string: "avc1.64001f".into(),
        rotation: Rotation::None,
        reorder_frames: Some(0),
        scan: media::Scan::Progressive,
    };
    Track {
        id: TrackId::VIDEO,
        config: TrackConfig::Video(config),
    }
}

pub(crate) fn audio_track(sample_rate: u32) -> Track {
    let index: u16 = if sample_rate == 48_000 { 3 } else { 4 };
    let config = AudioConfig {
        codec: AudioCodec::Aac,
        sample_rate,
        channels: 2,
        samples_per_unit: 1024,
        decoder_config: Bytes::copy_from_slice(&(2 << 11 | index << 7 | 2 << 3).to_be_bytes()),
        codec_string: "mp4a.40.2".into(),
    };
    Track {
        id: TrackId::AUDIO,
        config: TrackConfig::Audio(config),
    }
}

/// What a synthetic publisher sends.
#[derive(Clone, Debug)]
pub(crate) struct Show {
    /// Pictures per 1,001 or 1,000 ms: numerator and denominator of the rate.
    pub(crate) rate: (u64, u64),
    /// Pictures from one random access point to the next.
    pub(crate) gop: u64,
    pub(crate) sample_rate: u32,
    pub(crate) video: bool,
    pub(crate) audio: bool,
    /// Bytes of an ordinary picture.
    pub(crate) picture: usize,
    /// How much later than its pictures sound arrives; negative: earlier.
    pub(crate) audio_late_millis: i64,
    /// When the session begins, from [`ON_AIR`].
    pub(crate) from_millis: u64,
    /// Time stamps are rounded to whole milliseconds.
    pub(crate) rounded: bool,
    /// B-frames: pictures are shown in another order than decoded.
    pub(crate) reordered: bool,
}

impl Default for Show {
    fn default() -> Self {
        Self {
            rate: (30, 1),
            gop: 60,
            sample_rate: 48_000,
            video: true,
            audio: true,
            picture: 5_000,
            audio_late_millis: 0,
            from_millis: 0,
            rounded: false,
            reordered: false,
        }
    }
}

impl Show {
    pub(crate) fn frame(&self) -> Duration {
        Duration::from_nanos(self.rate.1 * 1_000_000_000 / self.rate.0)
    }

    pub(crate) fn tracks(&self) -> Event {
        let video = self
            .video
            .then(|| video_track(640, 360, Some(self.frame())));
        Event::Tracks(
            video
                .into_iter()
                .chain(self.audio.then(|| audio_track(self.sample_rate)))
                .collect(),
        )
    }

    fn wall(&self, pts: Timestamp) -> UnixTime {
        ON_AIR + Duration::from_millis(self.from_millis) + pts.since(Timestamp::ZERO)
    }

    fn picture_time(&self, index: u64) -> Timestamp {
        let exact = Timestamp::from_nanos(
            (index * self.rate.1 * 1_000_000_000 / self.rate.0).cast_signed(),
        );
        if self.rounded {
            Timestamp::from_millis((exact + Duration::from_nanos(500_000)).as_millis())
        } else {
            exact
        }
    }

    fn picture(&self, index: u64) -> AccessUnit {
        // Two pictures of delay; in each pair the second is shown before the first: decoded I P B P B, shown I B P B P.
        let place = index % self.gop;
        let last = place + 1 == self.gop;
        let shown = match (self.reordered, place) {
            (false, _) => index,
            (true, 0) => index + 2,
            (true, place) if place % 2 == 1 && !last => index + 3,
            (true, place) if place % 2 == 1 => index + 2,
            (true, _) => index + 1,
        };
        let random_access = place == 0;
        let size = if random_access {
            self.picture * 4
        } else {
            self.picture
        };
        let pts = self.picture_time(shown);
        AccessUnit {
            track: TrackId::VIDEO,
            pts,
            dts: self.picture_time(index),
            duration: Some(self.frame()),
            wall: self.wall(pts),
            random_access,
            payload: nal(if random_access { 0x65 } else { 0x41 }, size, index),
        }
    }

    fn sound(&self, index: u64) -> AccessUnit {
        let scale = Timescale::new(self.sample_rate).unwrap();
        let pts = Timestamp::from_ticks(index.cast_signed() * 1024, scale);
        AccessUnit {
            track: TrackId::AUDIO,
            pts,
            dts: pts,
            duration: Some(Duration::from_ticks(1024, scale)),
            wall: self.wall(pts),
            random_access: true,
            payload: Bytes::from(vec![(index % 251) as u8; 340]),
        }
    }

    /// The units of the first `millis`, in order of arrival.
    pub(crate) fn units(&self, millis: u64) -> Vec<Event> {
        let until = Timestamp::from_millis(millis.cast_signed());
        let pictures = (0..)
            .map(|index| self.picture(index))
            .take_while(|unit| self.video && unit.dts < until);
        let sounds = (0..)
            .map(|index| self.sound(index))
            .take_while(|unit| self.audio && unit.dts < until);
        let late = self.audio_late_millis * 1_000_000;
        let mut units: Vec<(i64, AccessUnit)> = pictures
            .map(|unit| (unit.dts.as_nanos(), unit))
            .chain(sounds.map(|unit| (unit.dts.as_nanos() + late, unit)))
            .collect();
        units.sort_by_key(|(arrival, unit)| (*arrival, unit.track));
        units
            .into_iter()
            .map(|(_, unit)| Event::Unit(unit))
            .collect()
    }

    /// Tracks and units.
    pub(crate) fn session(&self, millis: u64) -> Vec<Event> {
        std::iter::once(self.tracks())
            .chain(self.units(millis))
            .collect()
    }
}

/// One NAL unit with its length before it.
pub(crate) fn nal(header: u8, size: usize, seed: u64) -> Bytes {
    let mut bytes = u32::try_from(size.max(1)).unwrap().to_be_bytes().to_vec();
    bytes.push(header);
    bytes.extend(
        (1..size as u64).map(|index| (index.wrapping_mul(31).wrapping_add(seed) % 250 + 2) as u8),
    );
    Bytes::from(bytes)
}

/// Moves units in session time, not on the wall clock.
pub(crate) fn shifted(events: Vec<Event>, millis: i64) -> Vec<Event> {
    let shift = |event| match event {
        Event::Unit(mut unit) => {
            unit.pts = unit.pts + Delta::from_millis(millis);
            unit.dts = unit.dts + Delta::from_millis(millis);
            Event::Unit(unit)
        }
        other => other,
    };
    events.into_iter().map(shift).collect()
}

/// Leaves out the units of a track between two moments of session time.
pub(crate) fn without(
    events: Vec<Event>,
    track: TrackId,
    millis: std::ops::Range<i64>,
) -> Vec<Event> {
    let gone = |event: &Event| match event {
        Event::Unit(unit) => unit.track == track && millis.contains(&unit.dts.as_millis()),
        _ => false,
    };
    events.into_iter().filter(|event| !gone(event)).collect()
}

/// All bytes of one segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) ts: Vec<Bytes>,
    pub(crate) durations: Vec<Duration>,
    pub(crate) independent: Vec<bool>,
    pub(crate) ended: Option<Duration>,
}

/// A packager with its window, and everything that came out.
pub(crate) struct Rendition {
    audit: Audit,
    pub(crate) packager: Packager,
    pub(crate) window: Window,
    pub(crate) outputs: Vec<Output>,
    pub(crate) bodies: BTreeMap<SegmentId, Body>,
    pub(crate) inits: BTreeMap<u32, Bytes>,
    pub(crate) cuts: Vec<Cut>,
    /// The snapshot after each event that changed one.
    pub(crate) snapshots: Vec<Arc<Snapshot>>,
}

impl Rendition {
    pub(crate) fn new(config: PackagerConfig) -> Self {
        Self::with_window(config, WindowConfig::default())
    }

    pub(crate) fn with_window(config: PackagerConfig, window: WindowConfig) -> Self {
        let own = config.boundaries == hls::Boundaries::Own;
        Self {
            audit: Audit::new(if own {
                Numbers::Contiguous
            } else {
                Numbers::Growing
            }),
            packager: Packager::new(config, Start::default()),
            window: Window::new(window, Start::default()),
            outputs: Vec::new(),
            bodies: BTreeMap::new(),
            inits: BTreeMap::new(),
            cuts: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    pub(crate) fn feed(&mut self, events: &[Event]) -> &mut Self {
        for event in events {
            self.packager
                .handle_event(event, UnixTime::from_nanos(u64::MAX));
            self.drain();
        }
        self
    }

    pub(crate) fn end(&mut self, reason: EndReason) -> &mut Self {
        self.feed(&[Event::End(reason)])
    }

    pub(crate) fn finish(&mut self) -> &mut Self {
        self.packager.finish();
        self.drain();
        self
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.packager.poll_output() {
            self.window.apply(&output);
            self.audit.output(&output);
            match &output {
                Output::Init { epoch, bytes, .. } => {
                    assert_eq!(
                        self.inits.insert(epoch.0, bytes.clone()),
                        None,
                        "one init section an epoch"
                    );
                }
                Output::SegmentStart { id, cut, .. } => {
                    assert!(
                        self.bodies.insert(*id, Body::default()).is_none(),
                        "one URL, one body"
                    );
                    self.cuts.push(*cut);
                }
                Output::Chunk {
                    segment,
                    bytes,
                    ts,
                    duration,
                    independent,
                } => {
                    let body = self.bodies.get_mut(segment).expect("its segment has begun");
                    assert_eq!(body.ended, None, "nothing is added to a complete segment");
                    body.chunks.push(bytes.clone());
                    body.ts.extend(ts.clone());
                    body.durations.push(*duration);
                    body.independent.push(*independent);
                }
                Output::SegmentEnd { id, duration } => {
                    let body = self.bodies.get_mut(id).expect("its segment has begun");
                    assert_eq!(body.ended.replace(*duration), None, "a segment ends once");
                }
                Output::Part { .. } | Output::Interrupted { .. } | Output::Finished => {}
            }
            self.outputs.push(output);
        }
        let snapshot = self.window.snapshot();
        self.audit.snapshot(&snapshot);
        if self
            .snapshots
            .last()
            .is_none_or(|last| last.version != snapshot.version)
        {
            self.snapshots.push(snapshot);
        }
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.snapshots.last().expect("drained")
    }

    /// Numbers and rounded durations of complete segments.
    pub(crate) fn segments(&self) -> Vec<(String, u64)> {
        let complete = |(id, body): (&SegmentId, &Body)| {
            Some((
                id.to_string(),
                (body.ended?.as_nanos() + 500_000) / 1_000_000,
            ))
        };
        self.bodies.iter().filter_map(complete).collect()
    }
}

/// Parts of 200 ms, so that 30, 25 and 50 pictures a second all fill them to a whole number.
pub(crate) fn config() -> PackagerConfig {
    PackagerConfig {
        part_target: Duration::from_millis(200),
        ..PackagerConfig::default()
    }
}
