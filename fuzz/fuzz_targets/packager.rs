//! The packager and its window as a state machine: any sequence of sessions, tracks, units and jumps gives a valid broadcast.
//!
//! In → Out: three bytes an operation → outputs; after each step the audit of core/hls judges outputs and playlists.
//! A follower gets the same events and the boundaries.
//! Covers: core/hls/src/packager.rs, core/hls/src/window.rs, core/hls/src/playlist/media.rs, core/hls/src/playlist/parse.rs
//! Spec: RFC 8216bis; design "Segments", "Playlists"; issue invariant I3 and case PKG-10.
#![no_main]

use bytes::Bytes;
use hls::{Boundaries, Output, Packager, PackagerConfig, Selection, Start, Window, WindowConfig};
use libfuzzer_sys::fuzz_target;
use media::{
    AccessUnit, AudioCodec, AudioConfig, DiscontinuityReason, Duration, EndReason, Event, Rotation, Scan, Timestamp, Track,
    TrackConfig, TrackId, UnixTime, VideoCodec, VideoConfig,
};

#[path = "../../core/hls/tests/it/audit.rs"]
#[allow(dead_code, reason = "the tests of core/hls use all of it")]
mod audit;

use audit::{Audit, Numbers};

const START: u64 = 1_700_000_000_000;

fn video(variant: u8) -> Track {
    let sps: &[u8] = &[0x67, 0x64, 0x00, 0x1f, 0xac, 0xb2, 0x01, 0x40 ^ variant];
    let mut record = vec![1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, sps.len() as u8];
    record.extend_from_slice(sps);
    record.extend_from_slice(&[1, 0, 4, 0x68, 0xee, 0x3c, 0x80]);
    Track {
        id: TrackId::VIDEO,
        config: TrackConfig::Video(VideoConfig {
            codec: VideoCodec::H264,
            width: 640,
            height: 360,
            frame_duration: Some(Duration::from_nanos(33_333_333)),
            decoder_config: Bytes::from(record),
            codec_string: "avc1.64001f".into(),
            rotation: Rotation::None,
            reorder_frames: Some(0),
            scan: Scan::Progressive,
        }),
    }
}

fn audio() -> Track {
    Track {
        id: TrackId::AUDIO,
        config: TrackConfig::Audio(AudioConfig {
            codec: AudioCodec::Aac,
            sample_rate: 48_000,
            channels: 2,
            samples_per_unit: 1024,
            decoder_config: Bytes::from_static(&[0x11, 0x90]),
            codec_string: "mp4a.40.2".into(),
        }),
    }
}

struct Session {
    times: [i64; 2],
    wall: u64,
}

impl Session {
    /// One operation: what, and two numbers for it. Decode times grow strictly, as the normaliser promises.
    fn event(&mut self, operation: u8, a: u8, b: u8) -> Event {
        let nanos = i64::from(a) * 1_000_000 + 1;
        match operation % 16 {
            0 => Event::Tracks(match a % 4 {
                0 => vec![video(b), audio()],
                1 => vec![video(b)],
                2 => vec![audio()],
                _ => vec![video(0), audio()],
            }),
            1 => Event::Discontinuity(DiscontinuityReason::Jump),
            2 => Event::End(EndReason::Lost),
            // A leap of up to 25 s.
            3 => {
                self.times = self.times.map(|time| time + nanos * 100);
                Event::Discontinuity(DiscontinuityReason::Gap)
            }
            4..=9 => {
                self.times[0] += nanos;
                self.wall += u64::from(a);
                let dts = self.times[0];
                self.unit(TrackId::VIDEO, dts, dts + i64::from(b % 4) * 33_000_000, operation % 16 == 4, usize::from(b) + 5)
            }
            // Time that goes back without notice.
            10 => {
                self.times[usize::from(b % 2)] -= nanos * 20;
                self.unit(TrackId(u32::from(b % 3)), self.times[0], self.times[1], a % 2 == 0, usize::from(b) + 5)
            }
            _ => {
                self.times[1] += 21_333_333;
                let dts = self.times[1];
                self.unit(TrackId::AUDIO, dts, dts, true, usize::from(b) + 1)
            }
        }
    }

    fn unit(&self, track: TrackId, dts: i64, pts: i64, random_access: bool, size: usize) -> Event {
        let mut payload = vec![0; size];
        if track == TrackId::VIDEO {
            let length = u32::try_from(size - 4).unwrap_or(0);
            payload[..4].copy_from_slice(&length.to_be_bytes());
            payload[4] = if random_access { 0x65 } else { 0x41 };
        }
        Event::Unit(AccessUnit {
            track,
            pts: Timestamp::from_nanos(pts),
            dts: Timestamp::from_nanos(dts),
            duration: (track == TrackId::AUDIO).then(|| Duration::from_nanos(21_333_333)),
            wall: UnixTime::from_millis(START + self.wall),
            random_access,
            payload: Bytes::from(payload),
        })
    }
}

/// A packager, its window and its judge.
struct Rendition {
    packager: Packager,
    window: Window,
    audit: Audit,
}

impl Rendition {
    fn new(config: PackagerConfig, numbers: Numbers) -> Self {
        let window = WindowConfig { length: Duration::from_secs(6), segments_max: 6, ..WindowConfig::default() };
        Self {
            packager: Packager::new(config, Start::default()),
            window: Window::new(window, Start::default()),
            audit: Audit::new(numbers),
        }
    }

    fn drain(&mut self, mut seen: impl FnMut(&Output)) {
        while let Some(output) = self.packager.poll_output() {
            self.audit.output(&output);
            self.window.apply(&output);
            seen(&output);
        }
        self.audit.snapshot(&self.window.snapshot());
    }
}

fuzz_target!(|input: &[u8]| {
    let mut source = Rendition::new(PackagerConfig::default(), Numbers::Contiguous);
    let follow =
        PackagerConfig { selection: Selection::AudioOnly, boundaries: Boundaries::Follow, ..PackagerConfig::default() };
    let mut follower = Rendition::new(follow, Numbers::Growing);
    let mut session = Session { times: [0, 0], wall: 0 };
    for operation in input.chunks_exact(3).take(400) {
        let event = session.event(operation[0], operation[1], operation[2]);
        let now = UnixTime::from_millis(START + session.wall);
        source.packager.handle_event(&event, now);
        source.drain(|output| {
            if let Output::SegmentStart { cut, .. } = output {
                follower.packager.cut_at(*cut);
            }
        });
        follower.packager.handle_event(&event, now);
        follower.drain(|_| ());
    }
    for rendition in [&mut source, &mut follower] {
        rendition.packager.finish();
        rendition.drain(|_| ());
    }
});
