//! One encoder process: bytes in through a pipe, tags out through a pipe a rung.
//!
//! In → Out: FLV tags to write → [`FromChild`] messages with what each rung's pipe says, in its order. The process is
//! confined, is killed when its handle is dropped, and is reaped by the task that [`spawn_child`] starts.
//! Spec: see [`crate::arguments`].

use std::io;
use std::process::Stdio;

use bytes::Bytes;
use command_fds::{CommandFdExt, FdMapping};
use formats::container::flv::file::{Reader, Tag};
use hls::ladder::Rung;
use media::{RenditionName, Scan};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::Config;
use crate::arguments::{self, FIRST_OUTPUT, Keys};
use crate::sandbox;
use crate::supervisor::Generation;

/// Lines of an encoder's complaints that are logged; the rest is read and dropped.
const COMPLAINTS_MAX: usize = 8;
const READ_SIZE: usize = 64 << 10;

/// What a process said.
#[derive(Debug)]
pub(crate) enum FromChild {
    /// A tag from one rung's pipe.
    Tag(Generation, RenditionName, Tag),
    /// The process ended, or wrote what is not FLV. Nothing follows.
    Ended(Generation),
}

/// A running process. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Child {
    input: Option<mpsc::Sender<Bytes>>,
    task: JoinHandle<()>,
}

impl Child {
    /// Gives the process a tag; `false` when it does not keep up or is gone, and the tag was dropped.
    pub(crate) fn feed(&self, tag: Bytes) -> bool {
        self.input
            .as_ref()
            .is_some_and(|input| input.try_send(tag).is_ok())
    }

    /// Nothing follows: the process gives the pictures that it holds back, and ends.
    pub(crate) fn finish(&mut self) {
        self.input = None;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.task.abort();
        metrics::gauge!("nearcast_transcode_processes").decrement(1);
    }
}

/// What a process is to make.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) rungs: Vec<Rung>,
    pub(crate) keys: Keys,
    /// The source's.
    pub(crate) scan: Scan,
}

/// Starts a process for `order`; what it says goes to `output`.
pub(crate) fn spawn_child(
    config: &Config,
    generation: Generation,
    order: &Order,
    output: mpsc::Sender<FromChild>,
) -> io::Result<Child> {
    let mut command = std::process::Command::new(&config.ffmpeg);
    command.args(arguments::encode(
        config,
        &order.rungs,
        order.keys,
        order.scan,
    ));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut readers = Vec::new();
    let mut mappings = Vec::new();
    for (child_fd, rung) in (FIRST_OUTPUT..).zip(&order.rungs) {
        let (sender, receiver) = pipe::pipe()?;
        mappings.push(FdMapping {
            parent_fd: sender.into_blocking_fd()?,
            child_fd,
        });
        readers.push((rung.name, receiver));
    }
    command.fd_mappings(mappings).map_err(io::Error::other)?;
    sandbox::confine(&mut command, &config.ffmpeg, config.memory_max);
    let mut command = Command::from(command);
    let mut process = command.kill_on_drop(true).spawn()?;
    // The command holds our ends of the pipes' writers: while it lives no reader sees the end.
    drop(command);
    let (input, queue) = mpsc::channel(config.waiting_max);
    let (stdin, stderr) = (process.stdin.take(), process.stderr.take());
    let task = tokio::spawn(async move {
        let mut tasks = JoinSet::new();
        if let Some(stdin) = stdin {
            tasks.spawn(write(stdin, queue));
        }
        if let Some(stderr) = stderr {
            tasks.spawn(complain(generation, BufReader::new(stderr)));
        }
        let mut pipes = JoinSet::new();
        for (name, receiver) in readers {
            pipes.spawn(read(generation, name, receiver, output.clone()));
        }
        // The first pipe that ends or breaks ends the process: rungs live and die together.
        pipes.join_next().await;
        drop(process.start_kill());
        drop(process.wait().await);
        pipes.shutdown().await;
        drop(output.send(FromChild::Ended(generation)).await);
    });
    metrics::gauge!("nearcast_transcode_processes").increment(1);
    Ok(Child {
        input: Some(input),
        task,
    })
}

async fn write(mut stdin: ChildStdin, mut queue: mpsc::Receiver<Bytes>) {
    while let Some(tag) = queue.recv().await {
        if stdin.write_all(&tag).await.is_err() {
            return;
        }
    }
}

async fn read(
    generation: Generation,
    name: RenditionName,
    mut pipe: pipe::Receiver,
    output: mpsc::Sender<FromChild>,
) {
    let mut reader = Reader::default();
    let mut buffer = vec![0; READ_SIZE];
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(size) => reader.handle_bytes(&buffer[..size]),
        }
        loop {
            match reader.poll_tag() {
                Ok(Some(tag)) => {
                    if output
                        .send(FromChild::Tag(generation, name, tag))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(rendition = %name, %error, "the encoder wrote what is not FLV");
                    return;
                }
            }
        }
    }
}

async fn complain(generation: Generation, stderr: impl tokio::io::AsyncBufRead + Unpin) {
    let mut lines = stderr.take(1 << 20).lines();
    let mut logged = 0;
    while let Ok(Some(line)) = lines.next_line().await {
        if logged < COMPLAINTS_MAX {
            logged += 1;
            tracing::debug!(generation = generation.0, line, "the encoder says");
        }
    }
    drop(tokio::io::copy(lines.get_mut(), &mut tokio::io::sink()).await);
}
