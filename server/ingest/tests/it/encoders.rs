//! Real encoders publish over loopback.
//!
//! In → Out: ffmpeg and GStreamer command lines → what a broadcast gets of them, or what they print.
//! Spec: the case catalogue (ING-…).

use std::process::Stdio;

use ingest::{Pictures, Refusal, RefusalCode, RtmpConfig};
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

#[tokio::test]
async fn parameter_sets_in_every_form_and_long_gops_arrive() {
    let codec = "-t 2 -c:v libx264 -preset ultrafast -g 600 -pix_fmt yuv420p -x264-params repeat-headers=1:aud=1 -an";
    let record = record(&format!("{} {codec}", PATTERN.replace("RATE", "25"))).await;
    assert_eq!(record.sets.len(), 1);
    assert_eq!(record.sets[0].len(), 1, "picture alone");
    assert_eq!(record.units.len(), 50);
    assert_eq!(
        record
            .units
            .iter()
            .filter(|unit| unit.random_access)
            .count(),
        1
    );
}

#[tokio::test]
async fn sound_alone_arrives() {
    let sine = "-f lavfi -i sine=frequency=440:sample_rate=44100 -t 2 -c:a aac";
    let record = record(sine).await;
    assert_eq!(record.sets.len(), 1);
    assert_eq!(record.sets[0][0].id, TrackId::AUDIO);
    assert!(record.units.len() >= 86);
    assert!(record.units.iter().all(|unit| unit.random_access));
}

#[tokio::test]
async fn ing_18_a_killed_encoder_is_lost_at_once_and_may_come_back() {
    let mut stage = Stage::open().await;
    for _ in 0..2 {
        let codec =
            "-t 60 -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -c:a aac";
        let mut child = ffmpeg(
            &format!("-re {} {codec}", PATTERN.replace("RATE", "30")),
            &stage.url("show"),
        );
        let mut admitted = stage.admitted().await;
        for _ in 0..20 {
            soon("an event", admitted.events.recv()).await.unwrap();
        }
        child.kill().await.unwrap();
        assert_eq!(admitted.record().await.end, Some(EndReason::Lost));
    }
}

/// What ffmpeg prints when it is turned away.
async fn ffmpeg_log(stage: &Stage, arguments: &str) -> String {
    let child = ffmpeg(arguments, &stage.url("show"));
    let output = soon("ffmpeg's exit", child.wait_with_output())
        .await
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_refusal_stands_in_the_encoders_log() {
    let refusal = || {
        Err(Refusal::new(
            RefusalCode::Unauthorized,
            "This stream key is not known; make one first.",
        ))
    };
    let stage = Stage::with(RtmpConfig::default(), Box::new(move |_| refusal())).await;
    let log = ffmpeg_log(
        &stage,
        &format!(
            "-re {} -t 5 -c:v libx264 -c:a aac",
            PATTERN.replace("RATE", "30")
        ),
    )
    .await;
    assert!(
        log.contains("This stream key is not known; make one first."),
        "{log}"
    );

    let log = gstreamer_log(&stage, "x264enc tune=zerolatency ! h264parse").await;
    assert!(
        log.contains("This stream key is not known; make one first."),
        "{log}"
    );
}

#[tokio::test]
async fn ing_08_a_codec_that_is_not_taken_stands_in_ffmpegs_log() {
    let stage = Stage::open().await;
    let log = ffmpeg_log(
        &stage,
        &format!("-re {} -t 5 -c:v flv1 -an", PATTERN.replace("RATE", "30")),
    )
    .await;
    assert!(
        log.contains("video codec Sorenson H.263 is not supported"),
        "{log}"
    );
}

fn gstreamer(stage: &Stage, video: &str) -> Child {
    let pipeline = format!(
        "videotestsrc num-buffers=60 ! video/x-raw,width=320,height=180,framerate=30/1 ! {video} \
         ! flvmux name=m streamable=true ! rtmp2sink location={} \
         audiotestsrc num-buffers=90 ! audioconvert ! voaacenc ! aacparse ! m.",
        stage.url("show")
    );
    Command::new("gst-launch-1.0")
        .args(["-e"])
        .args(pipeline.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("these tests need GStreamer: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-{good,bad,ugly}")
}

async fn gstreamer_log(stage: &Stage, video: &str) -> String {
    let output = soon(
        "GStreamer's exit",
        gstreamer(stage, video).wait_with_output(),
    )
    .await
    .unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn gstreamer_arrives_whole() {
    let mut stage = Stage::open().await;
    let child = gstreamer(
        &stage,
        "x264enc tune=zerolatency key-int-max=30 ! h264parse",
    );
    let mut admitted = stage.admitted().await;
    let record = admitted.record().await;
    let output = soon("GStreamer's exit", child.wait_with_output())
        .await
        .unwrap();
    let log = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(record.sets.len(), 1, "{log}");
    assert_eq!(record.of(TrackId::VIDEO).len(), 60, "{log}");
    assert_eq!(record.of(TrackId::AUDIO).len(), 90, "{log}");
    assert_eq!(record.end, Some(EndReason::Finished), "{log}");
}

#[tokio::test]
async fn ing_09_what_browsers_cannot_decode_is_refused_with_the_reason_where_nothing_is_encoded() {
    let config = RtmpConfig {
        pictures: Pictures::ForBrowsers,
        ..RtmpConfig::default()
    };
    let mut stage = Stage::with(config, Box::new(|_| Ok(()))).await;
    for (pixels, taken) in [
        ("yuv420p10le", false),
        ("yuv422p", false),
        ("yuv420p", true),
    ] {
        let codec = format!("-t 1 -c:v libx264 -preset ultrafast -pix_fmt {pixels} -c:a aac");
        let arguments = format!("-re {} {codec}", PATTERN.replace("RATE", "30"));
        let child = ffmpeg(&arguments, &stage.url("show"));
        let record = stage.admitted().await.record().await;
        let output = soon("ffmpeg's exit", child.wait_with_output())
            .await
            .unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        if taken {
            assert_eq!(record.end, Some(EndReason::Finished), "{log}");
            continue;
        }
        assert_eq!(record.end, Some(EndReason::Refused), "{pixels}: {log}");
        assert!(record.sets.is_empty(), "nothing goes on air");
        assert!(
            log.contains("browsers cannot decode") && log.contains("8 bit 4:2:0"),
            "{log}"
        );
    }
}
