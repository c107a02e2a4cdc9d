//! Everything that is not media: the application's router behind both ways in.
//!
//! In → Out: requests with and without bodies, upgrades → the application's handlers; the connection stays fit for media.
//! Spec: RFC 9112, "Message Body" (6), "Upgrade" (RFC 9110, 7.8).

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stage::{Setting, Stage};

fn app() -> Router {
    Router::new()
        .route(
            "/hello",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
                format!("hello {}", peer.ip())
            }),
        )
        .route("/echo", post(|body: String| async move { body }))
        .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/stream",
            get(|| async {
                let parts = ["one", "two", "three"].map(|part| {
                    Ok::<_, std::io::Error>(bytes::Bytes::from_static(part.as_bytes()))
                });
                Body::from_stream(futures_util::stream::iter(parts))
            }),
        )
        .route("/socket", get(socket))
}

/// A protocol that says back what it hears.
async fn socket(mut request: axum::extract::Request) -> impl axum::response::IntoResponse {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        stream.write_all(&word).await.unwrap();
    });
    (
        StatusCode::SWITCHING_PROTOCOLS,
        [(header::UPGRADE, "parrot"), (header::CONNECTION, "upgrade")],
    )
}

async fn stage() -> Stage {
    let mut stage = Stage::with(Setting {
        app: app(),
        ..Setting::default()
    })
    .await;
    stage.init(1);
    stage.begin(1, 0);
    stage
}

#[tokio::test]
async fn pages_and_media_share_a_connection() {
    let mut stage = stage().await;
    let mut viewer = stage.connect().await;
    let head = viewer.get("/hello").await;
    assert_eq!(
        (head.status, viewer.text(&head).await.as_str()),
        (200, "hello 127.0.0.1")
    );
    assert_eq!(viewer.get("/empty").await.status, 204);
    let head = viewer.get("/stream").await;
    assert!(head.is_chunked());
    assert_eq!(viewer.text(&head).await, "onetwothree");
    let head = viewer
        .ask("POST", "/echo", "Content-Length: 5\r\n\r\nabcde")
        .await;
    viewer.buffer.clear();
    assert_eq!(head.status, 200);
    viewer.get("/live/show/source/1.0.m4s").await;
    stage.chunk(1, 0, "media");
    assert_eq!(viewer.chunk().await, Ok(Some("media".to_owned())));
    stage.end(1, 0);
    assert_eq!(viewer.chunk().await, Ok(None));
    let head = viewer.get("/nothing").await;
    assert_eq!(head.status, 404);
}

#[tokio::test]
async fn bodies_arrive_whole_however_they_are_sent() {
    let stage = stage().await;
    let mut viewer = stage.connect().await;
    viewer
        .send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        .await;
    viewer.send("def").await;
    let head = viewer.head().await;
    assert_eq!(viewer.text(&head).await, "abcdef");
    viewer.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
    let head = viewer.head().await;
    assert_eq!(viewer.text(&head).await, "abc");
    let head = viewer.get("/live/show/source/1.init.mp4").await;
    assert_eq!(
        viewer.text(&head).await,
        "init 1",
        "media goes on where hyper took over"
    );

    let mut other = stage.connect().await;
    let large = "x".repeat(1 << 20);
    other
        .send(&format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{large}",
            large.len()
        ))
        .await;
    let head = other.head().await;
    assert_eq!(other.text(&head).await, large);
}

#[tokio::test]
async fn an_upgrade_leaves_http_behind() {
    let stage = stage().await;
    let mut viewer = stage.connect().await;
    let head = viewer
        .ask(
            "GET",
            "/socket",
            "Connection: Upgrade\r\nUpgrade: parrot\r\n",
        )
        .await;
    assert_eq!(head.status, 101);
    viewer.send("word").await;
    let mut word = [0; 4];
    viewer.stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"word");
}
