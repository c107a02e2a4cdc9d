//! An encoder that does not say that its pictures are in order: x264's own sequence parameter set without its VUI.
//!
//! In → Out: x264's stream over RTMP → the set that a broadcast announces, and what ffmpeg decodes with it.
//! Spec: ITU-T H.264, 7.3.2.1.1, E.2.1 (`max_num_reorder_frames`); issue "Every viewer's own quality".

use std::process::Stdio;

use bytes::Bytes;
use formats::codec::h264::Sps;
use formats::container::flv::file::{Reader, TagKind};
use media::{TrackConfig, TrackId};
use rtmp::PublisherEvent;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::stage::{Record, Stage, soon};

/// Runs ffmpeg with this on its standard input; returns its standard output.
async fn ffmpeg(arguments: &str, input: Vec<u8>) -> Vec<u8> {
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error"])
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("these tests need ffmpeg: apt-get install ffmpeg");
    let mut stdin = child.stdin.take().expect("it is piped");
    let feed = tokio::spawn(async move { stdin.write_all(&input).await });
    let output = soon("ffmpeg's exit", child.wait_with_output())
        .await
        .unwrap();
    let _ = feed.await;
    assert!(output.status.success());
    output.stdout
}

/// Two seconds of High profile with eight reference frames.
async fn x264(b_frames: u32, parameters: &str) -> Vec<(TagKind, u32, Bytes)> {
    let line = format!(
        "-f lavfi -i testsrc2=size=320x180:rate=30 -t 2 -c:v libx264 -preset ultrafast -profile:v high -refs 8 \
         -x264-params cabac=1:8x8dct=1:b-adapt=0{parameters} -bf {b_frames} -g 30 -pix_fmt yuv420p -an -f flv pipe:1"
    );
    let mut reader = Reader::default();
    reader.handle_bytes(&ffmpeg(&line, Vec::new()).await);
    let mut tags = Vec::new();
    while let Some(tag) = reader.poll_tag().unwrap() {
        tags.push((tag.kind, tag.millis, tag.body));
    }
    tags
}

/// The SPS of a configuration record with one.
fn sps(record: &[u8]) -> &[u8] {
    let length = usize::from(u16::from_be_bytes([record[6], record[7]]));
    &record[8..8 + length]
}

/// A High profile SPS as an encoder without VUI would have written it.
fn without_vui(sps: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for &byte in &sps[1..] {
        if !(payload.ends_with(&[0, 0]) && byte == 3) {
            payload.push(byte);
        }
    }
    let bit = |at: usize| payload[at / 8] >> (7 - at % 8) & 1 == 1;
    // Profile, constraints and level; then numbers, of which only the order type says what follows.
    let mut at = 24;
    let ue = |at: &mut usize| {
        let zeros = (*at..payload.len() * 8).take_while(|&at| !bit(at)).count();
        let code =
            (*at + zeros..=*at + 2 * zeros).fold(0, |code, at| code << 1 | u32::from(bit(at)));
        *at += 2 * zeros + 1;
        code - 1
    };
    for _ in ["id", "chroma format", "luma depth", "chroma depth"] {
        ue(&mut at);
    }
    assert!(!bit(at + 1), "no scaling lists");
    at += 2;
    ue(&mut at);
    if ue(&mut at) == 0 {
        ue(&mut at);
    }
    ue(&mut at);
    at += 1;
    ue(&mut at);
    ue(&mut at);
    // Interlaced has one flag more; then direct inference, then whether there is a crop.
    at += if bit(at) { 3 } else { 4 };
    if bit(at - 1) {
        for _ in 0..4 {
            ue(&mut at);
        }
    }
    assert!(bit(at), "x264 writes a VUI");
    let mut bits: Vec<bool> = (0..at).map(bit).collect();
    bits.extend([false, true]);
    let mut out = vec![sps[0]];
    for bits in bits.chunks(8) {
        let byte = (0..8).fold(0, |byte, at| {
            byte << 1 | u8::from(bits.get(at) == Some(&true))
        });
        if out.ends_with(&[0, 0]) && byte <= 3 {
            out.push(3);
        }
        out.push(byte);
    }
    out
}

/// The tags with the silent set in place of x264's, in the record and in the second key picture.
fn silenced(tags: &[(TagKind, u32, Bytes)]) -> (Vec<u8>, Vec<(u32, Bytes)>) {
    let mut silent = Vec::new();
    let mut keys = 0;
    let mut out = Vec::new();
    for (kind, millis, body) in tags {
        if *kind != TagKind::Video {
            continue;
        }
        let mut body = body.to_vec();
        if body[1] == 0 {
            let (head, record) = body.split_at(5);
            let original = sps(record);
            silent = without_vui(original);
            let length = u16::try_from(silent.len()).unwrap().to_be_bytes();
            let rest = &record[8 + original.len()..];
            body = [head, &record[..6], &length, &silent, rest].concat();
        } else if body[0] >> 4 == 1 {
            keys += 1;
            if keys == 2 {
                let length = u32::try_from(silent.len()).unwrap().to_be_bytes();
                body.splice(5..5, length.into_iter().chain(silent.iter().copied()));
            }
        }
        out.push((*millis, body.into()));
    }
    (silent, out)
}

async fn published(tags: &[(u32, Bytes)]) -> Record {
    let mut stage = Stage::open().await;
    let (mut peer, event) = stage.publish("show").await;
    assert_eq!(event, PublisherEvent::Ready);
    let mut admitted = stage.admitted().await;
    let tags = tags.to_vec();
    let sender = tokio::spawn(async move {
        for (millis, body) in tags {
            peer.machine.send_video(millis, body);
            peer.flush().await;
        }
        let goodbye = peer.machine.finish();
        let _ = peer.stream.write_all(&goodbye).await;
        peer.stream
    });
    let record = admitted.record().await;
    drop(sender.await);
    record
}

/// What ffmpeg shows of the pictures behind these parameter sets: one line with a checksum for each.
async fn decoded(record: &Record, avcc: &[u8], sps_in_place: &[u8]) -> String {
    const START: [u8; 4] = [0, 0, 0, 1];
    let original = sps(avcc);
    let pps = &avcc[8 + original.len() + 3..];
    let length = usize::from(u16::from_be_bytes([
        avcc[8 + original.len() + 1],
        avcc[8 + original.len() + 2],
    ]));
    let mut stream = [&START[..], sps_in_place, &START, &pps[..length]].concat();
    for unit in record.of(TrackId::VIDEO) {
        let mut rest = &unit.payload[..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (nal, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            stream.extend([&START[..], nal].concat());
            rest = after;
        }
    }
    let sums = ffmpeg(
        "-f h264 -i pipe:0 -fps_mode passthrough -f framemd5 pipe:1",
        stream,
    )
    .await;
    let lines = String::from_utf8(sums).unwrap();
    let sum = |line: &str| line.rsplit(',').next().unwrap().trim().to_owned();
    let sums: Vec<_> = lines
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(sum)
        .collect();
    assert_eq!(sums.len(), 60, "{lines}");
    sums.join("\n")
}

fn video(record: &Record) -> Vec<&media::VideoConfig> {
    let configs = record.sets.iter().map(|set| match &set[0].config {
        TrackConfig::Video(video) => video,
        TrackConfig::Audio(_) => panic!("picture alone"),
    });
    configs.collect()
}

#[tokio::test]
async fn a_silent_encoder_without_b_frames_gets_the_hint_and_every_picture_stays_the_same() {
    // Without B-frames x264 chooses an order that rules reordering out, except in interlaced pictures.
    for (parameters, known) in [("", Some(0)), (":interlaced=1", None)] {
        let (silent, tags) = silenced(&x264(0, parameters).await);
        let parsed = Sps::parse(&silent).unwrap();
        assert!(parsed.is_silent() && parsed.reorder_frames == known);
        let record = published(&tags).await;
        let [config] = video(&record)[..] else {
            panic!("{} sets", record.sets.len())
        };
        assert_eq!(
            (config.width, config.height, config.reorder_frames),
            (320, 180, Some(0))
        );
        let rewritten = sps(&config.decoder_config);
        let again = Sps::parse(rewritten).unwrap();
        assert!(!again.is_silent() && again.reorder_frames == Some(0));
        let before = decoded(&record, &config.decoder_config, &silent).await;
        let after = decoded(&record, &config.decoder_config, rewritten).await;
        assert_eq!(before, after);
    }
}

#[tokio::test]
async fn a_silent_encoder_with_b_frames_keeps_its_own_set() {
    let tags = x264(2, "").await;
    let (silent, tags) = silenced(&tags);
    let record = published(&tags).await;
    let [config] = video(&record)[..] else {
        panic!("{} sets", record.sets.len())
    };
    assert_eq!(config.reorder_frames, None);
    assert_eq!(sps(&config.decoder_config), silent);
}
