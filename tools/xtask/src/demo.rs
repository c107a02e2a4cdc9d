//! `cargo xtask demo`: from a clone to a live picture in a browser with one command.
//!
//! In → Out: ports → the built server with a sample broadcast published over real RTMP, and the addresses to open.
//!
//! Spec: README.md, "Five minutes".

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::compile::{self, Profile};
use crate::{packages, shell};

/// What `cargo xtask demo` takes.
pub(crate) struct Options {
    http_port: u16,
    rtmp_port: u16,
    profile: Profile,
    sample: bool,
}

impl Options {
    /// The rest of the command line.
    pub(crate) fn parse(parser: &mut lexopt::Parser) -> Result<Self> {
        let mut options = Self {
            http_port: 8080,
            rtmp_port: 1935,
            profile: Profile::Debug,
            sample: true,
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Long("http-port") => options.http_port = parser.value()?.parse()?,
                Long("rtmp-port") => options.rtmp_port = parser.value()?.parse()?,
                Long("release") => options.profile = Profile::Release,
                Long("no-sample") => options.sample = false,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// Builds, serves and publishes until Ctrl-C.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    // Before a build of minutes, not after it.
    port_is_free("--http-port", options.http_port)?;
    port_is_free("--rtmp-port", options.rtmp_port)?;
    packages::ensure(&[packages::WEB, packages::PUBLISH])?;
    let binary = compile::everything(options.profile)?;
    if shell::interrupted() {
        return Ok(ExitCode::FAILURE);
    }

    let data = shell::root().join("target/demo-data");
    fs::create_dir_all(&data)?;
    let log = data.join("server.log");
    let output = fs::File::create(&log)?;
    let mut server = shell::Running::spawn(
        Command::new(&binary)
            .args(["serve", "--dev"])
            .args(["--http", &format!("0.0.0.0:{}", options.http_port)])
            .args(["--rtmp", &format!("0.0.0.0:{}", options.rtmp_port)])
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output),
    )?;
    until_ready(&mut server, options.http_port)
        .with_context(|| format!("server:\n{}", last_lines(&log)))?;
    let publisher = if options.sample {
        Some(publish_sample(&binary, options)?)
    } else {
        None
    };
    print!("{}", welcome(options));
    watch_over(server, publisher, &binary, options)
}

fn port_is_free(flag: &str, port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "port {port} is taken by another program: stop it (who has it: `ss -ltnp 'sport = :{port}'`) \
             or choose another one with {flag}"
        ),
        Err(error) => {
            Err(error).with_context(|| format!("cannot listen on port {port}; try {flag}"))
        }
    }
}

fn until_ready(server: &mut shell::Running, port: u16) -> Result<()> {
    let started = Instant::now();
    loop {
        if let Some(status) = server.poll()? {
            bail!("the server ended by itself ({status})");
        }
        if ask(port, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(20) || shell::interrupted() {
            bail!("the server does not answer on port {port}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// A request without a client library; the answer as text.
fn ask(port: u16, path: &str) -> Result<String> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    socket.take(64 * 1024).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// `nearcast publish --pattern` as a child; what it has to say goes to a log.
fn publish_sample(binary: &Path, options: &Options) -> Result<shell::Running> {
    let log = shell::root().join("target/demo-data/publish.log");
    let file = fs::File::create(&log)?;
    let mut publisher = shell::Running::spawn(
        Command::new(binary)
            // Large enough for renditions below it.
            .args(["publish", "--pattern", "--size", "1280x720", "--to"])
            .arg(format!("rtmp://127.0.0.1:{}/live/demo", options.rtmp_port))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file),
    )?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(15) && !shell::interrupted() {
        if publisher.poll()?.is_some() {
            bail!("the sample publisher ended:\n{}", last_lines(&log));
        }
        let listed = ask(options.http_port, "/api/v1/broadcasts/demo");
        if listed.is_ok_and(|answer| answer.contains(r#""state":"live""#)) {
            return Ok(publisher);
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!(
        "the sample broadcast did not come up:\n{}",
        last_lines(&log)
    );
}

fn last_lines(log: &Path) -> String {
    let Ok(file) = fs::File::open(log) else {
        return String::new();
    };
    let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

fn welcome(options: &Options) -> String {
    let http = options.http_port;
    let rtmp = options.rtmp_port;
    let watch = if options.sample {
        format!(
            "  watch    http://127.0.0.1:{http}/b/demo
  studio   http://127.0.0.1:{http}/studio/demo   stream key demo (with --dev, any word from this machine is one)\n"
        )
    } else {
        String::new()
    };
    format!(
        "
Nearcast is up.

{watch}  home     http://127.0.0.1:{http}/

Publish your own:
  ffmpeg   ffmpeg -re -stream_loop -1 -i FILE -c:v libx264 -preset veryfast -tune zerolatency -pix_fmt yuv420p -g 60 -c:a aac \\
             -f flv rtmp://127.0.0.1:{rtmp}/live/mine
  OBS      Settings, Stream, Service \"Custom\": server rtmp://127.0.0.1:{rtmp}/live, stream key mine
  then     http://127.0.0.1:{http}/b/mine and http://127.0.0.1:{http}/studio/mine

The server's log is target/demo-data/server.log. Ctrl-C stops everything.
"
    )
}

/// Until Ctrl-C or the end of the server. A sample publisher that dies is started again: a demo that has frozen is none.
fn watch_over(
    mut server: shell::Running,
    mut publisher: Option<shell::Running>,
    binary: &Path,
    options: &Options,
) -> Result<ExitCode> {
    let result = loop {
        if shell::interrupted() {
            println!("\nstopping");
            break Ok(ExitCode::SUCCESS);
        }
        if let Some(status) = server.poll()? {
            let log = shell::root().join("target/demo-data/server.log");
            break Err(anyhow::anyhow!(
                "the server ended by itself ({status}):\n{}",
                last_lines(&log)
            ));
        }
        if let Some(child) = &mut publisher
            && let Some(status) = child.poll()?
        {
            println!("the sample publisher ended ({status}); starting it again");
            publisher = Some(publish_sample(binary, options)?);
        }
        thread::sleep(Duration::from_millis(100));
    };
    if let Some(mut publisher) = publisher {
        publisher.stop(Duration::from_secs(3));
    }
    server.stop(Duration::from_secs(10));
    result
}
