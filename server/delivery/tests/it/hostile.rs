//! Peers that mean harm, or act as if.
//!
//! In → Out: slow heads, slow bodies, slow readers, crowds, path tricks → refusals within stated times; others go on.
//! Spec: design "Bad input"; RFC 6585 (431), RFC 9110 (408, 414, 503).

use std::time::{Duration, Instant};

use delivery::HttpConfig;

use crate::client::{End, Http1, until};
use crate::stage::{Setting, Stage};

async fn quick_stage() -> Stage {
    let http = HttpConfig {
        head_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(400),
        keep_alive: Duration::from_millis(500),
        rate_grace: Duration::from_millis(500),
        ..HttpConfig::default()
    };
    let mut stage = Stage::with_http(http).await;
    stage.init(1);
    stage
}

#[tokio::test]
async fn http_01_a_head_that_drips_is_refused_at_its_budget() {
    let stage = quick_stage().await;
    let mut drip = stage.connect().await;
    let started = Instant::now();
    drip.send("GET / HTTP/1.1\r\nHost: x\r\n").await;
    let (answer, _) = drip.rest().await;
    assert!(answer.starts_with(b"HTTP/1.1 408 "));
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn http_01_a_connection_that_says_nothing_is_closed() {
    let stage = quick_stage().await;
    let mut silent = stage.connect().await;
    assert_eq!(silent.rest().await, (Vec::new(), End::Clean));
    let mut idle = stage.connect().await;
    let head = idle.get("/live/show/source/1.init.mp4").await;
    idle.body(&head).await;
    assert_eq!(idle.rest().await, (Vec::new(), End::Clean));
}

#[tokio::test]
async fn http_01_a_body_that_does_not_come_is_given_up() {
    let stage = quick_stage().await;
    let mut slow = stage.connect().await;
    slow.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    slow.rest().await;
}

#[tokio::test]
async fn http_01_who_reads_a_complete_segment_too_slowly_is_cut() {
    let mut stage = quick_stage().await;
    stage.begin(1, 0);
    let text = "x".repeat(1 << 20);
    for _ in 0..40 {
        stage.chunk(1, 0, &text);
    }
    stage.end(1, 0);
    let mut slow = stage.connect().await;
    slow.get("/live/show/source/1.0.m4s").await;
    let mut quick = stage.connect().await;
    let head = quick.get("/live/show/source/1.0.m4s").await;
    assert_eq!(quick.body(&head).await.len(), 40 << 20);
    // Looking for the error takes nothing from the socket: its window stays as shut as it is.
    until("the cut", || {
        matches!(slow.stream.take_error(), Ok(Some(_)))
    })
    .await;
}

#[tokio::test]
async fn http_06_path_tricks_reach_no_object_and_no_page() {
    let app = axum::Router::new().fallback(|| async { "a page" });
    let mut stage = Stage::with(Setting {
        app,
        ..Setting::default()
    })
    .await;
    stage.init(1);
    let mut viewer = stage.connect().await;
    for path in [
        "/live/../live/show/source/1.init.mp4",
        "/live/show/source/../source/1.init.mp4",
        "/live/show/%2e%2e/show/source/1.init.mp4",
        "/live//show/source/1.init.mp4",
        "//live/show/source/1.init.mp4",
        "/x/%2e%2E/y",
        "/x%00y",
        "/x%2fy",
        "/x%5cy",
        "/x\\y",
        "/x%ff",
        "/x%zz",
        "/./x",
    ] {
        let head = viewer.get(path).await;
        assert_eq!(head.status, 400, "{path}");
        viewer.body(&head).await;
    }
    for path in [
        "/live/show/source/01.init.mp4",
        "/live/sho%77/source/1.init.mp4",
        "/live/show/source/1.init.mp4/",
    ] {
        let head = viewer.get(path).await;
        assert_eq!(head.status, 404, "{path}");
        viewer.body(&head).await;
    }
    let head = viewer.get("http://any/live/show/source/1.init.mp4").await;
    assert_eq!(
        viewer.text(&head).await,
        "init 1",
        "the absolute form is the same target"
    );
    for raw in [
        "GET /x\0y HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut viewer = stage.connect().await;
        viewer.send(raw).await;
        assert_eq!(viewer.head().await.status, 400, "{raw:?}");
    }
}

#[tokio::test]
async fn http_06_endless_targets_and_heads_are_refused_by_size() {
    let stage = Stage::on_air().await;
    for (length, status) in [(9_000, 414), (64 * 1024, 414)] {
        let mut viewer = stage.connect().await;
        viewer
            .send(&format!(
                "GET /{} HTTP/1.1\r\nHost: x\r\n\r\n",
                "a".repeat(length)
            ))
            .await;
        assert_eq!(viewer.head().await.status, status);
    }
    let mut viewer = stage.connect().await;
    viewer
        .send(&format!(
            "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
            "a".repeat(20_000)
        ))
        .await;
    assert_eq!(viewer.head().await.status, 431);
}

#[tokio::test]
async fn a_crowd_beyond_the_cap_is_told_to_come_back() {
    let http = HttpConfig {
        connections_max: Some(3),
        ..HttpConfig::default()
    };
    let mut stage = Stage::with_http(http).await;
    stage.init(1);
    let mut inside = Vec::new();
    for _ in 0..3 {
        let mut viewer = stage.connect().await;
        let head = viewer.get("/live/show/source/1.init.mp4").await;
        viewer.body(&head).await;
        inside.push(viewer);
    }
    let mut outside = stage.connect().await;
    let head = outside.head().await;
    assert_eq!(head.status, 503);
    assert!(head.header("retry-after").is_some());
    inside.pop();
    let address = stage.address;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut viewer = Http1::connect(address).await;
        let head = viewer.get("/live/show/source/1.init.mp4").await;
        if head.status == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "no place becomes free");
    }
    let head = inside[0].get("/live/show/source/1.init.mp4").await;
    assert_eq!(head.status, 200, "those inside do not notice");
}

/// Runs itself again in a process that may open 40 files, and there does what it says.
#[test]
fn http_20_without_file_descriptors_accepting_pauses_and_recovers() {
    const INSIDE: &str = "NEARCAST_TEST_INSIDE_SMALL_PROCESS";
    const NAME: &str = "hostile::http_20_without_file_descriptors_accepting_pauses_and_recovers";
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        return runtime.unwrap().block_on(without_file_descriptors());
    }
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "ulimit -n 40 && exec \"$0\" --exact \"$1\" --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn without_file_descriptors() {
    let http = HttpConfig {
        connections_max: Some(1_000),
        ..HttpConfig::default()
    };
    let mut stage = Stage::with_http(http).await;
    stage.init(1);
    let mut viewer = stage.connect().await;
    let head = viewer.get("/live/show/source/1.init.mp4").await;
    viewer.body(&head).await;
    // Both ends of each connection count: connect until this process, and with it the server, has no descriptor left.
    let mut crowd = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect(stage.address) {
        crowd.push(stream);
        tokio::task::yield_now().await;
    }
    assert!(crowd.len() < 40);
    let head = viewer.get("/live/show/source/1.init.mp4").await;
    assert_eq!(head.status, 200, "who is inside is served");
    viewer.body(&head).await;
    crowd.clear();
    let mut late = stage.connect().await;
    assert_eq!(late.get("/live/show/source/1.init.mp4").await.status, 200);
}
