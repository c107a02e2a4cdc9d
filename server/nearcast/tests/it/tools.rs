//! The tools that come with the server, on the server: `publish`, `watch`, and publishers that come and go.
//!
//! In → Out: command lines → exit codes, JSON, reasons that a person can act upon.
//! Spec: design "Paths", "Segments"; case ING-33, shortened.

use std::path::{Path, PathBuf};
use std::process::Output;

use loadgen::churn;

use crate::process::{LIMIT, Server, nearcast};

/// Runs a tool that needs to find ffmpeg.
async fn tool(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = nearcast(directory, arguments);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    tokio::time::timeout(LIMIT, command.output())
        .await
        .unwrap()
        .unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn what_publish_publishes_watch_watches_without_a_complaint() {
    let server = Server::start(&["--dev"]).await;
    let to = format!("rtmp://{}/live/x", server.rtmp);
    let url = format!("http://{}/b/x", server.http);
    let directory = server.data.path();
    let publishing = ["publish", "--pattern", "--to", &to, "--seconds", "9"];
    let watching = ["watch", &url, "--seconds", "7", "--json"];
    let (published, watched) =
        tokio::join!(tool(directory, &publishing), tool(directory, &watching));
    assert!(published.status.success(), "{}", errors(&published));
    assert!(watched.status.success(), "{}", errors(&watched));
    let report: serde_json::Value = serde_json::from_slice(&watched.stdout).unwrap();
    assert_eq!(
        (&report["joined"], &report["fault_count"]),
        (&1.into(), &0.into()),
        "{report}"
    );
    assert!(
        report["lateness_ms"]["count"].as_u64() > Some(60),
        "{report}"
    );
}

#[tokio::test]
async fn watch_fails_when_nothing_is_live() {
    let server = Server::start(&["--dev"]).await;
    let url = format!("http://{}/b/nobody", server.http);
    let watched = tool(server.data.path(), &["watch", &url, "--seconds", "1"]).await;
    assert_eq!(watched.status.code(), Some(1));
    assert!(
        errors(&watched).contains("no picture came"),
        "{}",
        errors(&watched)
    );
}

#[tokio::test]
async fn publish_repeats_the_reason_of_a_refusal() {
    let server = Server::start(&[]).await;
    let to = format!("rtmp://{}/live/not-a-key", server.rtmp);
    let published = tool(
        server.data.path(),
        &["publish", "--to", &to, "--seconds", "2"],
    )
    .await;
    assert_eq!(published.status.code(), Some(1));
    assert!(
        errors(&published).contains("the server refused the publisher: "),
        "{}",
        errors(&published)
    );
}

#[tokio::test]
async fn publish_says_that_nobody_answers() {
    let directory = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let to = format!("rtmp://127.0.0.1:{port}/live/x");
    let published = tool(
        directory.path(),
        &["publish", "--to", &to, "--seconds", "2"],
    )
    .await;
    assert_eq!(published.status.code(), Some(1));
    assert!(
        errors(&published).contains("nothing answers"),
        "{}",
        errors(&published)
    );
}

#[tokio::test]
async fn ing_33_publishers_that_come_and_go_leave_no_memory_behind() {
    let args = churn::Args {
        server: Some(PathBuf::from(env!("CARGO_BIN_EXE_nearcast"))),
        publishers: 20,
        seconds: 1,
        rounds: 4,
        growth_max: 10.0,
    };
    churn::run(args).await.unwrap();
}
