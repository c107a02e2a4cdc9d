//! Any bytes in, a valid response out.
//!
//! In → Out: generated targets, methods and headers → one well-formed answer each, and a server that still serves.
//! Spec: RFC 9112, "Message Format" (2).

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::client::Http1;
use crate::stage::Stage;

/// Targets near the real ones, and far from them.
fn target() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("live".to_owned()),
        Just("show".to_owned()),
        Just("source".to_owned()),
        Just("index.m3u8".to_owned()),
        Just("ts.m3u8".to_owned()),
        Just("ix".to_owned()),
        Just("..".to_owned()),
        Just("%2e%2e".to_owned()),
        Just(String::new()),
        "[0-9]{1,21}",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.(m4s|ts|jsonl|init\\.mp4|[0-9]{1,2}\\.m4s)",
        "[!-~]{0,12}",
    ];
    let path =
        prop::collection::vec(piece, 0..5).prop_map(|pieces| format!("/{}", pieces.join("/")));
    let query = prop_oneof![
        Just(String::new()),
        "\\?[!-~]{0,30}",
        "\\?_HLS_msn=[0-9]{0,3}(&_HLS_part=[0-9]{0,2})?(&_HLS_skip=(YES|v2|x))?(&announce=plain)?",
    ];
    (path, query).prop_map(|(path, query)| path + &query)
}

#[test]
fn any_target_gets_one_valid_answer() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut stage = runtime.block_on(Stage::on_air());
    // Ended: nothing is held, every answer comes at once.
    for msn in 0..3 {
        stage.segment(1, msn);
    }
    runtime.block_on(async { stage.writer.take().unwrap().finish() });
    let method =
        prop_oneof![3 => Just("GET"), 1 => Just("HEAD"), 1 => Just("OPTIONS"), 1 => Just("PATCH")];
    let range = prop_oneof![
        Just(String::new()),
        "Range: bytes=[0-9]{0,3}-[0-9]{0,3}\r\n",
        "Accept-Encoding: [ -~]{0,20}\r\n"
    ];
    let mut runner = TestRunner::new(Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&(method, target(), range), |(method, target, headers)| {
            runtime.block_on(async {
                let mut viewer = Http1::connect(stage.address).await;
                let head = viewer
                    .ask(method, &target, &format!("{headers}Connection: close\r\n"))
                    .await;
                assert!((200..600).contains(&head.status));
                let (body, _) = viewer.rest().await;
                match head.header("content-length") {
                    _ if method == "HEAD" || head.status == 204 => {
                        assert!(body.is_empty(), "{target}");
                    }
                    Some(length) => {
                        assert_eq!(length.parse::<usize>().unwrap(), body.len(), "{target}");
                    }
                    None => assert!(
                        head.is_chunked() && body.ends_with(b"0\r\n\r\n"),
                        "{target}"
                    ),
                }
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_bytes_leave_the_server_standing() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let stage = runtime.block_on(Stage::on_air());
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&prop::collection::vec(any::<u8>(), 1..400), |bytes| {
            runtime.block_on(async {
                let mut viewer = Http1::connect(stage.address).await;
                let all = [&bytes[..], b"\r\n\r\n\r\n\r\n"].concat();
                let _ = tokio::io::AsyncWriteExt::write_all(&mut viewer.stream, &all).await;
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut viewer.stream).await;
                viewer.rest().await;
            });
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        let mut viewer = stage.connect().await;
        assert_eq!(viewer.get("/live/show/source/1.init.mp4").await.status, 200);
    });
}
