//! What a packager makes of real encoders' output, judged by real players: ffmpeg and ffprobe must find nothing wrong.
//!
//! In → Out: ffmpeg's FLV → demuxer → packager → files as a server would answer them → ffprobe, ffmpeg.
//! Spec: RFC 8216bis; ISO/IEC 14496-12; ISO/IEC 13818-1.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::{Bytes, BytesMut};
use formats::container::flv;
use hls::playlist::media::{Announce, Form, MediaRequest};
use hls::playlist::{init_uri, media as media_playlist, segment_uri};
use hls::{
    Boundaries, Cut, Output, Packager, PackagerConfig, Selection, Start, Window, WindowConfig,
};
use media::{Duration, EndReason, Event, SegmentId, TrackConfig, TrackId, UnixTime};

const ON_AIR: UnixTime = UnixTime::from_millis(1_795_348_800_000);

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("nearcast-packaged-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a tool; yields what it printed. Fails if it failed or complained.
fn run(tool: &str, arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(tool)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("{tool} is needed for this test (apt-get install ffmpeg): {error}")
        });
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.trim().is_empty(),
        "{tool} {arguments:?}: {complaints}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Encodes seconds of a test picture and a tone as FLV and yields the session's events.
fn encode(seconds: u32, rate: &str, video: &[&str], audio: &[&str]) -> Vec<Event> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]);
    let duration = seconds.to_string();
    if !video.is_empty() {
        let source = format!("testsrc2=size=320x180:rate={rate}:duration={duration}");
        command.args(["-f", "lavfi", "-i", &source]);
    }
    if !audio.is_empty() {
        let source =
            format!("sine=frequency=1000:beep_factor=2:sample_rate=48000:duration={duration}");
        command.args(["-f", "lavfi", "-i", &source]);
    }
    if !video.is_empty() {
        command
            .args([
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv420p",
            ])
            .args(video);
    }
    command.args(audio).args(["-f", "flv", "pipe:1"]);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed (apt-get install ffmpeg)");
    let mut bytes = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    assert!(child.wait().unwrap().success());
    let mut reader = flv::file::Reader::default();
    reader.handle_bytes(&bytes);
    let mut demuxer = flv::demux::Demuxer::new();
    let mut events = Vec::new();
    while let Some(tag) = reader.poll_tag().unwrap() {
        let arrival = ON_AIR + Duration::from_millis(u64::from(tag.millis));
        match tag.kind {
            flv::file::TagKind::Video => demuxer
                .handle_video(tag.millis, &tag.body, arrival)
                .unwrap(),
            flv::file::TagKind::Audio => demuxer
                .handle_audio(tag.millis, &tag.body, arrival)
                .unwrap(),
            flv::file::TagKind::Script => {}
        }
        events.extend(std::iter::from_fn(|| demuxer.poll_event()));
    }
    events.extend(demuxer.finish());
    events.push(Event::End(EndReason::Finished));
    events
}

/// One rendition as files.
#[derive(Default)]
struct Files {
    inits: BTreeMap<u32, Bytes>,
    segments: BTreeMap<SegmentId, (BytesMut, BytesMut)>,
}

impl Files {
    fn take(&mut self, output: &Output) {
        match output {
            Output::Init { epoch, bytes, .. } => {
                self.inits.insert(epoch.0, bytes.clone());
            }
            Output::Chunk {
                segment, bytes, ts, ..
            } => {
                let (fmp4, packets) = self.segments.entry(*segment).or_default();
                fmp4.extend_from_slice(bytes);
                packets.extend_from_slice(ts.as_ref().unwrap());
            }
            _ => {}
        }
    }

    fn write(&self, directory: &Path, window: &mut Window) {
        for (epoch, bytes) in &self.inits {
            std::fs::write(directory.join(init_uri(media::Epoch(*epoch))), bytes).unwrap();
        }
        let mut all = std::fs::File::create(directory.join("all.mp4")).unwrap();
        all.write_all(self.inits.values().next().unwrap()).unwrap();
        for (id, (fmp4, ts)) in &self.segments {
            std::fs::write(directory.join(segment_uri(*id, Form::Fmp4)), fmp4).unwrap();
            std::fs::write(directory.join(segment_uri(*id, Form::Ts)), ts).unwrap();
            all.write_all(fmp4).unwrap();
        }
        for (name, form) in [("index.m3u8", Form::Fmp4), ("ts.m3u8", Form::Ts)] {
            let request = MediaRequest {
                form,
                announce: Announce::Prefetch,
                ..MediaRequest::default()
            };
            let text = media_playlist::render(&window.snapshot(), &request);
            std::fs::write(directory.join(name), text).unwrap();
        }
    }
}

fn package(events: &[Event], directory: &Path) -> Files {
    let mut packager = Packager::new(PackagerConfig::default(), Start::default());
    let mut window = Window::new(WindowConfig::default(), Start::default());
    let mut files = Files::default();
    for event in events {
        packager.handle_event(event, UnixTime::from_nanos(u64::MAX));
        while let Some(output) = packager.poll_output() {
            window.apply(&output);
            files.take(&output);
        }
    }
    packager.finish();
    while let Some(output) = packager.poll_output() {
        window.apply(&output);
        files.take(&output);
    }
    files.write(directory, &mut window);
    files
}

/// How many units of a kind belong into the segments: sound before the first picture belongs to nothing.
fn count(events: &[Event], kind: media::TrackKind) -> usize {
    let units = || {
        events.iter().filter_map(|event| match event {
            Event::Unit(unit) => Some(unit),
            _ => None,
        })
    };
    let first = units()
        .find(|unit| unit.track == TrackId::VIDEO)
        .map(|unit| unit.dts);
    let wanted = if kind == media::TrackKind::Video {
        TrackId::VIDEO
    } else {
        TrackId::AUDIO
    };
    units()
        .filter(|unit| unit.track == wanted && first.is_none_or(|first| unit.dts >= first))
        .count()
}

/// Packages and has every form read and decoded without a complaint; all pictures and sounds must be there.
fn check(name: &str, events: &[Event]) -> Scratch {
    let scratch = Scratch::new(name);
    let files = package(events, &scratch.0);
    assert!(!files.segments.is_empty(), "{name}");
    let expected = [
        ("video", "v", count(events, media::TrackKind::Video)),
        ("audio", "a", count(events, media::TrackKind::Audio)),
    ];
    for file in ["all.mp4", "index.m3u8", "ts.m3u8"] {
        run(
            "ffmpeg",
            &["-v", "warning", "-xerror", "-i", file, "-f", "null", "-"],
            &scratch.0,
        );
        for (kind, selector, units) in expected {
            let arguments = [
                "-v",
                "error",
                "-count_packets",
                "-select_streams",
                selector,
                "-show_entries",
                "stream=codec_type,nb_read_packets",
                "-of",
                "csv=p=0",
                file,
            ];
            let found = run("ffprobe", &arguments, &scratch.0);
            let expected = if units == 0 {
                String::new()
            } else {
                format!("{kind},{units}")
            };
            // Streams of a playlist are listed twice, once as part of a programme.
            let first = found
                .lines()
                .next()
                .unwrap_or_default()
                .trim_end_matches(',');
            assert_eq!(first, expected, "{name}: {file}");
        }
    }
    scratch
}

const LIVE: [&str; 5] = ["-tune", "zerolatency", "-g", "60", "-bf"];
const AAC: [&str; 4] = ["-c:a", "aac", "-b:a", "128k"];

#[test]
fn what_a_live_encoder_sends_plays_in_every_form() {
    let video = [&LIVE[..], &["0"]].concat();
    for rate in ["30", "24", "25", "30000/1001", "60"] {
        let events = encode(5, rate, &video, &AAC);
        let scratch = check(&format!("rate-{}", rate.replace('/', "-")), &events);
        drop(scratch);
    }
}

#[test]
fn b_frames_keep_their_order() {
    let events = encode(6, "30", &["-g", "60", "-bf", "3", "-b_strategy", "0"], &AAC);
    let reordered = events
        .iter()
        .any(|event| matches!(event, Event::Unit(unit) if unit.pts != unit.dts));
    assert!(reordered, "the encoder made B-frames");
    let scratch = check("b-frames", &events);
    for file in ["all.mp4", "ts.m3u8"] {
        let arguments = [
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "frame=best_effort_timestamp_time",
            "-of",
            "csv=p=0",
            file,
        ];
        let text = run("ffprobe", &arguments, &scratch.0);
        let times: Vec<f64> = text
            .lines()
            .filter_map(|line| line.trim_end_matches(',').parse().ok())
            .collect();
        assert_eq!(times.len(), 180, "{file}");
        for pair in times.windows(2) {
            assert!(
                (pair[1] - pair[0] - 1.0 / 30.0).abs() < 0.002,
                "{file}: {pair:?}"
            );
        }
    }
}

#[test]
fn ing_16_only_sound_and_only_pictures_play() {
    check(
        "only-video",
        &encode(5, "30", &[&LIVE[..], &["0"]].concat(), &[]),
    );
    check(
        "only-audio",
        &encode(
            5,
            "30",
            &[],
            &["-c:a", "aac", "-b:a", "128k", "-ar", "44100"],
        ),
    );
}

#[test]
fn sound_and_pictures_stay_in_step() {
    let events = encode(6, "30", &[&LIVE[..], &["0"]].concat(), &AAC);
    let scratch = check("step", &events);
    for file in ["all.mp4", "index.m3u8", "ts.m3u8"] {
        let start = |selector: &str| -> f64 {
            let arguments = [
                "-v",
                "error",
                "-select_streams",
                selector,
                "-show_entries",
                "packet=pts_time",
                "-of",
                "csv=p=0",
                file,
            ];
            let text = run("ffprobe", &arguments, &scratch.0);
            let times = text
                .lines()
                .filter_map(|line| line.trim_end_matches(',').parse().ok());
            times.fold(f64::INFINITY, f64::min)
        };
        assert!(
            (start("v") - start("a")).abs() < 0.040,
            "{file}: {} {}",
            start("v"),
            start("a")
        );
    }
}

/// Replaces the sound of part of a session by nothing, and has the packager's silence judged by a decoder.
#[test]
fn ing_16_missing_sound_is_replaced_by_silence_that_decodes() {
    let mut events = encode(12, "30", &[&LIVE[..], &["0"]].concat(), &AAC);
    let muted = |event: &Event| match event {
        Event::Unit(unit) => {
            let millis = unit.pts.as_millis();
            unit.track == TrackId::AUDIO && (3_000..9_000).contains(&millis)
        }
        _ => false,
    };
    events.retain(|event| !muted(event));
    let scratch = Scratch::new("silence");
    package(&events, &scratch.0);
    for file in ["all.mp4", "index.m3u8", "ts.m3u8"] {
        run(
            "ffmpeg",
            &["-v", "warning", "-xerror", "-i", file, "-f", "null", "-"],
            &scratch.0,
        );
        let arguments = [
            "-v",
            "error",
            "-select_streams",
            "a",
            "-show_entries",
            "packet=pts_time",
            "-of",
            "csv=p=0",
            file,
        ];
        let text = run("ffprobe", &arguments, &scratch.0);
        let times: Vec<f64> = text
            .lines()
            .filter_map(|line| line.trim_end_matches(',').parse().ok())
            .collect();
        let widest = times
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .fold(0.0, f64::max);
        assert!(widest < 0.060, "{file}: a hole of {widest} s");
    }
}

#[test]
fn container_overhead_stays_under_five_percent() {
    let check = |name: &str, bitrate: &str, selection: Selection| {
        let bitrate = ["-b:v", bitrate, "-maxrate", bitrate, "-bufsize", bitrate];
        let video = [
            &["-tune", "zerolatency", "-g", "60", "-bf", "0"][..],
            &bitrate,
        ]
        .concat();
        let events = encode(12, "30", &video, &AAC);
        let config = PackagerConfig {
            selection,
            ..PackagerConfig::default()
        };
        let mut packager = Packager::new(config, Start::default());
        let (mut bytes, mut payload) = (0, 0);
        for event in &events {
            packager.handle_event(event, UnixTime::from_nanos(u64::MAX));
            let Event::Unit(unit) = event else { continue };
            // The first segments measure.
            let counted = unit.pts.as_millis() >= 2_000;
            let taken = selection == Selection::All || unit.track == TrackId::AUDIO;
            payload += if counted && taken {
                unit.payload.len()
            } else {
                0
            };
            while let Some(output) = packager.poll_output() {
                if let Output::Chunk { bytes: chunk, .. } = output {
                    bytes += if counted { chunk.len() } else { 0 };
                }
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "for printing and comparing")]
        let percent = (bytes as f64 / payload as f64 - 1.0) * 100.0;
        println!("{name}: {percent:.2} % of {} kb/s", payload * 8 / 10_000);
        assert!(percent < 5.0, "{name}: {percent:.2} %");
    };
    check("high", "2500k", Selection::All);
    check("middle", "1000k", Selection::All);
    check("low", "400k", Selection::All);
    check("sound alone", "400k", Selection::AudioOnly);
}

#[test]
fn an_audio_rendition_beside_the_source_has_the_same_numbers_for_the_same_times() {
    let events = encode(9, "30", &[&LIVE[..], &["0"]].concat(), &AAC);
    let scratch = Scratch::new("audio");
    let mut source = Packager::new(PackagerConfig::default(), Start::default());
    let config = PackagerConfig {
        selection: Selection::AudioOnly,
        boundaries: Boundaries::Follow,
        ..PackagerConfig::default()
    };
    let mut audio = Packager::new(config, Start::default());
    let mut window = Window::new(WindowConfig::default(), Start::default());
    let mut files = Files::default();
    let (mut source_cuts, mut audio_cuts): (Vec<Cut>, Vec<Cut>) = (Vec::new(), Vec::new());
    let now = UnixTime::from_nanos(u64::MAX);
    let mut take = |packager: &mut Packager, cuts: &mut Vec<Cut>| {
        while let Some(output) = packager.poll_output() {
            window.apply(&output);
            files.take(&output);
            if let Output::SegmentStart { cut, .. } = output {
                cuts.push(cut);
            }
            if let Output::Init { tracks, .. } = &output {
                assert!(
                    tracks
                        .iter()
                        .all(|track| matches!(track.config, TrackConfig::Audio(_)))
                );
            }
        }
    };
    for event in &events {
        source.handle_event(event, now);
        while let Some(output) = source.poll_output() {
            if let Output::SegmentStart { cut, .. } = output {
                source_cuts.push(cut);
                audio.cut_at(cut);
            }
        }
        audio.handle_event(event, now);
        take(&mut audio, &mut audio_cuts);
    }
    audio.finish();
    take(&mut audio, &mut audio_cuts);
    assert!(source_cuts.len() >= 4);
    assert_eq!(source_cuts, audio_cuts);
    files.write(&scratch.0, &mut window);
    for file in ["all.mp4", "index.m3u8", "ts.m3u8"] {
        run(
            "ffmpeg",
            &["-v", "warning", "-xerror", "-i", file, "-f", "null", "-"],
            &scratch.0,
        );
    }
}
