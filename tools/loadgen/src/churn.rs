//! `loadgen churn`: publishers come, publish for a moment and leave, again and again.
//!
//! In → Out: the server's binary → its memory before, between and after the rounds; an error if it does not come back.
//! Spec: case ING-33 of the catalogue, shortened: 5,000 publishers in 10 s become some hundreds in rounds.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use media::Delta;
use testkit::synthetic::Settings;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::process;
use crate::publish::{Publishing, publish};
use crate::server;

/// What to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The server's binary; otherwise the one beside this program.
    #[arg(long)]
    pub server: Option<PathBuf>,
    /// Publishers in a round.
    #[arg(long, default_value_t = 200)]
    pub publishers: usize,
    /// How long each publishes, in seconds.
    #[arg(long, default_value_t = 3)]
    pub seconds: u64,
    /// Rounds.
    #[arg(long, default_value_t = 6)]
    pub rounds: usize,
    /// Memory after the last round may be above that after the second by so many per cent.
    #[arg(long, default_value_t = 5.0)]
    pub growth_max: f64,
}

/// Runs the rounds; fails if memory keeps growing or publishers fail.
pub async fn run(args: Args) -> anyhow::Result<()> {
    process::raise_file_limit();
    let binary = match &args.server {
        Some(binary) => binary.clone(),
        None => std::env::current_exe()?.with_file_name("nearcast"),
    };
    // Ended broadcasts are forgotten at once, so that rounds can be compared.
    let settings = [
        ("NEARCAST_BROADCAST_RECONNECT_WINDOW", "1s"),
        ("NEARCAST_BROADCAST_ENDED_GRACE", "5s"),
        ("NEARCAST_LOG_FILTER", "warn"),
    ];
    let running = server::nearcast(&binary, &settings, &process::processors())?;
    let clock = Clock::new(Delta::ZERO);
    let mut failed = 0;
    let mut memory = vec![process::memory(running.pid())?];
    for round in 0..args.rounds {
        let mut tasks = JoinSet::new();
        for number in 0..args.publishers {
            let publishing = Publishing {
                address: running.rtmp,
                name: format!("churn-{round}-{number}"),
                settings: Settings::default(),
                length: Some(Duration::from_secs(args.seconds)),
            };
            tasks.spawn(async move { publish(&publishing, clock).await });
        }
        while let Some(result) = tasks.join_next().await {
            if let Err(error) = result? {
                failed += 1;
                if failed <= 3 {
                    crate::note(&format!("  publisher: {error:#}"));
                }
            }
        }
        // Reconnect window, grace, and a little more.
        tokio::time::sleep(Duration::from_secs(8)).await;
        memory.push(process::memory(running.pid())?);
        crate::note(&format!(
            "round {}: {} kB, {failed} publishers failed",
            round + 1,
            memory[round + 1] / 1_000
        ));
    }
    judge(&args, &memory, failed)
}

fn judge(args: &Args, memory: &[u64], failed: usize) -> anyhow::Result<()> {
    // The first rounds fill the allocator's pools.
    let (Some(base), Some(last)) = (memory.get(2), memory.last()) else {
        bail!("at least two rounds are needed");
    };
    #[expect(clippy::cast_precision_loss, reason = "for a percentage")]
    let growth = (*last as f64 / *base as f64 - 1.0) * 100.0;
    crate::print(&format!(
        "{} publishers in {} rounds: {} kB at the start, {} kB after the second round, {} kB at the end ({growth:+.1} %), {failed} failed",
        args.publishers * args.rounds,
        args.rounds,
        memory[0] / 1_000,
        base / 1_000,
        last / 1_000,
    ));
    if failed > 0 {
        bail!("{failed} publishers failed");
    }
    if growth > args.growth_max {
        bail!("memory grew by {growth:.1} %");
    }
    Ok(())
}
