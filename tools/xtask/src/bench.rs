//! `cargo xtask bench NAME`: builds what a bench measures, with optimisation, and starts it.
//!
//! In → Out: a name and its arguments → the bench's own tables on the terminal, files under `bench/results`.
//!
//! Spec: bench/README.md.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::compile::{self, Profile};
use crate::{packages, shell};

/// Runs one bench; the arguments are its own.
pub(crate) fn run(name: &str, arguments: Vec<OsString>) -> Result<ExitCode> {
    match name {
        "glass-to-glass" | "network" | "room" | "varnish" => script(name, arguments)?,
        "fanout" | "transcode" => {
            packages::ensure(&[packages::PUBLISH, packages::PEER])?;
            compile::pages()?;
            compile::binary(Profile::Release, &["nearcast", "loadgen"])?;
            shell::run(
                Command::new(compile::binary_path(Profile::Release, "loadgen"))
                    .current_dir(shell::root())
                    .arg(name)
                    .args(arguments),
            )?;
        }
        other => {
            bail!(
                "no bench named {other:?}; there are: glass-to-glass fanout network room transcode varnish"
            )
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `bench/NAME/NAME.mjs`, which uses the harness of the end-to-end tests.
fn script(name: &str, arguments: Vec<OsString>) -> Result<()> {
    packages::ensure(&[
        packages::WEB,
        packages::PUBLISH,
        packages::BROWSER,
        packages::PEER,
        packages::CACHE,
        packages::NETWORK,
    ])?;
    compile::pages()?;
    compile::binary(Profile::Release, &["nearcast", "loadgen", "impair"])?;
    compile::install(&shell::root().join("tests/e2e"))?;
    shell::run(
        Command::new("node")
            .current_dir(shell::root())
            .arg(shell::root().join(format!("bench/{name}/{name}.mjs")))
            .env(
                "NEARCAST_BINARY",
                compile::binary_path(Profile::Release, "nearcast"),
            )
            .args(arguments),
    )
}
