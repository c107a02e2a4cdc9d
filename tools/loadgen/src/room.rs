//! `loadgen room`: an audience with real sockets in one room: most read the interaction track, some tap and comment.
//!
//! In → Out: the address of a broadcast that is live, best behind a cache → times from a tap to the broadcaster's and to every
//! viewer's socket, bytes a viewer, refusals, as text or JSON.
//! Marked taps have colours of their own: what a reader finds in such a colour is the one tap that was sent last in it.
//! Spec: docs/ix.md; design "Numbers to reach" (tap → broadcaster, tap → every viewer, interaction).

pub mod beats;
pub mod client;
pub mod flood;
pub mod simulate;
pub mod socket;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use media::Delta;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::fanout::{spawn_guide, wait_for};
use crate::light::{Course, Guide};
use crate::process;
use crate::report::Times;
use crate::swarm::{Plan, Probing, Seen, Swarm};
use crate::target::Target;
use beats::{MARKS, Marks};
use client::Client;

/// What to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The watch page (http://HOST/b/ID) of a broadcast that is live, where viewers are: a cache's address.
    #[arg(long)]
    pub url: String,
    /// The same at the server itself, for the broadcaster's socket; the same address if absent.
    #[arg(long)]
    pub origin: Option<String>,
    /// The broadcast's stream key; any text for a broadcast of `serve --dev`.
    #[arg(long, default_value = "dev")]
    pub key: String,
    /// How many viewers.
    #[arg(long, default_value_t = 5_000)]
    pub viewers: usize,
    /// How many of a thousand of them tap.
    #[arg(long, default_value_t = 10)]
    pub tapping: usize,
    /// Taps a second of each of those.
    #[arg(long, default_value_t = 3.0)]
    pub taps: f64,
    /// Comments a second of all of them.
    #[arg(long, default_value_t = 2.0)]
    pub comments: f64,
    /// New viewers a second.
    #[arg(long, default_value_t = 500)]
    pub ramp: u32,
    /// Viewers that are woken for each beat, to measure; the others are read ten times a second.
    #[arg(long, default_value_t = 100)]
    pub probes: usize,
    /// Seconds before measuring, when all are there.
    #[arg(long, default_value_t = 6)]
    pub settle: u64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What came out.
#[derive(Clone, Debug, Default, Serialize)]
struct Outcome {
    viewers: usize,
    tapping: usize,
    seconds: f64,
    tap_to_broadcaster_ms: Times,
    tap_to_viewer_ms: Times,
    /// From a request's `write` to its answer's `read`.
    post_ms: Times,
    posts: u64,
    refused: u64,
    /// Body bytes of the track.
    bytes_per_second_a_viewer: f64,
    segments: u64,
    aborted: u64,
    refused_reads: u64,
}

/// Measures and prints; fails if no tap came back.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let files = process::raise_file_limit();
    if args.viewers as u64 + 500 > files {
        bail!(
            "{} viewers need more open files than the {files} that the machine allows",
            args.viewers
        );
    }
    let target = Arc::new(Target::parse(&args.url, None).await?);
    let origin = match &args.origin {
        Some(url) => Arc::new(Target::parse(url, None).await?),
        None => Arc::clone(&target),
    };
    let id = broadcast_of(&target.path)
        .context("this is not the address of a broadcast")?
        .to_owned();
    let clock = Clock::new(Delta::ZERO);
    let guide = Arc::new(Guide::default());
    let guiding = spawn_guide(Arc::clone(&target), Arc::clone(&guide), clock);
    wait_for(&guide).await?;
    let marks = Arc::new(Marks::default());
    let plan = Plan {
        address: target.address,
        authority: target.authority.clone(),
        course: Course::Lines(format!("/live/{id}/ix/")),
        ramp: args.ramp,
        probe_every: (args.viewers / args.probes.max(1)).max(1),
        probing: Probing::Beats(Arc::clone(&marks)),
        segment: Duration::from_secs(2),
    };
    let swarm = Swarm::spawn(plan, guide, clock)?;
    swarm.grow(args.viewers);
    while swarm.connected() < args.viewers {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seen = Arc::new(Mutex::new(Up::default()));
    let mut tasks = JoinSet::new();
    let audience = Audience {
        id,
        target,
        origin,
        clock,
        marks,
        seen,
        args: args.clone(),
    };
    audience.begin(&mut tasks).await?;
    tokio::time::sleep(Duration::from_secs(args.settle)).await;
    swarm.take();
    std::mem::take(&mut *audience.seen.lock().await);
    let begin = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let seconds = begin.elapsed().as_secs_f64();
    let (down, up) = (
        swarm.take(),
        std::mem::take(&mut *audience.seen.lock().await),
    );
    for error in swarm.take_errors() {
        crate::note(&format!("  {error}"));
    }
    tasks.shutdown().await;
    guiding.abort();
    swarm.stop();
    audience.outcome(&down, &up, seconds).print(args.json)
}

/// Viewers who comment.
const WRITERS: u32 = 10;

/// What those who do something saw.
#[derive(Debug, Default)]
struct Up {
    to_broadcaster: testkit::viewer::Times,
    posts: testkit::viewer::Times,
    refused: u64,
}

struct Audience {
    id: String,
    target: Arc<Target>,
    origin: Arc<Target>,
    clock: Clock,
    marks: Arc<Marks>,
    seen: Arc<Mutex<Up>>,
    args: Args,
}

impl Audience {
    /// The broadcaster, then all who tap and comment.
    async fn begin(&self, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
        let mut socket = socket::Socket::open(&self.origin, &self.id, &self.args.key).await?;
        let (marks, clock, seen) = (Arc::clone(&self.marks), self.clock, Arc::clone(&self.seen));
        tasks.spawn(async move {
            while let Some(message) = socket.next().await {
                let now = clock.now();
                for sent in marks.found(&message) {
                    seen.lock().await.to_broadcaster.record(now.since(sent));
                }
            }
            crate::note("  the broadcaster's socket has ended");
        });
        for colour in 0..MARKS {
            let client = Client::enter(&self.target, &self.id, |found| found == colour).await?;
            tasks.spawn(self.mark(client, colour));
        }
        let tapping = self.args.viewers * self.args.tapping / 1_000;
        for number in 0..tapping {
            let client = Client::enter(&self.target, &self.id, |colour| colour >= MARKS).await?;
            let pause = Duration::from_secs_f64(1.0 / self.args.taps.max(0.01));
            tasks.spawn(self.tap(client, number, pause));
        }
        if self.args.comments > 0.0 {
            for number in 0..WRITERS {
                let client =
                    Client::enter(&self.target, &self.id, |colour| colour >= MARKS).await?;
                let pause = Duration::from_secs_f64(f64::from(WRITERS) / self.args.comments);
                tasks.spawn(self.write(client, number, pause));
            }
        }
        Ok(())
    }

    /// One tap after the other in a colour of its own, each when everybody has seen the one before.
    fn mark(&self, mut client: Client, colour: usize) -> impl Future<Output = ()> + Send + 'static {
        let (marks, clock, seen) = (Arc::clone(&self.marks), self.clock, Arc::clone(&self.seen));
        async move {
            // Never in step with the beats.
            let mut wait = 97 * colour as u64;
            loop {
                tokio::time::sleep(Duration::from_millis(1_501 + wait)).await;
                wait = (wait * 7_919 + 13) % 1_000;
                marks.sent(colour, clock.now());
                note(&seen, client.taps(1, clock).await).await;
            }
        }
    }

    fn tap(
        &self,
        mut client: Client,
        number: usize,
        pause: Duration,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (clock, seen) = (self.clock, Arc::clone(&self.seen));
        async move {
            tokio::time::sleep(pause / 97 * u32::try_from(number % 97).unwrap_or(0)).await;
            let mut tick = tokio::time::interval(pause);
            loop {
                tick.tick().await;
                note(&seen, client.taps(1, clock).await).await;
            }
        }
    }

    fn write(
        &self,
        mut client: Client,
        number: u32,
        pause: Duration,
    ) -> impl Future<Output = ()> + Send + 'static {
        let seen = Arc::clone(&self.seen);
        async move {
            tokio::time::sleep(pause / 10 * number).await;
            let mut tick = tokio::time::interval(pause);
            loop {
                tick.tick().await;
                // Answered with its beat: no time to measure.
                if client
                    .comment("what a lovely evening for all of this")
                    .await
                    .is_err()
                {
                    seen.lock().await.refused += 1;
                }
            }
        }
    }

    fn outcome(&self, down: &Seen, up: &Up, seconds: f64) -> Outcome {
        #[expect(clippy::cast_precision_loss, reason = "for printing")]
        let (bytes, viewers) = (down.sums.bytes as f64, self.args.viewers as f64);
        let posts = up.posts.percentiles();
        Outcome {
            viewers: self.args.viewers,
            tapping: self.args.viewers * self.args.tapping / 1_000,
            seconds,
            tap_to_broadcaster_ms: up.to_broadcaster.percentiles().into(),
            tap_to_viewer_ms: down.lateness.percentiles().into(),
            posts: posts.count,
            post_ms: posts.into(),
            refused: up.refused,
            bytes_per_second_a_viewer: bytes / seconds / viewers,
            segments: down.sums.segments,
            aborted: down.sums.aborted,
            refused_reads: down.sums.refused,
        }
    }
}

async fn note(seen: &Mutex<Up>, answer: anyhow::Result<client::Answer>) {
    let mut seen = seen.lock().await;
    match answer {
        Ok(answer) if answer.status == 200 => seen.posts.record(answer.took),
        Ok(_) => seen.refused += 1,
        Err(error) => {
            seen.refused += 1;
            crate::note(&format!("  a request failed: {error:#}"));
        }
    }
}

impl Outcome {
    fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            crate::print(&serde_json::to_string(self)?);
        } else {
            let row = |name: &str, times: &Times| {
                format!(
                    "| {name}, ms p50 / p99 / max | {:.0} / {:.0} / {:.0} ({} times) |",
                    times.p50, times.p99, times.max, times.count
                )
            };
            crate::print(&format!(
                "{} viewers, {} tapping, {:.0} s\n\n| what | value |\n|---|---|\n{}\n{}\n{}\n| POSTs, refused | {}, {} |\n| each viewer, bytes/s | {:.0} |\n\
                 | segments read, refused, cut | {}, {}, {} |",
                self.viewers,
                self.tapping,
                self.seconds,
                row("tap → broadcaster", &self.tap_to_broadcaster_ms),
                row("tap → every viewer", &self.tap_to_viewer_ms),
                row("POST → answer", &self.post_ms),
                self.posts,
                self.refused,
                self.bytes_per_second_a_viewer,
                self.segments,
                self.refused_reads,
                self.aborted,
            ));
        }
        if self.tap_to_viewer_ms.count == 0 || self.tap_to_broadcaster_ms.count == 0 {
            bail!("no tap came back");
        }
        Ok(())
    }
}

/// The id in `/live/ID/index.m3u8`.
fn broadcast_of(path: &str) -> Option<&str> {
    path.strip_prefix("/live/")?.split('/').next()
}
