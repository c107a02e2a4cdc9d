//! Publishers that no one would want, and networks that fail them.
//!
//! In → Out: bad bytes, bad media, bad manners → refusals, limits, and other sessions that never notice.
//! Spec: the case catalogue (ING-…).

use std::time::{Duration, Instant};

use bytes::Bytes;
use ingest::{Refusal, RefusalCode, RtmpConfig};
use media::{EndReason, Event, Feedback, TrackId};
use rtmp::PublisherEvent;
use rtmp::chunk::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{Peer, Stage, soon};

/// `avcC` of a 640×360 Constrained Baseline stream, made with x264.
const RECORD: &[u8] = b"\x01B\xc0\x1e\xff\xe1\0\x19gB\xc0\x1e\xda\x02\x80\xbf\xe5\xc0D\0\0\x03\0\x04\0\0\x03\0\xf2<X\xba\x80\x01\0\x04h\xce\x0f\xc8";

fn video_config() -> Bytes {
    [&[0x17, 0, 0, 0, 0], RECORD].concat().into()
}

fn picture(length: usize) -> Bytes {
    let mut body = vec![0x17, 1, 0, 0, 0];
    body.extend(u32::try_from(length).unwrap().to_be_bytes());
    body.push(0x65);
    body.resize(9 + length, 0x55);
    body.into()
}

fn quick() -> RtmpConfig {
    RtmpConfig {
        handshake_timeout: Duration::from_millis(300),
        silence_timeout: Duration::from_millis(300),
        ..RtmpConfig::default()
    }
}

async fn open_with(config: RtmpConfig) -> Stage {
    Stage::with(config, Box::new(|_| Ok(()))).await
}

/// Reads until the server closes.
async fn closed(stream: &mut TcpStream) {
    let mut scrap = [0; 4_096];
    soon("the server's close", async {
        while matches!(stream.read(&mut scrap).await, Ok(1..)) {}
    })
    .await;
}

/// A live publisher that has sent its first picture.
async fn live(stage: &mut Stage, name: &str) -> (Peer, crate::stage::Admitted) {
    let (mut peer, event) = stage.publish(name).await;
    assert_eq!(event, PublisherEvent::Ready);
    let mut admitted = stage.admitted().await;
    peer.machine
        .send_metadata(vec![("hasAudio".into(), rtmp::amf0::Value::Boolean(false))]);
    peer.machine.send_video(0, video_config());
    peer.machine.send_video(0, picture(100));
    peer.flush().await;
    assert!(matches!(
        soon("tracks", admitted.events.recv()).await,
        Some(Event::Tracks(_))
    ));
    assert!(matches!(
        soon("a picture", admitted.events.recv()).await,
        Some(Event::Unit(_))
    ));
    (peer, admitted)
}

/// Sends one more picture and sees it arrive.
async fn still_alive(peer: &mut Peer, admitted: &mut crate::stage::Admitted, millis: u32) {
    peer.machine.send_video(millis, picture(100));
    peer.flush().await;
    assert!(matches!(
        soon("a picture", admitted.events.recv()).await,
        Some(Event::Unit(_))
    ));
}

#[tokio::test]
async fn a_query_is_not_part_of_the_name() {
    let mut stage = Stage::open().await;
    let (_peer, event) = stage.publish("show?token=1").await;
    assert_eq!(event, PublisherEvent::Ready);
    let admitted = stage.admitted().await;
    assert_eq!(admitted.request.query.as_deref(), Some("token=1"));
    assert_eq!(
        (
            admitted.request.app.as_str(),
            admitted.request.name.as_str()
        ),
        ("live", "show")
    );
}

#[tokio::test]
async fn ing_01_sockets_that_trickle_a_handshake_are_closed_and_publishers_go_on() {
    let mut stage = open_with(RtmpConfig {
        silence_timeout: Duration::from_secs(20),
        ..quick()
    })
    .await;
    let (mut peer, mut admitted) = live(&mut stage, "show").await;
    let mut sockets = Vec::new();
    for _ in 0..300 {
        let mut socket = TcpStream::connect(stage.address).await.unwrap();
        socket.write_all(&[3, 0]).await.unwrap();
        sockets.push(socket);
    }
    still_alive(&mut peer, &mut admitted, 33).await;
    for socket in &mut sockets {
        let _ = socket.write_all(&[0]).await;
        closed(socket).await;
    }
    still_alive(&mut peer, &mut admitted, 66).await;
}

#[tokio::test]
async fn other_protocols_are_closed_at_once() {
    let stage = Stage::open().await;
    for hello in ["GET / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}"] {
        let mut socket = TcpStream::connect(stage.address).await.unwrap();
        socket.write_all(hello.as_bytes()).await.unwrap();
        closed(&mut socket).await;
    }
}

#[tokio::test]
async fn connections_past_the_limit_are_closed() {
    let mut stage = open_with(RtmpConfig {
        connections_max: 2,
        ..RtmpConfig::default()
    })
    .await;
    let (mut peer, mut admitted) = live(&mut stage, "show").await;
    let _second = TcpStream::connect(stage.address).await.unwrap();
    let mut third = TcpStream::connect(stage.address).await.unwrap();
    closed(&mut third).await;
    still_alive(&mut peer, &mut admitted, 33).await;
}

#[tokio::test]
async fn ing_02_and_05_a_peer_that_breaks_the_chunk_stream_is_closed_and_others_go_on() {
    let mut stage = Stage::open().await;
    let (mut good, mut good_admitted) = live(&mut stage, "good").await;
    let zero = Message {
        chunk_stream: 2,
        timestamp: 0,
        kind: 1,
        stream: 0,
        payload: Bytes::from_static(&[0; 4]),
    };
    let many = |n: u32| Message {
        chunk_stream: 100 + n,
        timestamp: 0,
        kind: 9,
        stream: 1,
        payload: Bytes::from_static(&[0]),
    };
    for messages in [vec![zero], (0..70).map(many).collect()] {
        let (mut bad, mut admitted) = live(&mut stage, "bad").await;
        for message in &messages {
            bad.machine.send_message(message);
        }
        bad.flush().await;
        closed(&mut bad.stream).await;
        assert_eq!(admitted.record().await.end, Some(EndReason::Refused));
    }
    still_alive(&mut good, &mut good_admitted, 33).await;
}

#[tokio::test]
async fn ing_08_an_unknown_codec_is_refused_with_its_name() {
    let mut stage = Stage::open().await;
    let (mut peer, _) = stage.publish("show").await;
    let mut admitted = stage.admitted().await;
    peer.machine
        .send_video(0, Bytes::from_static(b"\x90hvc1\x01\x01"));
    let Some(PublisherEvent::Refused { code, description }) =
        soon("the refusal", peer.event()).await
    else {
        panic!("it is told why")
    };
    assert_eq!(code, "NetStream.Publish.Rejected");
    assert!(
        description.contains("HEVC") && description.contains("H.264"),
        "{description}"
    );
    assert_eq!(admitted.record().await.end, Some(EndReason::Refused));
    closed(&mut peer.stream).await;
}

#[tokio::test]
async fn a_wrong_name_is_refused_in_the_gates_words() {
    let refuse = Box::new(|_: &_| {
        Err(Refusal::new(
            RefusalCode::Unauthorized,
            "This stream key is not known.",
        ))
    });
    let stage = Stage::with(RtmpConfig::default(), refuse).await;
    let (mut peer, event) = stage.publish("show").await;
    let refused = PublisherEvent::Refused {
        code: "NetStream.Publish.Denied".into(),
        description: "This stream key is not known.".into(),
    };
    assert_eq!(event, refused);
    closed(&mut peer.stream).await;
}

#[tokio::test]
async fn ing_17_a_publisher_that_vanishes_is_lost_after_the_silence() {
    let mut stage = open_with(quick()).await;
    let (peer, mut admitted) = live(&mut stage, "show").await;
    let since = Instant::now();
    assert_eq!(admitted.record().await.end, Some(EndReason::Lost));
    assert!(
        since.elapsed() >= Duration::from_millis(250),
        "not before its time"
    );
    drop(peer);
    assert_eq!(
        RtmpConfig::default().silence_timeout,
        Duration::from_secs(5)
    );
}

#[tokio::test]
async fn a_replaced_publisher_is_told_and_closed() {
    let mut stage = Stage::open().await;
    let (mut peer, mut admitted) = live(&mut stage, "show").await;
    admitted
        .feedback
        .send(Feedback::KeyframeNeeded)
        .await
        .unwrap();
    admitted
        .feedback
        .send(Feedback::Stop(EndReason::Replaced))
        .await
        .unwrap();
    let Some(PublisherEvent::Refused { description, .. }) =
        soon("the farewell", peer.event()).await
    else {
        panic!("it is told why")
    };
    assert!(description.contains("newer session"), "{description}");
    assert_eq!(admitted.record().await.end, Some(EndReason::Replaced));
    closed(&mut peer.stream).await;
}

#[tokio::test]
async fn ing_34_peers_that_leave_between_any_two_steps_harm_nobody() {
    let mut stage = Stage::open().await;
    let (mut good, mut good_admitted) = live(&mut stage, "good").await;
    let script = {
        let mut machine = rtmp::Publisher::new(rtmp::PublisherConfig::default());
        machine.poll_output().unwrap()
    };
    for length in [0, 1, 700, script.len()] {
        let mut socket = TcpStream::connect(stage.address).await.unwrap();
        socket.write_all(&script[..length]).await.unwrap();
    }
    let (peer, _) = stage.publish("leaves").await;
    let mut admitted = stage.admitted().await;
    drop(peer);
    let record = admitted.record().await;
    assert_eq!((record.units.len(), record.end), (0, Some(EndReason::Lost)));
    still_alive(&mut good, &mut good_admitted, 33).await;
}

#[tokio::test]
async fn a_broadcast_that_does_not_read_makes_the_publisher_wait() {
    let mut stage = Stage::open().await;
    let (mut peer, mut admitted) = live(&mut stage, "show").await;
    let mut sent: u32 = 0;
    // The channel holds 64 events; the sockets hold a few megabytes; then nothing more is taken.
    let stalled = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            sent += 1;
            peer.machine.send_video(sent * 33, picture(100_000));
            let bytes = peer.machine.poll_output().unwrap();
            if tokio::time::timeout(Duration::from_millis(500), peer.stream.write_all(&bytes))
                .await
                .is_err()
            {
                break;
            }
        }
    });
    stalled.await.expect("the publisher is made to wait");
    assert!(sent < 400, "{sent} pictures of 100 kB were taken");
    drop(peer);
    let record = admitted.record().await;
    assert!(record.units.len() + 1 >= usize::try_from(sent).unwrap() - 80);
    assert!(
        record
            .units
            .iter()
            .all(|unit| unit.payload.len() == 100_004)
    );
}

#[tokio::test]
async fn ing_29_a_publisher_above_the_bitrate_is_slowed_down_and_others_are_not() {
    let config = RtmpConfig {
        bitrate_max_bps: 8_000_000,
        burst_max_bytes: 500_000,
        ..RtmpConfig::default()
    };
    let mut stage = open_with(config).await;
    let (mut good, mut good_admitted) = live(&mut stage, "good").await;
    let (mut flood, mut flood_admitted) = live(&mut stage, "flood").await;
    let flooding = tokio::spawn(async move {
        for n in 1..=25_u32 {
            flood.machine.send_video(n * 33, picture(100_000));
            flood.flush().await;
        }
        flood
    });
    let since = Instant::now();
    let mut units = 0;
    while units < 25 {
        if let Some(Event::Unit(unit)) = soon("the flood", flood_admitted.events.recv()).await {
            assert_eq!(unit.track, TrackId::VIDEO);
            units += 1;
        }
        let asked = Instant::now();
        still_alive(&mut good, &mut good_admitted, 33 + units * 33).await;
        assert!(
            asked.elapsed() < Duration::from_millis(500),
            "the other publisher waited {:?}",
            asked.elapsed()
        );
    }
    // 2.5 MB, of which 0.5 MB at once and the rest at 1 MB/s.
    assert!(
        since.elapsed() > Duration::from_millis(1_800),
        "{:?}",
        since.elapsed()
    );
    drop(flooding.await.unwrap());
}

#[tokio::test]
async fn shutdown_tells_publishers_and_waits_for_them() {
    let mut stage = Stage::open().await;
    let (mut peer, mut admitted) = live(&mut stage, "show").await;
    stage.shutdown.cancel();
    let Some(PublisherEvent::Refused { description, .. }) =
        soon("the farewell", peer.event()).await
    else {
        panic!("it is told why")
    };
    assert!(description.contains("shutting down"), "{description}");
    assert_eq!(admitted.record().await.end, Some(EndReason::Stopped));
    drop(peer);
    soon("the server's end", stage.server).await.unwrap();
}
