//! `loadgen posts`: as many interaction requests as a server takes into one room.
//!
//! In → Out: a broadcast and the server's process → requests a second, and what one of its processors would carry.
//! Each request is one viewer's one heart, with a token of its own, on a connection that is kept; the server has to trust this machine's
//! `X-Forwarded-For` (`delivery.trusted_proxies`), or all of them are one network and held to its limits.
//! Spec: docs/ix.md, "Limits"; design "Numbers to reach" (interaction).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use media::Delta;
use serde::Serialize;
use tokio::task::JoinSet;

use super::broadcast_of;
use super::client::Client;
use crate::clock::Clock;
use crate::process;
use crate::target::Target;

/// What to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The watch page of a broadcast that is live, at the server itself.
    #[arg(long)]
    pub url: String,
    /// The server's process, for its processor time.
    #[arg(long)]
    pub pid: u32,
    /// Connections at once.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Viewers that share them.
    #[arg(long, default_value_t = 6_400)]
    pub viewers: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 8)]
    pub seconds: u64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Outcome {
    posts_per_second: f64,
    posts_per_core_second: f64,
    accepted: u64,
    refused: u64,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
}

/// Measures and prints.
pub async fn run(args: Args) -> anyhow::Result<()> {
    process::raise_file_limit();
    let target = Arc::new(Target::parse(&args.url, None).await?);
    let id = broadcast_of(&target.path)
        .context("this is not the address of a broadcast")?
        .to_owned();
    let counts = Arc::new(Counts::default());
    let each = args.viewers.div_ceil(args.connections.max(1));
    let mut entering = JoinSet::new();
    for number in 0..args.connections {
        let (target, id) = (Arc::clone(&target), id.clone());
        entering.spawn(async move { enter(&target, &id, number, each).await });
    }
    let mut tasks = JoinSet::new();
    while let Some(entered) = entering.join_next().await {
        let (client, tokens) = entered??;
        tasks.spawn(flood(client, tokens, Arc::clone(&counts)));
    }
    // Until all have begun.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = (
        count(&counts),
        process::cpu_time(args.pid)?,
        tokio::time::Instant::now(),
    );
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let (now, cpu) = (
        count(&counts),
        process::cpu_time(args.pid)?.saturating_sub(before.1),
    );
    let elapsed = before.2.elapsed().as_secs_f64();
    tasks.shutdown().await;
    let (accepted, refused) = (now.0 - before.0.0, now.1 - before.0.1);
    if accepted == 0 {
        bail!("no request was accepted");
    }
    #[expect(clippy::cast_precision_loss, reason = "for printing")]
    let posts = (accepted + refused) as f64;
    let outcome = Outcome {
        posts_per_second: posts / elapsed,
        posts_per_core_second: posts / cpu.as_secs_f64().max(0.001),
        accepted,
        refused,
    };
    if args.json {
        crate::print(&serde_json::to_string(&outcome)?);
    } else {
        crate::print(&format!(
            "{:.0} POSTs/s, {:.0} a second of one processor; {} accepted, {} refused",
            outcome.posts_per_second,
            outcome.posts_per_core_second,
            outcome.accepted,
            outcome.refused
        ));
    }
    Ok(())
}

fn count(counts: &Counts) -> (u64, u64) {
    (
        counts.accepted.load(Ordering::Relaxed),
        counts.refused.load(Ordering::Relaxed),
    )
}

/// Tokens of many viewers, each from a network of its own.
async fn enter(
    target: &Arc<Target>,
    id: &str,
    number: usize,
    each: usize,
) -> anyhow::Result<(Client, Vec<(String, String)>)> {
    let mut client = Client::enter(target, id, |_| true).await?;
    let mut tokens = Vec::new();
    for other in 0..each {
        let address = format!("10.{}.{}.1", number % 250, other % 250);
        client.forwarded = Some(address.clone());
        client.become_viewer().await?;
        tokens.push((client.token().to_owned(), address));
    }
    Ok((client, tokens))
}

async fn flood(mut client: Client, tokens: Vec<(String, String)>, counts: Arc<Counts>) {
    let clock = Clock::new(Delta::ZERO);
    for (token, address) in tokens.iter().cycle() {
        client.take_token(token);
        client.forwarded = Some(address.clone());
        let counter = match client.taps(1, clock).await {
            Ok(answer) if answer.status == 200 => &counts.accepted,
            _ => &counts.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
