//! `cargo xtask`: the entry points for people, and for CI, which runs the same commands.
//!
//! In → Out: a command line → children run in order (npm, cargo, apt, nearcast), progress and one summary on the terminal.
//! Kept small on purpose: this program is compiled before anything else happens in a fresh clone.
//!
//! Spec: CONTRIBUTING.md, "Commands".
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on its terminal"
)]

mod bench;
mod check;
mod compile;
mod demo;
mod fuzz;
mod outcome;
mod packages;
mod shell;
mod suite;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};
use lexopt::prelude::*;

const USAGE: &str = "\
cargo xtask <command>

  demo   [--http-port N] [--rtmp-port N] [--release] [--no-sample]
                     build, serve, publish a sample broadcast, print where to watch
  build  [--release] leave target/{debug,release}/nearcast with the pages inside
  test   [STAGE…]    everything, unit to browser, and one summary (stages: packages web rust fuzz e2e varnish)
  check              formatting, clippy, rustdoc, tidy, licences
  fix                what of that can be repaired by a machine
  tidy               the house rules alone
  bench  NAME [--…]  glass-to-glass | fanout | network | room | transcode | varnish (arguments go to the bench)
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let mut parser = lexopt::Parser::from_env();
    let Some(command) = parser.next()? else {
        print!("{USAGE}");
        return Ok(ExitCode::FAILURE);
    };
    let command = match command {
        Value(name) => name.string()?,
        Short('h') | Long("help") => {
            print!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        other => return Err(other.unexpected().into()),
    };
    shell::catch_signals()?;
    match command.as_str() {
        "demo" => demo::run(&demo::Options::parse(&mut parser)?),
        "build" => {
            let profile = profile(&mut parser)?;
            let binary = compile::everything(profile)?;
            println!("built {}", binary.display());
            Ok(ExitCode::SUCCESS)
        }
        "test" => suite::run(&words(&mut parser)?),
        "check" => {
            nothing_more(&mut parser)?;
            Ok(check::run())
        }
        "fix" => {
            nothing_more(&mut parser)?;
            check::fix()
        }
        "tidy" => {
            nothing_more(&mut parser)?;
            Ok(tidy::run())
        }
        "bench" => {
            let name = parser.value()?.string()?;
            bench::run(&name, parser.raw_args()?.collect())
        }
        other => bail!("no command named {other:?}\n\n{USAGE}"),
    }
}

fn profile(parser: &mut lexopt::Parser) -> Result<compile::Profile> {
    let mut profile = compile::Profile::Debug;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("release") => profile = compile::Profile::Release,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(profile)
}

fn words(parser: &mut lexopt::Parser) -> Result<Vec<String>> {
    let mut words = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(words)
}

fn nothing_more(parser: &mut lexopt::Parser) -> Result<()> {
    match parser.next()? {
        None => Ok(()),
        Some(other) => Err(other.unexpected().into()),
    }
}
