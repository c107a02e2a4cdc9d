//! How much processor time a viewer of a growing object costs, beside a bare loop of `send()` in the same run.
//!
//! In → Out: `cargo run --release -p delivery --example fanout -- [viewers] [seconds] [chunk bytes] [interval ms] [broadcasts]
//! [chunks a segment] [shards]` → CPU per chunk and viewer for the floor and for the server, their quotient, latency, memory a viewer.
//! The readers run in a process of their own, so that the figures are of the sending side alone.
//! Spec: design "Numbers to reach" (fan-out, the origin's share).

#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use delivery::{HttpConfig, Live, LiveConfig, LiveWriter, Source, spawn_http};
use hls::{Cut, Output};
use media::{BroadcastId, Delta, Epoch, Msn, RenditionName, SegmentId, Timestamp, UnixTime};
use mio::{Events, Interest, Poll, Token};
use tokio_util::sync::CancellationToken;

struct Options {
    viewers: usize,
    seconds: u64,
    chunk: usize,
    interval: Duration,
    broadcasts: usize,
    segment: u64,
    shards: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "readers") {
        return readers(&arguments[1..]);
    }
    let number = |index: usize, default: u64| {
        arguments
            .get(index)
            .map_or(Ok(default), |text| text.parse())
    };
    let options = Options {
        viewers: usize::try_from(number(0, 1_000)?)?,
        seconds: number(1, 10)?,
        chunk: usize::try_from(number(2, 2_500)?)?,
        interval: Duration::from_millis(number(3, 33)?),
        broadcasts: usize::try_from(number(4, 1)?)?,
        segment: number(5, 60)?,
        shards: usize::try_from(number(6, 1)?)?,
    };
    println!(
        "{} viewers, {} s, chunks of {} bytes each {:?}, {} broadcasts, {} chunks a segment",
        options.viewers,
        options.seconds,
        options.chunk,
        options.interval,
        options.broadcasts,
        options.segment
    );
    let floor = floor(&options)?;
    let server = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(server(&options))?;
    println!(
        "{:>8} {:>14} {:>22}   append → reader, ms: p50 p90 p99 (chunks)",
        "", "CPU µs/send", "memory kB/viewer"
    );
    for (name, run) in [("floor", &floor), ("server", &server)] {
        println!(
            "{name:>8} {:>14.2} {:>22.1}   {}",
            run.micros_per_send,
            run.memory / 1e3,
            run.latency
        );
    }
    println!(
        "floor ÷ server: {:.2}",
        floor.micros_per_send / server.micros_per_send
    );
    Ok(())
}

struct Run {
    micros_per_send: f64,
    memory: f64,
    latency: String,
}

/// Sends framed chunks to every socket in turn, and nothing else.
fn floor(options: &Options) -> anyhow::Result<Run> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let memory = resident()?;
    let child = start_readers(listener.local_addr()?, options)?;
    let mut sockets = Vec::new();
    for _ in 0..options.viewers {
        let (mut socket, _) = listener.accept()?;
        let mut request = [0; 4096];
        let _ = socket.read(&mut request)?;
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let memory = (resident()? - memory) / options.viewers as f64;
    let (started, cpu) = (Instant::now(), cpu_micros()?);
    let mut sends = 0_u64;
    for tick in 1.. {
        let mut framed = format!("{:x}\r\n", options.chunk).into_bytes();
        framed.extend_from_slice(&chunk(options.chunk));
        framed.extend_from_slice(b"\r\n");
        for socket in &sockets {
            sends += u64::from((&*socket).write(&framed).is_ok());
        }
        if started.elapsed().as_secs() >= options.seconds {
            break;
        }
        std::thread::sleep((options.interval * tick).saturating_sub(started.elapsed()));
    }
    let micros_per_send = (cpu_micros()? - cpu) / sends as f64;
    drop(sockets);
    Ok(Run {
        micros_per_send,
        memory,
        latency: finish_readers(child)?,
    })
}

struct Broadcasts(HashMap<String, Arc<Live>>);

impl Source for Broadcasts {
    fn live(&self, id: &str) -> Option<Arc<Live>> {
        self.0.get(id).cloned()
    }
}

async fn server(options: &Options) -> anyhow::Result<Run> {
    let mut writers = Vec::new();
    let mut broadcasts = HashMap::new();
    for index in 0..options.broadcasts {
        let (mut writer, live) = LiveWriter::new(
            BroadcastId::parse(&format!("b{index}"))?,
            LiveConfig::default(),
        );
        let init = Output::Init {
            epoch: Epoch(1),
            bytes: Bytes::from_static(b"init"),
            tracks: Arc::from([]),
        };
        writer.apply(RenditionName::Source, &init);
        writer.apply(RenditionName::Source, &start(0));
        broadcasts.insert(format!("b{index}"), live);
        writers.push(writer);
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let shutdown = CancellationToken::new();
    let source = Arc::new(Broadcasts(broadcasts));
    let config = HttpConfig {
        shards: Some(options.shards),
        ..HttpConfig::default()
    };
    let app = axum::Router::new();
    let handle = spawn_http(
        listener,
        config,
        Arc::clone(&source) as _,
        app,
        None,
        shutdown.clone(),
    );
    let memory = resident()?;
    let child = start_readers(address, options)?;
    while source.0.values().map(|live| live.viewers()).sum::<usize>() < options.viewers {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let memory = (resident()? - memory) / options.viewers as f64;
    let cpu = cpu_micros()?;
    let sends =
        produce(options, &mut writers).await * options.viewers as f64 / options.broadcasts as f64;
    let micros_per_send = (cpu_micros()? - cpu) / sends;
    shutdown.cancel();
    drop(writers);
    let latency = finish_readers(child)?;
    handle.await?;
    Ok(Run {
        micros_per_send,
        memory,
        latency,
    })
}

/// Appends a chunk to each broadcast in turn, evenly over the interval; how many in all.
async fn produce(options: &Options, writers: &mut [LiveWriter]) -> f64 {
    let started = tokio::time::Instant::now();
    let step = options.interval / u32::try_from(writers.len()).unwrap_or(u32::MAX);
    let mut appended = 0_u64;
    for tick in 1.. {
        let index = (tick - 1) as usize % writers.len();
        let (writer, count) = (
            &mut writers[index],
            u64::from(tick - 1) / options.broadcasts as u64,
        );
        let id = segment_id(count / options.segment);
        if count > 0 && count % options.segment == 0 {
            let last = segment_id(count / options.segment - 1);
            writer.apply(
                RenditionName::Source,
                &Output::SegmentEnd {
                    id: last,
                    duration: media::Duration::from_secs(2),
                },
            );
            writer.apply(RenditionName::Source, &start(id.msn.0));
        }
        let output = Output::Chunk {
            segment: id,
            bytes: chunk(options.chunk),
            ts: None,
            duration: media::Duration::from_millis(33),
            independent: true,
        };
        writer.apply(RenditionName::Source, &output);
        appended += 1;
        if started.elapsed().as_secs() >= options.seconds {
            break;
        }
        tokio::time::sleep_until(started + step * tick).await;
    }
    appended as f64
}

fn segment_id(msn: u64) -> SegmentId {
    SegmentId {
        epoch: Epoch(1),
        msn: Msn(msn),
    }
}

fn start(msn: u64) -> Output {
    let (id, at) = (
        segment_id(msn),
        UnixTime::from_millis(1_700_000_000_000 + msn * 2_000),
    );
    Output::SegmentStart {
        id,
        discontinuity: false,
        program_date_time: at,
        part_target: media::Duration::from_millis(200),
        frame_duration: None,
        cut: Cut {
            id,
            discontinuity: false,
            program_date_time: at,
            pts: Timestamp::ZERO,
            audio_pts: Timestamp::ZERO,
            shift: Delta::ZERO,
        },
    }
}

/// A chunk that says when it was made.
fn chunk(len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&monotonic_nanos().to_le_bytes());
    bytes.into()
}

fn start_readers(address: SocketAddr, options: &Options) -> anyhow::Result<(Child, ChildStdout)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([
            "readers",
            &address.to_string(),
            &options.viewers.to_string(),
            &options.broadcasts.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("no stdout")?;
    Ok((child, stdout))
}

fn finish_readers((mut child, mut stdout): (Child, ChildStdout)) -> anyhow::Result<String> {
    drop(child.stdin.take());
    let mut text = String::new();
    stdout.read_to_string(&mut text)?;
    child.wait()?;
    Ok(text.trim().to_owned())
}

struct Reader {
    socket: mio::net::TcpStream,
    path: String,
    msn: u64,
}

/// The other process: reads everything, asks for the next segment at the end of one, notes how old each chunk is.
fn readers(arguments: &[String]) -> anyhow::Result<()> {
    let address: SocketAddr = arguments[0].parse()?;
    let (viewers, broadcasts): (usize, usize) = (arguments[1].parse()?, arguments[2].parse()?);
    let mut poll = Poll::new()?;
    let mut sockets = Vec::new();
    for index in 0..viewers - PROBES {
        let mut socket = TcpStream::connect(address)?;
        let path = format!("b{}", index % broadcasts);
        request(&mut socket, &path, 0)?;
        socket.set_nonblocking(true)?;
        let mut socket = mio::net::TcpStream::from_std(socket);
        poll.registry()
            .register(&mut socket, Token(index), Interest::READABLE)?;
        sockets.push(Reader {
            socket,
            path,
            msn: 0,
        });
    }
    let probes: Vec<_> = (0..PROBES)
        .map(|index| start_probe(address, index % broadcasts))
        .collect();
    let mut latencies = Vec::new();
    let mut events = Events::with_capacity(4096);
    let mut open = viewers - PROBES;
    let mut buffer = vec![0; 1 << 20];
    while open > 0 {
        poll.poll(&mut events, None)?;
        for event in &events {
            let reader = &mut sockets[event.token().0];
            loop {
                let count = match reader.socket.read(&mut buffer) {
                    Ok(0) => 0,
                    Ok(count) => count,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(_) => 0,
                };
                if count == 0 {
                    open -= 1;
                    poll.registry().deregister(&mut reader.socket)?;
                    break;
                }
                let bytes = &buffer[..count];
                let now = monotonic_nanos();
                let mut rest = bytes;
                while let Some(at) =
                    find(&rest[..rest.len().min(2_048)], MAGIC).filter(|at| rest.len() >= at + 16)
                {
                    let stamp = u64::from_le_bytes(rest[at + 8..at + 16].try_into()?);
                    latencies.push(now.saturating_sub(stamp));
                    rest = &rest[at + 16..];
                }
                if bytes.ends_with(b"0\r\n\r\n") {
                    reader.msn += 1;
                    request(&mut reader.socket, &reader.path, reader.msn)?;
                }
            }
        }
    }
    let probed = probes
        .into_iter()
        .flat_map(|probe| probe.join().unwrap_or_default())
        .collect();
    println!(
        "crowd {} probes {}",
        quantiles(latencies),
        quantiles(probed)
    );
    Ok(())
}

/// A viewer with a thread of its own, so that it does not wait for others to be read.
fn start_probe(address: SocketAddr, broadcast: usize) -> std::thread::JoinHandle<Vec<u64>> {
    std::thread::spawn(move || {
        let mut latencies = Vec::new();
        let _ = probe(address, broadcast, &mut latencies);
        latencies
    })
}

fn probe(address: SocketAddr, broadcast: usize, latencies: &mut Vec<u64>) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(address)?;
    let mut buffer = vec![0; 1 << 16];
    for msn in 0.. {
        request(&mut socket, &format!("b{broadcast}"), msn)?;
        loop {
            let count = socket.read(&mut buffer)?;
            let now = monotonic_nanos();
            if count == 0 {
                return Ok(());
            }
            let bytes = &buffer[..count];
            if let Some(at) = find(&bytes[..count.min(64)], MAGIC).filter(|at| count >= at + 16) {
                let stamp: [u8; 8] = bytes[at + 8..at + 16].try_into().unwrap_or_default();
                latencies.push(now.saturating_sub(u64::from_le_bytes(stamp)));
            }
            if bytes.ends_with(b"0\r\n\r\n") {
                break;
            }
        }
    }
    Ok(())
}

fn quantiles(mut latencies: Vec<u64>) -> String {
    latencies.sort_unstable();
    let at = |quantile: f64| {
        let index = (latencies.len() as f64 * quantile) as usize;
        latencies
            .get(index)
            .map_or(0.0, |nanos| *nanos as f64 / 1e6)
    };
    let quantiles = [0.5, 0.9, 0.99].map(|quantile| format!("{:.2}", at(quantile)));
    format!("{} ({})", quantiles.join(" "), latencies.len())
}

fn request(socket: &mut impl std::io::Write, broadcast: &str, msn: u64) -> std::io::Result<()> {
    socket.write_all(
        format!("GET /live/{broadcast}/source/1.{msn}.m4s HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
    )
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

/// A clock that both processes share.
fn monotonic_nanos() -> u64 {
    // The wall clock, which nothing steps during a run of seconds.
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// User and system time of this process so far, in microseconds.
fn cpu_micros() -> anyhow::Result<f64> {
    let mut nanos = 0.0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanos += text
            .split_whitespace()
            .next()
            .unwrap_or("0")
            .parse::<f64>()?;
    }
    Ok(nanos / 1e3)
}

/// Resident bytes of this process.
fn resident() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    Ok(text
        .split_whitespace()
        .nth(1)
        .context("statm")?
        .parse::<f64>()?
        * 4096.0)
}

const MAGIC: &[u8; 8] = b"fan-out!";

/// Readers that measure with a thread of their own.
const PROBES: usize = 4;
