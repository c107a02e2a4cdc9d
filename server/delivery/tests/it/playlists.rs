//! Playlists, parts and init sections: what waits, what is refused, and how long caches may keep it.
//!
//! In → Out: requests with and without directives → text, held until it says what was asked for.
//! Spec: RFC 8216bis, "Blocking Playlist Reload" (6.2.5.2), appendix B.1; design "Playlists".

use std::io::Read as _;
use std::sync::Arc;

use hls::WindowConfig;
use tokio::time::timeout;

use crate::client::{AT_ONCE, until};
use crate::stage::{Setting, Stage};

const PLAYLIST: &str = "/live/show/source/index.m3u8";

#[tokio::test]
async fn both_playlists_are_served_in_both_forms_with_a_short_life() {
    let mut stage = Stage::on_air().await;
    stage.part(1, 0, "a", "b");
    stage.end(1, 0);
    stage.begin(1, 1);
    let mut viewer = stage.connect().await;
    for (path, expect) in [
        ("/live/show/index.m3u8", "source/index.m3u8"),
        ("/live/show/ts.m3u8", "source/ts.m3u8"),
        (PLAYLIST, "1.0.m4s"),
        ("/live/show/source/ts.m3u8", "1.0.ts"),
    ] {
        let head = viewer.get(path).await;
        assert_eq!(
            (head.status, head.header("content-type")),
            (200, Some("application/vnd.apple.mpegurl")),
            "{path}"
        );
        assert_eq!(head.header("vary"), Some("Accept-Encoding"));
        assert_eq!(head.max_age(), Some(1));
        assert_eq!(head.header("access-control-allow-origin"), Some("*"));
        let text = viewer.text(&head).await;
        assert!(
            text.starts_with("#EXTM3U") && text.contains(expect),
            "{path}: {text}"
        );
    }
}

#[tokio::test]
async fn announce_and_skip_choose_other_texts_and_unknown_parameters_do_not() {
    let mut stage = Stage::on_air().await;
    for msn in 0..16 {
        stage.segment(1, msn);
    }
    stage.begin(1, 16);
    stage.part(1, 16, "a", "b");
    let mut viewer = stage.connect().await;
    let mut texts = Vec::new();
    for query in [
        "",
        "?utm_source=x&_HLS_skip=v9",
        "?announce=plain",
        "?_HLS_skip=YES",
    ] {
        let head = viewer.get(&format!("{PLAYLIST}{query}")).await;
        assert_eq!(head.status, 200, "{query}");
        texts.push(viewer.text(&head).await);
    }
    assert_eq!(texts[0], texts[1]);
    assert!(texts[0].contains("#EXT-X-PREFETCH:") && !texts[2].contains("#EXT-X-PREFETCH:"));
    assert!(texts[3].contains("#EXT-X-SKIP:"), "{}", texts[3]);
}

#[tokio::test]
async fn a_blocking_request_is_answered_once_its_part_exists_and_then_kept_long() {
    let mut stage = Stage::on_air().await;
    stage.part(1, 0, "a", "b");
    let mut viewer = stage.connect().await;
    let path = format!("{PLAYLIST}?_HLS_msn=0&_HLS_part=1");
    viewer
        .send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    let live = Arc::clone(&stage.live);
    until("the request", || live.viewers() == 1).await;
    assert!(!viewer.has_arrived());
    stage.part(1, 0, "c", "d");
    let head = viewer.head().await;
    assert_eq!(
        (head.status, head.max_age()),
        (200, Some(12)),
        "six target durations"
    );
    assert!(viewer.text(&head).await.contains("1.0.1.m4s"));
    until("nobody", || live.viewers() == 0).await;

    viewer
        .send(&format!(
            "GET {PLAYLIST}?_HLS_msn=0 HTTP/1.1\r\nHost: x\r\n\r\n"
        ))
        .await;
    until("the request", || live.viewers() == 1).await;
    stage.end(1, 0);
    let head = viewer.head().await;
    assert!(viewer.text(&head).await.contains("#EXTINF"));
}

#[tokio::test]
async fn wrong_directives_are_refused_and_never_kept() {
    let mut stage = Stage::on_air().await;
    stage.part(1, 0, "a", "b");
    let mut viewer = stage.connect().await;
    for query in [
        "_HLS_part=0",
        "_HLS_msn=9",
        "_HLS_msn=0&_HLS_part=99",
        "_HLS_msn=x",
        "_HLS_msn=0&_HLS_msn=0",
        "_HLS_msn=-1",
    ] {
        let head = viewer.get(&format!("{PLAYLIST}?{query}")).await;
        assert_eq!(
            (head.status, head.header("cache-control")),
            (400, Some("no-store")),
            "{query}"
        );
        viewer.body(&head).await;
    }
}

#[tokio::test]
async fn a_blocking_request_is_given_up_after_three_target_durations() {
    let window = WindowConfig {
        segment_target: media::Duration::from_secs(1),
        ..WindowConfig::default()
    };
    let mut stage = Stage::with(Setting {
        window,
        ..Setting::default()
    })
    .await;
    stage.init(1);
    stage.begin(1, 0);
    stage.part(1, 0, "a", "b");
    let (mut playlist, mut part) = (stage.connect().await, stage.connect().await);
    let started = std::time::Instant::now();
    part.send("GET /live/show/source/1.0.1.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let head = playlist
        .get(&format!("{PLAYLIST}?_HLS_msn=0&_HLS_part=1"))
        .await;
    assert_eq!(
        (head.status, head.header("cache-control")),
        (503, Some("no-store"))
    );
    assert!(head.header("retry-after").is_some());
    assert!(started.elapsed().as_secs() >= 3);
    assert_eq!(part.head().await.status, 503);
}

#[tokio::test]
async fn gzip_is_for_playlists_only_and_only_for_those_who_ask() {
    let mut stage = Stage::on_air().await;
    for msn in 0..8 {
        stage.segment(1, msn);
    }
    let mut viewer = stage.connect().await;
    let plain = viewer.get(PLAYLIST).await;
    let text = viewer.text(&plain).await;
    let head = viewer
        .ask("GET", PLAYLIST, "Accept-Encoding: br;q=1, gzip;q=0.8\r\n")
        .await;
    assert_eq!(
        (head.header("content-encoding"), head.header("vary")),
        (Some("gzip"), Some("Accept-Encoding"))
    );
    let packed = viewer.body(&head).await;
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert!(packed.len() < text.len() / 2 && unpacked == text);
    let head = viewer
        .ask("GET", PLAYLIST, "Accept-Encoding: gzip;q=0\r\n")
        .await;
    assert_eq!(head.header("content-encoding"), None);
    viewer.body(&head).await;
    let head = viewer
        .ask(
            "GET",
            "/live/show/source/1.0.m4s",
            "Accept-Encoding: gzip\r\n",
        )
        .await;
    assert_eq!(
        (head.header("content-encoding"), head.header("vary")),
        (None, None)
    );
}

#[tokio::test]
async fn a_part_is_whole_or_not_there_at_all() {
    let mut stage = Stage::on_air().await;
    let (mut viewer, mut ahead) = (stage.connect().await, stage.connect().await);
    viewer
        .send("GET /live/show/source/1.0.0.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    stage.chunk(1, 0, "one");
    let mut witness = stage.connect().await;
    witness.get("/live/show/source/1.0.m4s").await;
    assert_eq!(witness.chunk().await, Ok(Some("one".to_owned())));
    assert!(!viewer.has_arrived(), "a part is never trickled");
    stage.chunk(1, 0, "two");
    stage.output(&hls::Output::Part {
        segment: crate::stage::id(1, 0),
        part: 0,
        chunks: 0..2,
        duration: media::Duration::from_millis(200),
        independent: true,
    });
    let head = viewer.head().await;
    assert_eq!(
        (
            head.status,
            head.header("content-length"),
            head.header("accept-ranges")
        ),
        (200, Some("6"), Some("bytes"))
    );
    assert_eq!(
        head.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(viewer.text(&head).await, "onetwo");
    let head = viewer
        .ask("GET", "/live/show/source/1.0.0.m4s", "Range: bytes=2-3\r\n")
        .await;
    assert_eq!(
        (head.status, head.header("content-range")),
        (206, Some("bytes 2-3/6"))
    );
    assert_eq!(viewer.text(&head).await, "et");

    let head = viewer.get("/live/show/source/1.0.7.m4s").await;
    assert_eq!(
        (head.status, head.max_age()),
        (404, Some(1)),
        "nothing hints at it"
    );
    ahead
        .send("GET /live/show/source/1.1.0.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    stage.end(1, 0);
    stage.begin(1, 1);
    stage.part(1, 1, "three", "four");
    let head = ahead.head().await;
    assert_eq!(ahead.text(&head).await, "threefour");
}

#[tokio::test]
async fn init_sections_are_kept_for_ever_and_the_next_is_awaited() {
    let mut stage = Stage::on_air().await;
    let mut viewer = stage.connect().await;
    let head = viewer.get("/live/show/source/1.init.mp4").await;
    assert_eq!(
        head.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(viewer.text(&head).await, "init 1");
    stage.end(1, 0);
    stage.output(&hls::Output::Interrupted {
        next: crate::stage::id(2, 1),
        away: true,
    });
    viewer
        .send("GET /live/show/source/2.init.mp4 HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    stage.init(2);
    let head = viewer.head().await;
    assert_eq!(viewer.text(&head).await, "init 2");
    let head = viewer.get("/live/show/source/1.init.mp4").await;
    assert_eq!(
        viewer.text(&head).await,
        "init 1",
        "as long as its segments are kept"
    );
}

#[tokio::test]
async fn a_playlist_asked_for_while_the_first_part_is_made_waits_for_it() {
    let mut stage = Stage::on_air().await;
    let (mut media, mut multivariant) = (stage.connect().await, stage.connect().await);
    media
        .send(&format!("GET {PLAYLIST} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    multivariant
        .send("GET /live/show/index.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    stage.part(1, 0, "a", "b");
    for viewer in [&mut media, &mut multivariant] {
        let head = viewer.head().await;
        assert_eq!(head.status, 200);
        assert!(viewer.text(&head).await.starts_with("#EXTM3U"));
    }
}

#[tokio::test]
async fn a_playlist_held_for_a_rung_is_refused_as_soon_as_the_broadcast_ends() {
    let mut stage = Stage::on_air().await;
    stage.part(1, 0, "a", "b");
    let mut viewer = stage.wait_for_rung().await;
    stage.writer.take().unwrap().finish();
    // A rung that is still to come is awaited for twelve seconds.
    let head = timeout(AT_ONCE, viewer.head()).await.unwrap();
    assert_eq!(head.status, 404);
}

#[tokio::test]
async fn what_does_not_exist_is_refused_for_a_second_at_most() {
    let stage = Stage::new().await;
    let mut viewer = stage.connect().await;
    for path in [
        "/live/nobody/index.m3u8",
        "/live/nobody/source/1.0.m4s",
        "/live/show/index.m3u8",
        PLAYLIST,
        "/live/show/720p/index.m3u8",
        "/live/show/source/1.0.m4s",
        "/live/show/ix/1.0.jsonl",
        "/live/show/thumb.jpg",
    ] {
        let head = viewer.get(path).await;
        assert_eq!((head.status, head.max_age()), (404, Some(1)), "{path}");
        viewer.body(&head).await;
    }
    stage.forget();
    assert_eq!(viewer.get(PLAYLIST).await.status, 404);
}

#[tokio::test]
async fn options_and_other_methods_are_answered_as_they_should() {
    let stage = Stage::on_air().await;
    let mut viewer = stage.connect().await;
    let head = viewer
        .ask(
            "OPTIONS",
            PLAYLIST,
            "Origin: https://a\r\nAccess-Control-Request-Method: GET\r\n",
        )
        .await;
    assert_eq!(
        (head.status, head.header("access-control-allow-origin")),
        (204, Some("*"))
    );
    assert_eq!(
        head.header("access-control-allow-methods"),
        Some("GET, HEAD, OPTIONS")
    );
    for method in ["POST", "PUT", "DELETE", "BREW"] {
        let head = viewer.ask(method, PLAYLIST, "Content-Length: 0\r\n").await;
        assert_eq!(
            (head.status, head.header("allow")),
            (405, Some("GET, HEAD, OPTIONS")),
            "{method}"
        );
        viewer.body(&head).await;
    }
}

#[tokio::test]
async fn http_15_nothing_a_viewer_sends_changes_what_caches_share() {
    let mut stage = Stage::on_air().await;
    stage.segment(1, 0);
    stage.begin(1, 1);
    stage.part(1, 1, "a", "b");
    let mut viewer = stage.connect().await;
    for path in [
        "/live/show/index.m3u8",
        PLAYLIST,
        "/live/show/source/1.1.0.m4s",
        "/live/show/source/1.init.mp4",
    ] {
        let mut answers = Vec::new();
        for headers in [
            "",
            "Origin: https://evil.example\r\nCookie: session=1\r\n",
            "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: gopher\r\nX-Original-URL: /x\r\nForwarded: host=evil.example\r\n",
            "Authorization: Bearer x\r\nUser-Agent: y\r\nReferer: https://z\r\n",
        ] {
            let mut head = viewer.ask("GET", path, headers).await;
            let body = viewer.text(&head).await;
            assert!(!body.contains("evil"));
            assert!(
                head.header("vary")
                    .is_none_or(|vary| vary == "Accept-Encoding")
            );
            assert_eq!(head.header("set-cookie"), None);
            head.headers.remove("date");
            answers.push((head.status, head.headers, body));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{path}");
    }
}
