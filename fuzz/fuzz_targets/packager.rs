//! The packager and its window as a state machine: any sequence of sessions, tracks, units and jumps gives a valid broadcast.
//!
//! In → Out: three bytes an operation → outputs; after each step the numbers, durations and playlists keep their promises.
//! Covers: core/hls/src/packager.rs, core/hls/src/window.rs, core/hls/src/playlist/media.rs, core/hls/src/reload.rs
//! Spec: RFC 8216bis; design "Segments", "Playlists"; issue invariant I3 and case PKG-10.
#![no_main]

use bytes::Bytes;
use hls::playlist::media::{Announce, Form, MediaRequest, Skip, render};
use hls::{Output, Packager, PackagerConfig, Start, Window, WindowConfig};
use libfuzzer_sys::fuzz_target;
use media::{
    AccessUnit, AudioCodec, AudioConfig, DiscontinuityReason, Duration, EndReason, Event, Rotation, SegmentId, Timestamp, Track,
    TrackConfig, TrackId, UnixTime, VideoCodec, VideoConfig,
};

const START: u64 = 1_700_000_000_000;

/// What a viewer relies on, from output to output.
#[derive(Default)]
struct Checker {
    open: Option<SegmentId>,
    last: Option<SegmentId>,
    date: Option<u64>,
    parts: u32,
    chunks: u32,
    part_target: u64,
    first_msn: u64,
    discontinuities: u64,
}

impl Checker {
    fn check(&mut self, output: &Output) {
        match output {
            Output::SegmentStart { id, program_date_time, part_target, .. } => {
                assert!(self.open.is_none(), "a segment begins inside another");
                if let Some(last) = self.last {
                    assert!(id.msn > last.msn && id.epoch >= last.epoch, "{last:?} is followed by {id:?}");
                }
                let date = program_date_time.as_millis();
                assert!(self.date.is_none_or(|before| date >= before), "the date went back");
                (self.open, self.last, self.date) = (Some(*id), Some(*id), Some(date));
                (self.parts, self.chunks, self.part_target) = (0, 0, part_target.as_nanos());
            }
            Output::Chunk { segment, bytes, ts, .. } => {
                assert_eq!(self.open, Some(*segment));
                check_boxes(bytes);
                assert!(ts.as_ref().is_none_or(|ts| ts.len() % 188 == 0));
                self.chunks += 1;
            }
            Output::Part { segment, part, chunks, duration, .. } => {
                assert_eq!((self.open, self.parts), (Some(*segment), *part));
                assert!(chunks.start < chunks.end && chunks.end <= self.chunks);
                assert!(duration.as_nanos() <= self.part_target, "a part longer than the part target");
                self.parts += 1;
            }
            Output::SegmentEnd { id, .. } => {
                assert_eq!(self.open.take(), Some(*id));
                assert!(self.chunks > 0, "a segment without a chunk");
            }
            Output::Init { bytes, .. } => check_boxes(bytes),
            Output::Interrupted { .. } => assert!(self.open.is_none()),
            Output::Finished => assert!(self.open.is_none()),
        }
    }

    fn check_window(&mut self, window: &mut Window) {
        let snapshot = window.snapshot();
        let first = snapshot.first_msn().0;
        assert!(first >= self.first_msn, "the media sequence number went back");
        assert!(snapshot.discontinuity_sequence >= self.discontinuities);
        (self.first_msn, self.discontinuities) = (first, snapshot.discontinuity_sequence);
        for form in [Form::Fmp4, Form::Ts] {
            let text = render(&snapshot, &MediaRequest { form, announce: Announce::Prefetch, skip: Skip::No, reports: &[] });
            assert!(text.starts_with("#EXTM3U\n") && text.ends_with('\n'));
            for duration in text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")) {
                let seconds: f64 = duration.split(',').next().unwrap_or("").parse().expect("a number");
                assert!(seconds.round() <= snapshot.target_duration.as_secs_f64(), "{seconds} s in {text}");
            }
        }
    }
}

fn check_boxes(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (size, _) = bytes.split_first_chunk::<4>().expect("a box size");
        let size = u32::from_be_bytes(*size) as usize;
        assert!(size >= 8 && size <= bytes.len(), "a box of {size} bytes in {}", bytes.len());
        bytes = &bytes[size..];
    }
}

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

fuzz_target!(|input: &[u8]| {
    let mut packager = Packager::new(PackagerConfig::default(), Start::default());
    let mut window = Window::new(WindowConfig::default(), Start::default());
    let mut session = Session { times: [0, 0], wall: 0 };
    let mut checker = Checker::default();
    let mut step = |packager: &mut Packager| {
        while let Some(output) = packager.poll_output() {
            checker.check(&output);
            window.apply(&output);
        }
        checker.check_window(&mut window);
    };
    for operation in input.chunks_exact(3).take(400) {
        let event = session.event(operation[0], operation[1], operation[2]);
        packager.handle_event(&event, UnixTime::from_millis(START + session.wall));
        step(&mut packager);
    }
    packager.finish();
    step(&mut packager);
    assert!(checker.open.is_none());
});
