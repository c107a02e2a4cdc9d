//! A running `nearcast serve` in a directory of its own, on free ports of loopback.
//!
//! In → Out: flags → the addresses that it prints; requests → answers; a signal → an exit code.
//! Spec: none; our own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Whatever is waited for comes well within this, on a busy machine too.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

pub(crate) struct Server {
    child: Child,
    pub(crate) data: TempDir,
    pub(crate) http: SocketAddr,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) rtmp: SocketAddr,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// The binary, deaf to the environment of whoever runs the tests.
pub(crate) fn nearcast(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearcast"));
    command
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command line to its end.
pub(crate) async fn run(directory: &Path, arguments: &[&str]) -> Output {
    tokio::time::timeout(LIMIT, nearcast(directory, arguments).output())
        .await
        .unwrap()
        .unwrap()
}

impl Server {
    /// Starts with these flags beside free ports and a fresh data directory.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::start_seeing(flags, None).await
    }

    /// The same with ffmpeg in sight, if it is installed where these tests find it.
    pub(crate) async fn start_with_ffmpeg(flags: &[&str]) -> Self {
        Self::start_seeing(flags, std::env::var_os("PATH")).await
    }

    async fn start_seeing(flags: &[&str], path: Option<OsString>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut arguments = vec![
            "serve",
            "--http",
            "127.0.0.1:0",
            "--rtmp",
            "127.0.0.1:0",
            "--data",
            "data",
        ];
        arguments.extend(flags);
        let mut child = nearcast(data.path(), &arguments)
            .envs(path.map(|path| ("PATH", path)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut http, mut https, mut rtmp) = (None, None, None);
        while rtmp.is_none() {
            let line = tokio::time::timeout(LIMIT, lines.next_line())
                .await
                .unwrap()
                .unwrap()
                .expect("the server has ended");
            let url = line.split_whitespace().nth(1).unwrap();
            let address = url.split('/').nth(2).unwrap().parse().unwrap();
            match line.split_whitespace().next().unwrap() {
                "http" => http = Some(address),
                "https" => https = Some(address),
                "rtmp" => rtmp = Some(address),
                _ => {}
            }
        }
        Self {
            child,
            data,
            http: http.unwrap(),
            https,
            rtmp: rtmp.unwrap(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it was not waited for")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) async fn wait(mut self) -> ExitStatus {
        tokio::time::timeout(LIMIT, self.child.wait())
            .await
            .unwrap()
            .unwrap()
    }

    /// Runs `nearcast broadcast …` beside the server.
    pub(crate) async fn broadcast(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["broadcast", "--data", "data"];
        all.extend(arguments);
        run(self.data.path(), &all).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(path, "").await
    }

    /// One request over a connection of its own. `headers` end with CRLF each.
    pub(crate) async fn request(&self, path: &str, headers: &str) -> Answer {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n",
            self.http
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        tokio::time::timeout(LIMIT, stream.read_to_end(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        Answer::parse(&bytes)
    }

    /// Asks until the answer fits.
    pub(crate) async fn get_until(&self, path: &str, fits: impl Fn(&Answer) -> bool) -> Answer {
        let asked = async {
            loop {
                let answer = self.get(path).await;
                if fits(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, asked)
            .await
            .unwrap_or_else(|_| panic!("{path} never answered what was expected"))
    }
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let at = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("no end of head");
        let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head,
            body: bytes[at + 4..].to_vec(),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Whether the body came to its end: the last chunk, or as many bytes as were promised.
    pub(crate) fn ended_cleanly(&self) -> bool {
        let promised = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        promised.map_or_else(
            || self.body.ends_with(b"\r\n0\r\n\r\n"),
            |length| length.parse() == Ok(self.body.len()),
        )
    }
}
