//! `impair`: a bad network between two network namespaces of this machine, without kernel support beyond TUN.
//!
//! In → Out: two namespaces' names and a trace of shapes → packets carried between them until the trace is over or
//! standard input ends. It makes its own namespaces, and removes them. Root is needed.
//! Spec: none; see `link.rs`.

mod link;
mod trace;
mod tun;

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use link::Link;
use trace::{Step, Trace};

const PACKET_MAX: usize = 65_536;
const DEVICE: &str = "impair";
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// A bad network between two network namespaces: delay, jitter, loss and rate, seeded.
#[derive(Debug, Parser)]
struct Arguments {
    /// The near namespace (10.77.0.1), where the server runs; made and removed here.
    #[arg(long, default_value = "near")]
    near: String,
    /// The far namespace (10.77.0.2), where the viewer runs; made and removed here.
    #[arg(long, default_value = "far")]
    far: String,
    /// What happens to packets towards the far side: steps `SECONDS:key=value,…`, separated by spaces. Keys: rate
    /// (10M, 800k, 0 = no limit), delay, jitter, queue (20ms), loss (0.5%), burst (3). A step keeps what it does not
    /// name. Example: "10:rate=10M,delay=20ms 10:rate=1M 10:rate=10M".
    #[arg(long)]
    trace: Trace,
    /// Seed of all losses and delays.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Start the trace again when it ends, until standard input ends.
    #[arg(long)]
    repeat: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let _near = Namespace::make(&arguments.near)?;
    let _far = Namespace::make(&arguments.far)?;
    let near = join(&arguments.near, 1)?;
    let far = join(&arguments.far, 2)?;
    say(format_args!(
        "ready {} 10.77.0.1 {} 10.77.0.2",
        arguments.near, arguments.far
    ))?;
    let steps = arguments.trace.steps();
    let first = steps
        .first()
        .context("a trace has at least one step")?
        .shape;
    let mut down = Link::new(first, arguments.seed);
    let mut up = Link::new(back(first), arguments.seed.wrapping_add(1));
    let start = Instant::now();
    let stopped = stop_at_end_of_input();
    loop {
        for Step { length, shape } in steps {
            down.set_shape(*shape);
            up.set_shape(back(*shape));
            let begin = start.elapsed();
            say(format_args!("{:.1} s: {shape:?}", begin.as_secs_f64()))?;
            carry(
                [(&near, &far, &mut down), (&far, &near, &mut up)],
                start,
                begin + *length,
                &stopped,
            )?;
        }
        say(format_args!("down {:?} up {:?}", down.tally(), up.tally()))?;
        if !arguments.repeat || stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

fn say(line: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// The way back: the same delay and loss, but a viewer's requests are small and find no bottleneck.
fn back(shape: link::Shape) -> link::Shape {
    link::Shape {
        rate_bps: 0,
        loss: 0.0,
        ..shape
    }
}

/// Whoever started us holds the other end of standard input: its end, also by a crash, ends us and our namespaces.
fn stop_at_end_of_input() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = stopped.clone();
    std::thread::spawn(move || {
        drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
        flag.store(true, Ordering::Relaxed);
    });
    stopped
}

fn carry(
    mut ways: [(&File, &File, &mut Link); 2],
    start: Instant,
    until: Duration,
    stopped: &AtomicBool,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; PACKET_MAX];
    loop {
        for (from, to, link) in &mut ways {
            let (mut from, mut to): (&File, &File) = (from, to);
            loop {
                match from.read(&mut buffer) {
                    Ok(size) => link.handle_packet(start.elapsed(), &buffer[..size]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error).context("reading a packet"),
                }
            }
            while let Some(packet) = link.poll_packet(start.elapsed()) {
                // A full device queue drops the packet, as any interface does.
                drop(to.write(&packet));
            }
        }
        let now = start.elapsed();
        if now >= until || stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
        let next = ways
            .iter()
            .filter_map(|(_, _, link)| link.next_timeout())
            .min()
            .unwrap_or(until)
            .min(until);
        tun::wait(
            ways[0].0,
            ways[1].0,
            next.saturating_sub(now).min(LOOK_AROUND),
        )
        .context("waiting for packets")?;
    }
}

/// A network namespace that is removed when this is dropped.
struct Namespace(String);

impl Namespace {
    fn make(name: &str) -> anyhow::Result<Self> {
        ip(&["netns", "add", name])
            .context("making a network namespace needs root and iproute2")?;
        let namespace = Self(name.to_owned());
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(ip(&["netns", "del", &self.0]));
    }
}

fn join(namespace: &str, host: u8) -> anyhow::Result<File> {
    let device = tun::open(namespace, DEVICE)
        .with_context(|| format!("making a TUN device in {namespace}"))?;
    ip(&[
        "-n",
        namespace,
        "addr",
        "add",
        &format!("10.77.0.{host}/24"),
        "dev",
        DEVICE,
    ])?;
    ip(&["-n", namespace, "link", "set", DEVICE, "up"])?;
    Ok(device)
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("running `ip` (Debian package iproute2)")?;
    if !output.status.success() {
        bail!(
            "ip {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
