//! Real encoders publish over loopback.
//!
//! In → Out: ffmpeg and GStreamer command lines → what a broadcast gets of them, or what they print.
//! Spec: the case catalogue (ING-…).

use std::process::Stdio;

use media::{EndReason, TrackConfig, TrackId};
use tokio::process::{Child, Command};

use crate::stage::{Record, Stage, soon};

fn ffmpeg(arguments: &str, url: &str) -> Child {
    Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-loglevel", "info"])
        .args(arguments.split_whitespace())
        .args(["-f", "flv", url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("these tests need ffmpeg: apt-get install ffmpeg")
}

const PATTERN: &str =
    "-f lavfi -i testsrc2=size=320x180:rate=RATE -f lavfi -i sine=frequency=440:sample_rate=48000";

async fn record(arguments: &str) -> Record {
    let mut stage = Stage::open().await;
    let child = ffmpeg(arguments, &stage.url("show"));
    let mut admitted = stage.admitted().await;
    assert_eq!(
        (
            admitted.request.app.as_str(),
            admitted.request.name.as_str()
        ),
        ("live", "show")
    );
    let record = admitted.record().await;
    let output = soon("ffmpeg's exit", child.wait_with_output())
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    record
}

fn assert_regular(record: &Record, rate_numerator: i64, rate_denominator: i64) {
    let video = record.of(TrackId::VIDEO);
    let start = video[0].dts.as_nanos();
    for (index, unit) in video.iter().enumerate() {
        let expect =
            1_000_000_000 * rate_denominator * i64::try_from(index).unwrap() / rate_numerator;
        let error = unit.dts.as_nanos() - start - expect;
        assert!(
            error.abs() < 20_000,
            "picture {index} is {error} ns off the grid"
        );
    }
    let mut by_pts = record.units.clone();
    by_pts.sort_by_key(|unit| unit.pts);
    assert!(
        by_pts.windows(2).all(|pair| pair[0].wall <= pair[1].wall),
        "wall time follows presentation time"
    );
    let audio = record.of(TrackId::AUDIO);
    assert!(audio.windows(2).all(|pair| {
        let step = pair[1].dts.since(pair[0].dts).as_nanos();
        (step - 1_024_000_000 / 48).abs() <= 1
    }));
}

#[tokio::test]
async fn ffmpeg_with_b_frames_arrives_whole_and_in_order() {
    let codec = "-t 2 -c:v libx264 -preset ultrafast -bf 2 -g 30 -pix_fmt yuv420p -c:a aac -ac 2";
    let record = record(&format!("{} {codec}", PATTERN.replace("RATE", "30"))).await;
    assert_eq!(record.sets.len(), 1, "both tracks at once");
    let [video, audio] = &record.sets[0][..] else {
        panic!("{:?}", record.sets)
    };
    let TrackConfig::Video(config) = &video.config else {
        panic!("video first")
    };
    assert_eq!(
        (config.width, config.height, config.reorder_frames),
        (320, 180, Some(2))
    );
    assert!(
        config.codec_string.starts_with("avc1.4d"),
        "{}",
        config.codec_string
    );
    assert_eq!(audio.codec_string(), "mp4a.40.2");
    let pictures = record.of(TrackId::VIDEO);
    assert_eq!(pictures.len(), 60);
    assert!(pictures[0].random_access);
    assert!(
        pictures.iter().any(|unit| unit.pts > unit.dts),
        "B-frames have composition offsets"
    );
    let mut shown: Vec<_> = pictures.iter().map(|unit| unit.pts.as_nanos()).collect();
    shown.sort_unstable();
    assert!(
        shown
            .windows(2)
            .all(|pair| (pair[1] - pair[0] - 33_333_333).abs() < 40_000),
        "{shown:?}"
    );
    assert!(record.of(TrackId::AUDIO).len() >= 92);
    assert_regular(&record, 30, 1);
    assert_eq!(record.end, Some(EndReason::Finished));
    assert!(record.breaks.is_empty());
}

#[tokio::test]
async fn every_common_frame_rate_comes_out_exact() {
    for (rate, numerator, denominator) in [
        ("24000/1001", 24_000, 1_001),
        ("24", 24, 1),
        ("25", 25, 1),
        ("30000/1001", 30_000, 1_001),
        ("50", 50, 1),
        ("60", 60, 1),
    ] {
        let codec =
            "-t 3 -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -c:a aac";
        let record = record(&format!("{} {codec}", PATTERN.replace("RATE", rate))).await;
        assert_regular(&record, numerator, denominator);
    }
}
