//! Nearcast: live video that answers back. One binary; every role is a subcommand.
//!
//! In → Out: the command line → the chosen subcommand, run on one tokio runtime; exit code 0, 1 (failed) or 2 (usage).
//! Spec: design "One picture".

// A terminal program talks on stdout; everything else that is logged goes through `tracing` to stderr.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this crate is the command line"
)]

mod cli;
mod config;
mod metric_names;
mod pages;
mod serve;
mod shutdown;
mod telemetry;
mod tls;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the async runtime could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
