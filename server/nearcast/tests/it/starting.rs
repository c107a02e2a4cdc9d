//! What a person reads when the server cannot start.
//!
//! In → Out: command lines and files that are wrong → messages that say what and where, and exit code 1.
//! Spec: none; our own.

use tokio::net::TcpListener;

use crate::process::{Server, run};

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--http", "--rtmp"] {
        let other = if flag == "--http" { "--rtmp" } else { "--http" };
        let output = run(
            directory.path(),
            &["serve", flag, &address, other, "127.0.0.1:0"],
        )
        .await;
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        let port = taken.local_addr().unwrap().port().to_string();
        assert!(
            message.contains(&format!("port {port} is taken")) && message.contains(flag),
            "{message}"
        );
    }
}

#[tokio::test]
async fn an_unknown_key_is_shown_with_its_line_and_the_nearest_name() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("nearcast.toml"),
        "dev = true\nhtttp = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let output = run(directory.path(), &["serve"]).await;
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("nearcast.toml:2:1") && message.contains("did you mean `http`?"),
        "{message}"
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_is_said_so_if_it_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["serve", "--config", "mine.toml"]).await;
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("mine.toml")
    );
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn without_a_server_the_broadcast_commands_say_how_to_start_one() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["broadcast", "list"]).await;
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("nearcast serve") && message.contains("--data"),
        "{message}"
    );
}

#[tokio::test]
async fn the_help_names_every_flag_that_the_documents_name() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["serve", "--help"]).await;
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in [
        "--config <FILE>",
        "--dev",
        "--http <ADDR>",
        "--https <ADDR>",
        "--tls-cert <FILE>",
        "--tls-key <FILE>",
        "--rtmp <ADDR>",
        "--data <DIR>",
    ] {
        assert!(help.contains(flag), "{flag} is not in\n{help}");
    }
}

#[tokio::test]
async fn the_example_file_of_the_repository_starts_a_server() {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../nearcast.toml");
    let server = Server::start(&["--config", config]).await;
    assert_eq!(server.get("/readyz").await.status, 200);
}
