//! Sources of odd shapes and rates, made by a real ffmpeg: each plays as it is, has the right ladder, or is refused with a reason.
//!
//! In → Out: ffmpeg's arguments → RTMP → playlists, the API, and what a decoder finds in the segments that they list.
//! Spec: issue "Every viewer's own quality", "Bad input"; cases ING-16, PKG-06; RFC 8216bis, 4.4.3.1 (`EXT-X-TARGETDURATION`), 4.4.3.7
//! (`PART-TARGET`), 4.4.6.2 (`EXT-X-STREAM-INF`).

use std::process::Stdio;

use hls::playlist::multivariant::{MultivariantPlaylist, Variant};
use hls::playlist::parse;
use rtmp::PublisherEvent;
use serde_json::Value;
use testkit::pattern::FrameRate;
use testkit::synthetic::Settings;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::process::{Answer, LIMIT, Server};
use crate::publisher::publish_with;

const SINE: &str = "-f lavfi -i sine=frequency=440:sample_rate=48000 -t 3 -c:a aac";

/// Test pictures of a size and a rate with a key frame each second.
fn picture(size: &str, rate: &str) -> String {
    format!("-f lavfi -i testsrc2=size={size}:rate={rate}")
}

fn x264(gop: u32) -> String {
    format!("-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g {gop}")
}

/// With 4:2:0 a width is always even: what has 853 has more colour, and not every browser can decode it.
fn x264_853() -> String {
    format!(
        "-vf format=yuv444p,scale=853:480 {} -pix_fmt yuv444p",
        x264(30)
    )
}

async fn tool(program: &str, arguments: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(["-hide_banner", "-loglevel", "error"])
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("these tests need ffmpeg: apt-get install ffmpeg");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feed = tokio::spawn(async move { stdin.write_all(&input).await });
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("{program} does not end"))
        .unwrap();
    let _ = feed.await;
    assert!(output.status.success(), "{program} {arguments}");
    output.stdout
}

/// What viewers get of a broadcast.
struct Seen {
    multivariant: MultivariantPlaylist,
    api: Value,
    /// `source`'s init section.
    init: Vec<u8>,
    /// When a decoder shows `source`'s pictures, in seconds.
    times: Vec<f64>,
    /// What ffprobe says of the streams in `source`'s init section and listed segments.
    streams: Vec<Value>,
}

impl Seen {
    fn stream(&self, kind: &str) -> Option<&Value> {
        self.streams
            .iter()
            .find(|stream| stream["codec_type"] == kind)
    }

    /// Width, height and count of the pictures that a decoder gets.
    fn pictures(&self) -> (u64, u64, u64) {
        let video = self.stream("video").expect("picture");
        let frames = video["nb_read_frames"].as_str().unwrap().parse().unwrap();
        (
            video["width"].as_u64().unwrap(),
            video["height"].as_u64().unwrap(),
            frames,
        )
    }

    /// Channels and sampling rate that a decoder gets.
    fn sound(&self) -> (u64, String) {
        let audio = self.stream("audio").expect("sound");
        (
            audio["channels"].as_u64().unwrap(),
            audio["sample_rate"].as_str().unwrap().to_owned(),
        )
    }

    fn ladder(&self) -> String {
        ladder(&self.multivariant)
    }

    fn advice(&self) -> Vec<&str> {
        let advice = self.api["advice"].as_array().unwrap();
        advice
            .iter()
            .map(|advice| advice["code"].as_str().unwrap())
            .collect()
    }
}

/// The variants as `name WIDTHxHEIGHT`.
fn ladder(multivariant: &MultivariantPlaylist) -> String {
    let line = |variant: &Variant| {
        let name = variant.uri.split('/').next().unwrap().to_owned();
        match variant.resolution {
            Some((width, height)) => format!("{name} {width}x{height}"),
            None => name,
        }
    };
    let lines = multivariant.variants.iter().map(line);
    lines.collect::<Vec<_>>().join(", ")
}

/// Publishes to the end, and looks.
async fn see(arguments: &str) -> Seen {
    let server = Server::start_with_ffmpeg(&["--dev"]).await;
    let url = format!("-f flv rtmp://{}/live/x", server.rtmp);
    tool("ffmpeg", &format!("{arguments} {url}"), &[]).await;
    let away = |answer: &Answer| answer.status == 200 && answer.json()["state"] == "reconnecting";
    let api = server.get_until("/api/v1/broadcasts/x", away).await.json();
    look(&server, api).await
}

async fn look(server: &Server, api: Value) -> Seen {
    let multivariant = parse::multivariant(&server.get("/live/x/index.m3u8").await.text()).unwrap();
    let text = server.get("/live/x/source/index.m3u8").await.text();
    check_playlist(&text);
    let sound = server.get("/live/x/audio/index.m3u8").await;
    if sound.status == 200 {
        check_playlist(&sound.text());
    }
    let (times, streams) = probe(server, "source", &text).await;
    let init = server.get("/live/x/source/1.init.mp4").await.body;
    Seen {
        multivariant,
        api,
        init,
        times,
        streams,
    }
}

/// What ffprobe finds in a rendition's init section and its listed segments: when pictures are shown, and the streams.
async fn probe(server: &Server, rendition: &str, playlist: &str) -> (Vec<f64>, Vec<Value>) {
    let map = playlist
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-MAP:URI=\"")?.split('"').next())
        .expect("an init section");
    let names = playlist.lines().filter(|line| !line.starts_with('#'));
    let mut bytes = Vec::new();
    for name in [map].into_iter().chain(names) {
        let object = server.get(&format!("/live/x/{rendition}/{name}")).await;
        assert!(object.status == 200 && object.ended_cleanly(), "{name}");
        bytes.extend(object.body);
    }
    let stream = "codec_type,width,height,pix_fmt,channels,sample_rate,nb_read_frames,field_order";
    let entries = format!("stream={stream}:frame=media_type,pts_time");
    let line = format!("-count_frames -show_entries {entries} -of json -i pipe:0");
    let found: Value = serde_json::from_slice(&tool("ffprobe", &line, &bytes).await).unwrap();
    let frames = found["frames"].as_array().unwrap();
    let time = |frame: &Value| frame["pts_time"].as_str().unwrap().parse().unwrap();
    let pictures = frames.iter().filter(|frame| frame["media_type"] == "video");
    (
        pictures.map(time).collect(),
        found["streams"].as_array().unwrap().clone(),
    )
}

/// It can be read, and no segment and no part is longer than it says.
fn check_playlist(text: &str) {
    parse::media(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let tag = |name: &'static str| text.lines().filter_map(move |line| line.strip_prefix(name));
    let number = |text: &str| {
        text.split([',', '"'])
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    let target = tag("#EXT-X-TARGETDURATION:").map(number).next().unwrap();
    for duration in tag("#EXTINF:").map(number) {
        assert!(duration.round() <= target, "{duration} s in\n{text}");
    }
    let part_target = tag("#EXT-X-PART-INF:PART-TARGET=").map(number).next();
    for duration in tag("#EXT-X-PART:DURATION=").map(number) {
        let target = part_target.expect("a part target");
        assert!(
            duration <= target + 0.000_5,
            "a part of {duration} s in\n{text}"
        );
    }
}

#[tokio::test]
async fn a_width_of_853_plays_and_has_an_even_rung() {
    let seen = see(&format!(
        "{} {SINE} {}",
        picture("854x480", "30"),
        x264_853()
    ))
    .await;
    assert_eq!(seen.pictures(), (853, 480, 90));
    assert!(seen.ladder().contains("240p 426x240"), "{}", seen.ladder());
    assert!(seen.advice().contains(&"profile_not_for_browsers"));
}

#[tokio::test]
async fn the_rung_of_an_odd_source_is_what_the_playlist_promised() {
    let server = Server::start_with_ffmpeg(&["--dev"]).await;
    let publisher = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-re"])
        .args(picture("854x480", "30").split_whitespace())
        .args(format!("-an {} -f flv rtmp://{}/live/x", x264_853(), server.rtmp).split_whitespace())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let offered = |answer: &Answer| answer.text().contains("240p/");
    server.get_until("/live/x/index.m3u8", offered).await;
    let listed = |answer: &Answer| answer.text().contains("#EXTINF");
    let playlist = server.get_until("/live/x/240p/index.m3u8", listed).await;
    let streams = probe(&server, "240p", &playlist.text()).await.1;
    assert_eq!(streams[0]["width"], 426);
    assert_eq!(streams[0]["height"], 240);
    assert_eq!(streams[0]["pix_fmt"], "yuv420p");
    drop(publisher);
}

#[tokio::test]
async fn the_smallest_pictures_play_without_any_rung() {
    for side in [2, 16] {
        let size = format!("{side}x{side}");
        let seen = see(&format!("{} {SINE} {}", picture(&size, "30"), x264(30))).await;
        assert_eq!(seen.ladder(), format!("source {size}, audio"));
        assert_eq!(seen.pictures(), (side, side, 90));
    }
}

#[tokio::test]
async fn eight_thousand_columns_have_every_rung_and_too_many_are_refused() {
    let server = Server::start_with_ffmpeg(&["--dev"]).await;
    let settings = Settings {
        width: 7_680,
        height: 4_320,
        rate: FrameRate {
            numerator: 5,
            denominator: 1,
        },
        gop: 5,
        ..Settings::default()
    };
    let publisher = publish_with(server.rtmp, "x", settings);
    let text = server
        .get_until("/live/x/index.m3u8", |answer| answer.status == 200)
        .await
        .text();
    let ladder = ladder(&parse::multivariant(&text).unwrap());
    let expect = "source 7680x4320, 1080p 1920x1080, 720p 1280x720, 480p 854x480, 240p 426x240";
    assert!(ladder.starts_with(expect), "{ladder}");
    publisher.abort();

    let wider = Settings {
        width: 16_400,
        height: 16,
        ..settings
    };
    let told = publish_with(server.rtmp, "y", wider).await.unwrap();
    let Some(PublisherEvent::Refused { description, .. }) = told else {
        panic!("{told:?}")
    };
    assert!(
        description.contains("larger than 16384 pixels"),
        "{description}"
    );
}

#[tokio::test]
async fn five_pictures_a_second_and_a_hundred_and_twenty_play() {
    for rate in [5, 120] {
        let pictures = picture("320x260", &rate.to_string());
        let seen = see(&format!("{pictures} {SINE} {}", x264(rate))).await;
        assert_eq!(seen.ladder(), "source 320x260, 240p 296x240, audio");
        assert_eq!(seen.pictures(), (320, 260, 3 * u64::from(rate)));
        let said = seen
            .multivariant
            .variants
            .iter()
            .map(|variant| variant.frame_rate_milli);
        let expect = Some(1_000 * u64::from(rate));
        assert_eq!(said.collect::<Vec<_>>(), [expect, expect, None]);
    }
}

#[tokio::test]
async fn a_variable_rate_plays_every_picture_without_a_hole_and_never_late() {
    let vary = "-vf select='not(mod(n,3))+lt(mod(n,7),3)' -fps_mode vfr";
    let seen = see(&format!(
        "{} {SINE} {} {vary}",
        picture("320x260", "30"),
        x264(30)
    ))
    .await;
    let expect: Vec<f64> = (0..90_u32)
        .filter(|n| n % 3 == 0 || n % 7 < 3)
        .map(|n| f64::from(n) / 30.0)
        .collect();
    assert_eq!(seen.times.len(), expect.len());
    // A picture that follows a hole is shown where the hole begins; what comes after it is where it was.
    let mut earliest = 0.0;
    for (time, expect) in seen.times.iter().zip(expect) {
        let played = time - seen.times[0];
        let fits = earliest - 0.001_5..expect + 0.001_5;
        assert!(fits.contains(&played), "{played} s is not in {fits:?}");
        earliest = expect + 1.0 / 30.0;
    }
}

#[tokio::test]
async fn interlaced_pictures_play() {
    let pictures = picture("720x576", "25");
    let seen = see(&format!(
        "{pictures} {SINE} {} -x264-params interlaced=1",
        x264(25)
    ))
    .await;
    assert_eq!(
        seen.ladder(),
        "source 720x576, 480p 600x480, 240p 300x240, audio"
    );
    assert_eq!(seen.pictures(), (720, 576, 75));
    assert_eq!(seen.stream("video").unwrap()["field_order"], "tt");
}

#[tokio::test]
async fn mono_six_channels_and_odd_sampling_rates_are_heard() {
    for (options, channels, rate) in [
        ("-ac 1", 1, "48000"),
        ("-ac 6", 6, "48000"),
        ("-ac 1 -ar 8000", 1, "8000"),
        ("-ac 2 -ar 96000", 2, "96000"),
    ] {
        let pictures = picture("320x180", "30");
        let seen = see(&format!("{pictures} {SINE} {} {options}", x264(30))).await;
        assert_eq!(seen.sound(), (channels, rate.to_owned()));
        assert_eq!(seen.pictures(), (320, 180, 90));
        let audio = seen.multivariant.variants.last().unwrap();
        assert_eq!(audio.codecs.as_deref(), Some("mp4a.40.2"));
    }
}

#[tokio::test]
async fn ing_16_picture_alone_has_no_sound_to_choose() {
    let seen = see(&format!(
        "{} -t 3 {} -an",
        picture("320x260", "30"),
        x264(30)
    ))
    .await;
    assert_eq!(seen.ladder(), "source 320x260, 240p 296x240");
    assert_eq!(seen.pictures(), (320, 260, 90));
    assert!(seen.stream("audio").is_none());
    assert_eq!(seen.advice(), ["no_sound"]);
}

#[tokio::test]
async fn ing_16_sound_alone_has_no_ladder() {
    let seen = see(SINE).await;
    assert_eq!(seen.ladder(), "source, audio");
    assert_eq!(seen.sound(), (1, "48000".to_owned()));
    assert!(seen.stream("video").is_none() && seen.advice().is_empty());
}

#[tokio::test]
async fn pkg_06_codecs_in_the_playlist_are_those_in_the_init_section() {
    // A level far too low for the picture: decoders play it, and nothing of ours contradicts anything else of ours.
    let low = "-bsf:v h264_metadata=level=1";
    for (profile, lie) in [("baseline", ""), ("main", ""), ("high", low)] {
        let pictures = picture("320x180", "30");
        let encoder = format!("{} -profile:v {profile} -preset veryfast", x264(30));
        let seen = see(&format!("{pictures} {SINE} {encoder} {lie}")).await;
        let record = seen
            .init
            .windows(4)
            .position(|window| window == b"avcC")
            .map(|at| &seen.init[at + 5..at + 8])
            .expect("a decoder configuration");
        let [profile, flags, level] = record else {
            panic!("three bytes")
        };
        let expect = format!("avc1.{profile:02x}{flags:02x}{level:02x},mp4a.40.2");
        let source = &seen.multivariant.variants[0];
        assert_eq!(source.codecs.as_deref(), Some(expect.as_str()));
        assert_eq!(seen.api["renditions"][0]["codecs"], expect);
        assert!(lie.is_empty() || *level == 10, "{level}");
        assert_eq!(seen.pictures(), (320, 180, 90));
    }
}
