//! Load for a Nearcast server: thousands of viewers or publishers in one process, and the fan-out bench.
//!
//! In → Out: the command line → load, and its numbers as text or JSON; exit code 1 when something is wrong with the server.
//! Spec: none; our own.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use loadgen::{churn, fanout, floor, room, transcode, viewers};

/// Load for a Nearcast server.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Many viewers on one broadcast of a running server.
    Viewers(viewers::Args),
    /// Viewers against processor time and lateness, beside a bare loop of send() and nginx.
    Fanout(fanout::Args),
    /// An audience in one room: readers of the interaction track, of whom some tap and comment.
    Room(room::Args),
    /// As many interaction requests as a server takes into one room.
    Posts(room::flood::Args),
    /// A room with a million viewers in virtual time, behind a model of two tiers of caches.
    SimulateRoom(room::simulate::Args),
    /// What encoded renditions cost: processor time, delay, the wait for a cold one, bytes of the container.
    Transcode(transcode::Args),
    /// Publishers that come and leave, again and again.
    Churn(churn::Args),
    /// The bare loop of send() by itself.
    #[command(hide = true)]
    Floor {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        chunk: usize,
        #[arg(long)]
        interval_us: u64,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Floor {
            listen,
            chunk,
            interval_us,
        } => floor::run(floor::Floor {
            listen,
            chunk,
            interval: Duration::from_micros(interval_us),
        }),
        other => run(other),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            loadgen::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    // The load must not take more processors than it needs: one thread for what is not a thread of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Viewers(args) => viewers::run(args).await,
            Command::Fanout(args) => fanout::run(args).await,
            Command::Transcode(args) => transcode::run(args).await,
            Command::Churn(args) => churn::run(args).await,
            Command::Room(args) => room::run(args).await,
            Command::Posts(args) => room::flood::run(args).await,
            Command::SimulateRoom(args) => room::simulate::run(&args),
            Command::Floor { .. } => Ok(()),
        }
    })
}
