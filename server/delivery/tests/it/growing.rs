//! Growing segments: at once, exactly, never torn and clean at the same time.
//!
//! In → Out: requests for segments in every state → bytes as they are made.
//! Spec: design "Segments".

use std::time::Duration;

use delivery::HttpConfig;
use hls::{Output, WindowConfig};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::client::{AT_ONCE, End, Http1, until};
use crate::stage::{Setting, Stage, id};

const CURRENT: &str = "/live/show/source/1.0.m4s";

#[tokio::test]
async fn a_segment_tells_of_the_connection_to_who_is_connected_directly_and_to_nobody_else() {
    let mut stage = Stage::on_air().await;
    let mut viewer = stage.connect().await;
    let head = viewer.get(CURRENT).await;
    let hint = head.header("cmsd-dynamic").expect("a hint");
    assert!(hint.starts_with("\"nearcast\""), "{hint}");
    assert!(hint.contains(";rtt=") && hint.contains(";nearcast-unsent="));
    let exposed = head.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("CMSD-Dynamic"));
    for proxy in ["Via: 1.1 cache\r\n", "X-Forwarded-For: 192.0.2.1\r\n"] {
        let mut cache = stage.connect().await;
        let head = cache.ask("GET", CURRENT, proxy).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("cmsd-dynamic"), None, "{proxy}");
    }
    stage.chunk(1, 0, "all");
    stage.end(1, 0);
    assert_eq!(viewer.chunk().await, Ok(Some("all".to_owned())));
    assert_eq!(viewer.chunk().await, Ok(None));
    let head = viewer.get("/live/show/source/1.1.m4s").await;
    assert!(head.header("cmsd-dynamic").is_some(), "on each segment");
}

#[tokio::test]
async fn a_growing_segment_answers_at_once_and_ends_exactly_at_its_last_chunk() {
    let mut stage = Stage::on_air().await;
    let mut viewer = stage.connect().await;
    let head = viewer.get(CURRENT).await;
    assert_eq!((head.status, head.is_chunked()), (200, true));
    assert_eq!(head.header("content-length"), None);
    assert_eq!(
        head.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(head.header("content-type"), Some("video/mp4"));
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    assert_eq!(head.header("timing-allow-origin"), Some("*"));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert!(head.header("date").is_some());
    for absent in ["set-cookie", "vary", "access-control-allow-credentials"] {
        assert_eq!(head.header(absent), None, "{absent}");
    }
    for text in ["first", "second", "third"] {
        stage.chunk(1, 0, text);
        assert_eq!(viewer.chunk().await, Ok(Some(text.to_owned())));
    }
    stage.end(1, 0);
    assert_eq!(viewer.chunk().await, Ok(None));

    let head = viewer.get("/live/show/source/1.init.mp4").await;
    assert_eq!(viewer.text(&head).await, "init 1", "the connection goes on");
}

#[tokio::test]
async fn who_joins_late_gets_all_bytes_so_far_and_then_each_chunk() {
    let mut stage = Stage::on_air().await;
    for index in 0..200 {
        stage.chunk(1, 0, &format!("chunk {index}"));
    }
    let mut viewer = stage.connect().await;
    assert_eq!(viewer.get(CURRENT).await.status, 200);
    for index in 0..200 {
        assert_eq!(viewer.chunk().await, Ok(Some(format!("chunk {index}"))));
    }
    stage.chunk(1, 0, "live");
    assert_eq!(viewer.chunk().await, Ok(Some("live".to_owned())));
}

#[tokio::test]
async fn the_ts_form_grows_beside_the_other() {
    let mut stage = Stage::on_air().await;
    let mut viewer = stage.connect().await;
    let head = viewer.get("/live/show/source/1.0.ts").await;
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("video/mp2t"))
    );
    stage.chunk(1, 0, "frame");
    assert_eq!(viewer.chunk().await, Ok(Some("FRAME".to_owned())));
    stage.end(1, 0);
    assert_eq!(viewer.chunk().await, Ok(None));
}

#[tokio::test]
async fn requests_sent_ahead_on_one_connection_are_answered_in_turn() {
    let mut stage = Stage::on_air().await;
    let mut viewer = stage.connect().await;
    let request = |msn| format!("GET /live/show/source/1.{msn}.m4s HTTP/1.1\r\nHost: x\r\n\r\n");
    viewer.send(&(request(0) + &request(1))).await;
    assert_eq!(viewer.head().await.status, 200);
    stage.chunk(1, 0, "zero");
    assert_eq!(viewer.chunk().await, Ok(Some("zero".to_owned())));
    viewer.send(&request(2)).await;
    stage.end(1, 0);
    assert_eq!(viewer.chunk().await, Ok(None));
    assert_eq!(viewer.head().await.status, 200);
    stage.begin(1, 1);
    stage.chunk(1, 1, "one");
    assert_eq!(viewer.chunk().await, Ok(Some("one".to_owned())));
    stage.end(1, 1);
    assert_eq!(viewer.chunk().await, Ok(None));
    assert_eq!(viewer.head().await.status, 200);
}

#[tokio::test]
async fn http_08_near_segments_are_held_far_ones_refused_and_no_refusal_outlives_a_second() {
    let mut stage = Stage::on_air().await;
    let (mut next, mut after, mut far) = (
        stage.connect().await,
        stage.connect().await,
        stage.connect().await,
    );
    for (viewer, msn) in [(&mut next, 1), (&mut after, 2)] {
        let head = viewer.get(&format!("/live/show/source/1.{msn}.m4s")).await;
        assert_eq!((head.status, head.is_chunked()), (200, true));
        assert!(!viewer.has_arrived());
    }
    for path in [
        "1.3.m4s",
        "1.1000.m4s",
        "2.0.m4s",
        "2.1.m4s",
        "7.0.m4s",
        "1.0.9.m4s",
        "9.init.mp4",
    ] {
        let head = far.get(&format!("/live/show/source/{path}")).await;
        assert_eq!(head.status, 404, "{path}");
        assert!(
            head.max_age().is_none_or(|age| age <= 1),
            "{path}: {head:?}"
        );
        far.body(&head).await;
    }
    stage.chunk(1, 0, "zero");
    stage.end(1, 0);
    stage.begin(1, 1);
    stage.chunk(1, 1, "one");
    assert_eq!(
        next.chunk().await,
        Ok(Some("one".to_owned())),
        "what was held begins"
    );
    assert_eq!(
        far.get("/live/show/source/1.3.m4s").await.status,
        200,
        "what was too far is near now"
    );
}

#[tokio::test]
async fn http_08_a_segment_older_than_the_window_is_gone() {
    let window = WindowConfig {
        length: media::Duration::from_secs(1),
        linger: media::Duration::ZERO,
        segments_max: 4,
        ..WindowConfig::default()
    };
    let mut stage = Stage::with(Setting {
        window,
        ..Setting::default()
    })
    .await;
    stage.init(1);
    for msn in 0..20 {
        stage.segment(1, msn);
    }
    let mut viewer = stage.connect().await;
    let head = viewer.get(CURRENT).await;
    assert_eq!(head.status, 410);
    viewer.body(&head).await;
    let head = viewer.get("/live/show/source/1.19.m4s").await;
    assert_eq!(viewer.text(&head).await, "1.19 one;1.19 two;");
    let kept = stage
        .live
        .rendition(crate::stage::SOURCE)
        .unwrap()
        .objects()
        .entries()
        .len();
    assert!(kept <= 10, "{kept} segments are kept");
}

#[tokio::test]
async fn http_11_a_torn_segment_is_never_ended_cleanly_nor_served_again() {
    let mut stage = Stage::on_air().await;
    let (mut viewer, mut ahead) = (stage.connect().await, stage.connect().await);
    viewer.get(CURRENT).await;
    ahead.get("/live/show/source/1.1.m4s").await;
    stage.chunk(1, 0, "half");
    assert_eq!(viewer.chunk().await, Ok(Some("half".to_owned())));
    stage.writer.take().unwrap().abort();
    assert_eq!(viewer.chunk().await, Err(End::Torn));
    assert_eq!(ahead.chunk().await, Err(End::Torn));
    let mut again = stage.connect().await;
    let head = again.get(CURRENT).await;
    assert_eq!((head.status, head.max_age()), (404, Some(1)));
}

#[tokio::test]
async fn http_11_a_writer_that_is_dropped_tears_its_segment() {
    let mut stage = Stage::on_air().await;
    let mut viewer = stage.connect().await;
    viewer.get(CURRENT).await;
    stage.chunk(1, 0, "half");
    drop(stage.writer.take());
    assert_eq!(viewer.chunked().await.1, End::Torn);
}

#[tokio::test]
async fn a_held_request_whose_segment_never_comes_is_torn_when_a_new_epoch_begins() {
    let mut stage = Stage::on_air().await;
    let (mut current, mut held) = (stage.connect().await, stage.connect().await);
    current.get(CURRENT).await;
    held.get("/live/show/source/1.1.m4s").await;
    stage.chunk(1, 0, "last");
    stage.end(1, 0);
    stage.init(2);
    assert_eq!(current.chunked().await, (b"last".to_vec(), End::Clean));
    assert_eq!(held.chunked().await, (Vec::new(), End::Torn));
    let mut other = stage.connect().await;
    assert_eq!(other.get("/live/show/source/1.1.m4s").await.status, 404);
    let mut right = stage.connect().await;
    assert_eq!(right.get("/live/show/source/2.1.m4s").await.status, 200);
}

#[tokio::test]
async fn when_the_publisher_leaves_the_open_segment_ends_and_only_the_next_epoch_is_awaited() {
    let mut stage = Stage::on_air().await;
    let (mut current, mut held) = (stage.connect().await, stage.connect().await);
    current.get(CURRENT).await;
    held.get("/live/show/source/1.1.m4s").await;
    stage.chunk(1, 0, "last");
    stage.end(1, 0);
    stage.output(&Output::Interrupted {
        next: id(2, 1),
        away: true,
    });
    assert_eq!(current.chunked().await, (b"last".to_vec(), End::Clean));
    assert_eq!(held.chunked().await, (Vec::new(), End::Torn));
    let mut waiting = stage.connect().await;
    assert_eq!(waiting.get("/live/show/source/2.1.m4s").await.status, 200);
    stage.init(2);
    stage.begin(2, 1);
    stage.chunk(2, 1, "back");
    assert_eq!(waiting.chunk().await, Ok(Some("back".to_owned())));
}

#[tokio::test]
async fn the_end_of_a_broadcast_ends_the_open_segment_and_tears_what_was_held() {
    let mut stage = Stage::on_air().await;
    let (mut current, mut held) = (stage.connect().await, stage.connect().await);
    current.get(CURRENT).await;
    held.get("/live/show/source/1.1.m4s").await;
    stage.chunk(1, 0, "last");
    stage.writer.take().unwrap().finish();
    assert_eq!(current.chunked().await, (b"last".to_vec(), End::Clean));
    assert_eq!(held.chunked().await.1, End::Torn);
    let mut late = stage.connect().await;
    let head = late.get(CURRENT).await;
    assert_eq!(late.text(&head).await, "last");
}

#[tokio::test]
async fn the_interaction_track_grows_like_media() {
    let mut stage = Stage::new().await;
    let mut lines = stage.writer.as_mut().unwrap().interaction().unwrap();
    assert!(
        stage.writer.as_mut().unwrap().interaction().is_none(),
        "there is one writer"
    );
    lines.announce(id(1, 0));
    let (mut viewer, mut ahead) = (stage.connect().await, stage.connect().await);
    let head = viewer.get("/live/show/ix/1.0.jsonl").await;
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("application/x-ndjson"))
    );
    assert_eq!(
        head.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(ahead.get("/live/show/ix/1.1.jsonl").await.status, 200);
    lines.begin(id(1, 0));
    lines.append(id(1, 0), b"{}\n");
    assert_eq!(viewer.chunk().await, Ok(Some("{}\n".to_owned())));
    lines.begin(id(1, 1));
    assert_eq!(viewer.chunk().await, Ok(None));
    lines.append(id(1, 1), b"[]\n");
    assert_eq!(ahead.chunk().await, Ok(Some("[]\n".to_owned())));
    drop(lines);
    assert_eq!(ahead.chunk().await, Err(End::Torn));
    let head = viewer.get("/live/show/ix/1.0.jsonl").await;
    assert_eq!(viewer.text(&head).await, "{}\n");
}

#[tokio::test]
async fn viewers_on_their_way_to_the_next_segment_are_still_counted() {
    let mut stage = Stage::on_air().await;
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let mut viewer = stage.connect().await;
        viewer.get(CURRENT).await;
        viewers.push(viewer);
    }
    let live = std::sync::Arc::clone(&stage.live);
    until("three viewers", || live.viewers() == 3).await;
    stage.chunk(1, 0, "x");
    stage.end(1, 0);
    stage.begin(1, 1);
    for viewer in &mut viewers {
        viewer.chunked().await;
    }
    assert_eq!(live.viewers(), 3);
    let _gone = viewers.pop();
    for viewer in &mut viewers {
        viewer.get("/live/show/source/1.1.m4s").await;
    }
    until("two viewers", || live.viewers() == 2).await;
}

#[tokio::test]
async fn a_complete_segment_has_a_length_and_the_same_bytes() {
    let mut stage = Stage::on_air().await;
    for index in 0..100 {
        stage.chunk(1, 0, &format!("[{index}]"));
    }
    stage.end(1, 0);
    let mut viewer = stage.connect().await;
    let head = viewer.get(CURRENT).await;
    assert_eq!(
        (head.status, head.is_chunked(), head.header("accept-ranges")),
        (200, false, Some("bytes"))
    );
    assert_eq!(
        head.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    let expect: Vec<_> = (0..100).map(|index| format!("[{index}]")).collect();
    assert_eq!(viewer.text(&head).await, expect.concat());
}

#[tokio::test]
async fn head_requests_tell_the_same_without_a_body() {
    let mut stage = Stage::on_air().await;
    let mut viewer = stage.connect().await;
    for path in [CURRENT, "/live/show/source/1.1.m4s"] {
        let head = viewer.ask("HEAD", path, "").await;
        assert_eq!((head.status, head.header("content-length")), (200, None));
    }
    stage.chunk(1, 0, "12345");
    stage.end(1, 0);
    let head = viewer.ask("HEAD", CURRENT, "").await;
    assert_eq!(head.header("content-length"), Some("5"));
    let head = viewer.get(CURRENT).await;
    assert_eq!(viewer.text(&head).await, "12345");
}

#[tokio::test]
async fn an_http_1_0_cache_gets_bare_bytes_and_the_end_of_the_connection() {
    let mut stage = Stage::on_air().await;
    let mut cache = stage.connect().await;
    cache.send(&format!("GET {CURRENT} HTTP/1.0\r\n\r\n")).await;
    let head = cache.head().await;
    assert_eq!(
        (head.status, head.is_chunked(), head.header("connection")),
        (200, false, Some("close"))
    );
    stage.chunk(1, 0, "one");
    stage.chunk(1, 0, "two");
    stage.end(1, 0);
    assert_eq!(cache.rest().await, (b"onetwo".to_vec(), End::Clean));

    let mut torn = stage.connect().await;
    torn.send("GET /live/show/source/1.1.m4s HTTP/1.0\r\n\r\n")
        .await;
    torn.head().await;
    stage.begin(1, 1);
    stage.chunk(1, 1, "half");
    let mut half = [0; 4];
    torn.stream.read_exact(&mut half).await.unwrap();
    stage.writer.take().unwrap().abort();
    assert_eq!(
        torn.rest().await.1,
        End::Torn,
        "without framing only a reset tells"
    );
}

#[tokio::test]
async fn every_viewer_gets_every_byte_whenever_it_joins() {
    let mut stage = Stage::on_air().await;
    let mut expect = Vec::new();
    let mut viewers = Vec::new();
    for index in 0..60 {
        for _ in 0..4 {
            let mut viewer = stage.connect().await;
            viewers.push(tokio::spawn(async move {
                viewer.get(CURRENT).await;
                viewer.chunked().await
            }));
        }
        let text = format!("{index}:").repeat(500);
        expect.extend_from_slice(text.as_bytes());
        stage.chunk(1, 0, &text);
        tokio::task::yield_now().await;
    }
    let live = std::sync::Arc::clone(&stage.live);
    until("all viewers", || live.viewers() == 240).await;
    stage.end(1, 0);
    for viewer in viewers {
        assert_eq!(viewer.await.unwrap(), (expect.clone(), End::Clean));
    }
    until("no viewers", || live.viewers() == 0).await;
}

#[tokio::test]
async fn crowds_that_come_and_go_at_any_moment_disturb_nobody() {
    let mut stage = Stage::on_air().await;
    let mut steady = Vec::new();
    for _ in 0..5 {
        let mut viewer = stage.connect().await;
        steady.push(tokio::spawn(async move {
            let mut all = Vec::new();
            for msn in 0..12 {
                let head = viewer.get(&format!("/live/show/source/1.{msn}.m4s")).await;
                all.extend(viewer.body(&head).await);
            }
            all
        }));
    }
    let mut crowd = Vec::new();
    let mut expect = Vec::new();
    // Any fixed sequence that looks random will do; this is a linear congruential one.
    let mut random = 1_u64;
    let mut next = |limit: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % limit
    };
    for msn in 0..12 {
        for chunk in 0..=next(20) {
            for _ in 0..next(12) {
                let mut viewer = stage.connect().await;
                let msn = msn + next(4);
                viewer
                    .send(&format!(
                        "GET /live/show/source/1.{msn}.m4s HTTP/1.1\r\nHost: x\r\n\r\n"
                    ))
                    .await;
                crowd.push(viewer);
            }
            for _ in 0..next(12) {
                if !crowd.is_empty() {
                    let index = usize::try_from(next(crowd.len() as u64)).unwrap();
                    crowd.swap_remove(index);
                }
            }
            let text = format!("{msn}.{chunk};");
            expect.extend_from_slice(text.as_bytes());
            stage.chunk(1, msn, &text);
            tokio::task::yield_now().await;
        }
        stage.end(1, msn);
        stage.begin(1, msn + 1);
    }
    for viewer in steady {
        assert_eq!(viewer.await.unwrap(), expect);
    }
    drop(crowd);
    let live = std::sync::Arc::clone(&stage.live);
    stage.writer.take().unwrap().finish();
    until("nobody", || live.viewers() == 0).await;
}

#[tokio::test]
async fn a_viewer_that_leaves_is_noticed() {
    let mut stage = Stage::on_air().await;
    let mut viewers = Vec::new();
    for _ in 0..5 {
        let mut viewer = stage.connect().await;
        viewer.get(CURRENT).await;
        viewers.push(viewer);
    }
    let live = std::sync::Arc::clone(&stage.live);
    until("five viewers", || live.viewers() == 5).await;
    viewers.truncate(2);
    for index in 0..3 {
        stage.chunk(1, 0, &format!("{index}"));
        for viewer in &mut viewers {
            viewer.chunk().await.unwrap();
        }
    }
    until("two viewers", || live.viewers() == 2).await;
}

#[tokio::test]
async fn who_closes_its_sending_side_still_gets_the_whole_segment() {
    let mut stage = Stage::on_air().await;
    let mut viewer = stage.connect().await;
    viewer.get(CURRENT).await;
    tokio::io::AsyncWriteExt::shutdown(&mut viewer.stream)
        .await
        .unwrap();
    stage.chunk(1, 0, "one");
    assert_eq!(viewer.chunk().await, Ok(Some("one".to_owned())));
    stage.end(1, 0);
    assert_eq!(viewer.rest().await, (b"0\r\n\r\n".to_vec(), End::Clean));
}

#[tokio::test]
async fn http_01_who_does_not_read_is_cut_and_nobody_else_notices() {
    let http = HttpConfig {
        behind_max: Duration::from_millis(500),
        rate_grace: Duration::from_millis(500),
        ..HttpConfig::default()
    };
    let mut stage = Stage::with_http(http).await;
    stage.init(1);
    stage.begin(1, 0);
    let (mut slow, mut quick) = (stage.connect().await, stage.connect().await);
    slow.get(CURRENT).await;
    quick.get(CURRENT).await;
    let text = "x".repeat(1 << 20);
    for _ in 0..48 {
        stage.chunk(1, 0, &text);
        assert_eq!(quick.chunk().await.unwrap().unwrap().len(), text.len());
    }
    let live = std::sync::Arc::clone(&stage.live);
    until("the cut", || live.viewers() == 1).await;
    stage.chunk(1, 0, "still here");
    assert_eq!(quick.chunk().await, Ok(Some("still here".to_owned())));
    assert_eq!(slow.chunked().await.1, End::Torn);
}

#[tokio::test]
async fn at_shutdown_viewers_finish_their_segment() {
    let mut stage = Stage::on_air().await;
    let mut viewer = stage.connect().await;
    let mut idle = Http1::connect(stage.address).await;
    viewer.get(CURRENT).await;
    let head = idle.get("/live/show/source/1.init.mp4").await;
    idle.body(&head).await;
    stage.shutdown.cancel();
    assert_eq!(idle.rest().await, (Vec::new(), End::Clean));
    stage.chunk(1, 0, "last");
    stage.writer.take().unwrap().finish();
    assert_eq!(viewer.chunked().await, (b"last".to_vec(), End::Clean));
    let server = std::mem::replace(&mut stage.server, tokio::spawn(async {}));
    timeout(crate::client::PATIENCE, server)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn at_shutdown_nobody_waits_for_who_waits() {
    let http = HttpConfig {
        drain: Duration::from_mins(1),
        ..HttpConfig::default()
    };
    let mut stage = Stage::with_http(http).await;
    stage.init(1);
    stage.begin(1, 0);
    let mut between = stage.connect().await;
    between.get(CURRENT).await;
    stage.part(1, 0, "one", "two");
    stage.end(1, 0);
    assert_eq!(between.chunked().await, (b"onetwo".to_vec(), End::Clean));
    let mut held = stage.wait_for_rung().await;
    let (mut silent, mut half) = (stage.connect().await, stage.connect().await);
    half.send("GET /live/show/so").await;
    stage.shutdown.cancel();
    let head = held.head().await;
    assert_eq!((head.status, head.header("retry-after")), (503, Some("1")));
    held.body(&head).await;
    for mut viewer in [held, between] {
        assert_eq!(viewer.rest().await, (Vec::new(), End::Clean));
    }
    // The peers stay: closing is not left to them.
    let server = std::mem::replace(&mut stage.server, tokio::spawn(async {}));
    timeout(AT_ONCE, server).await.unwrap().unwrap();
    for viewer in [&mut silent, &mut half] {
        assert_eq!(viewer.maybe_head().await.map(|head| head.status), None);
    }
}
