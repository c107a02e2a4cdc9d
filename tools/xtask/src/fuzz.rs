//! Fuzz targets: the committed corpora are replayed, then each target runs for a few seconds.
//!
//! In → Out: `fuzz/fuzz_targets/*.rs` and `fuzz/corpus/<target>/` → pass, or the input that failed.
//! Built without a sanitizer, so that the stable toolchain can do it; the coverage feedback is the same.
//!
//! Spec: fuzz/README.md.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell;

/// New inputs for each target in the test command, and the seconds that they may take. The seed is fixed, so that a run
/// that is green is green again: looking further is `cargo fuzz run TARGET`, for as long as one likes.
const GROW_RUNS: u32 = 20_000;
const GROW_SECONDS: u32 = 6;

/// The targets' names, from their files.
pub(crate) fn targets() -> Result<Vec<String>> {
    let folder = shell::root().join("fuzz/fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            (path.extension()? == "rs").then(|| path.file_stem()?.to_str().map(str::to_owned))?
        })
        .collect();
    names.sort();
    Ok(names)
}

/// Builds all targets at once.
pub(crate) fn build() -> Result<Vec<String>> {
    let targets = targets()?;
    if targets.is_empty() {
        bail!("no fuzz targets");
    }
    let logged = shell::run_logged(
        "fuzz-build",
        shell::cargo().args(["fuzz", "build", "--sanitizer", "none"]),
        Duration::from_mins(20),
    )?;
    if !logged.success() {
        bail!("cargo fuzz build failed:\n{}", logged.tail(40));
    }
    Ok(targets)
}

/// Every committed input once, then new ones for some seconds; the number of each.
pub(crate) fn replay_and_grow(target: &str) -> Result<String> {
    let committed = shell::root().join("fuzz/corpus").join(target);
    let inputs = fs::read_dir(&committed).map_or(0, Iterator::count);
    if inputs == 0 {
        bail!("{} holds no input to replay", committed.display());
    }
    let grown = shell::root().join("fuzz/corpus-grown").join(target);
    let artifacts = shell::root().join("fuzz/artifacts").join(target);
    fs::create_dir_all(&grown)?;
    fs::create_dir_all(&artifacts)?;
    let logged = shell::run_logged(
        &format!("fuzz-{target}"),
        Command::new(binary(target)?)
            .current_dir(shell::root().join("fuzz"))
            .args(["-seed=1", "-reload=0", &format!("-runs={GROW_RUNS}")])
            .arg(format!("-max_total_time={GROW_SECONDS}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-rss_limit_mb=1024", "-timeout=5", "-print_final_stats=1"])
            .args([&grown, &committed]),
        Duration::from_mins(2),
    )?;
    if !logged.success() {
        bail!("{} failed:\n{}", target, logged.tail(30));
    }
    let executed = logged
        .lines
        .iter()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map_or("?", str::trim);
    Ok(format!("{inputs} inputs replayed, {executed} run"))
}

fn binary(target: &str) -> Result<PathBuf> {
    let output = Command::new("rustc").args(["-vV"]).output()?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc names no host")?;
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| shell::root().join("fuzz/target"), PathBuf::from);
    Ok(folder.join(host).join("release").join(target))
}
