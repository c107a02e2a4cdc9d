//! The command line: one module a subcommand.
//!
//! In → Out: arguments → a call of the chosen subcommand's `run`.
//! Spec: none; our own. `nearcast help` prints what stands here.

pub(crate) mod broadcast;
pub(crate) mod publish;
pub(crate) mod serve;
pub(crate) mod watch;

use clap::{Parser, Subcommand};

/// Live video that answers back: a server for broadcasts that viewers see a fraction of a second later in any browser.
#[derive(Debug, Parser)]
#[command(name = "nearcast", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: RTMP in, HTTP out, until Ctrl-C.
    Serve(Box<serve::Args>),
    /// Create, list and end broadcasts on the server of this machine.
    Broadcast(broadcast::Args),
    /// Publish a test pattern or a file with ffmpeg.
    Publish(publish::Args),
    /// Watch a broadcast without a screen and report what a viewer gets.
    Watch(watch::Args),
}

impl Cli {
    /// Runs the chosen subcommand to its end.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(args) => serve::run(*args).await,
            Command::Broadcast(args) => broadcast::run(args).await,
            Command::Publish(args) => publish::run(args).await,
            Command::Watch(args) => watch::run(args).await,
        }
    }
}
