//! Asks the configured ffmpeg what it is, once, at start.
//!
//! In → Out: the configuration → the version text, or why no rung can be encoded with it.
//! Spec: ffmpeg documentation, "Generic options" (`-version`, `-encoders`).

use std::time::Duration;

use tokio::process::Command;

use crate::Config;

const PATIENCE: Duration = Duration::from_secs(10);

/// Why there will be no rungs.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The program does not start.
    #[error(
        "{program} cannot be run ({cause}): install ffmpeg 5.1 or later, or set [transcode] ffmpeg"
    )]
    Missing {
        /// What was to be run.
        program: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The program starts, but is not usable.
    #[error("{program} is {found}; ffmpeg 5.1 or later is needed")]
    Old {
        /// What was run.
        program: String,
        /// What it said it is.
        found: String,
    },
    /// The program lacks the configured encoder.
    #[error(
        "{program} has no encoder {encoder}: set [transcode] encoder to one that `ffmpeg -encoders` lists"
    )]
    Encoder {
        /// What was run.
        program: String,
        /// The encoder that was looked for.
        encoder: String,
    },
}

/// Runs the configured ffmpeg; its version, such as `5.1.9`.
pub async fn probe_ffmpeg(config: &Config) -> Result<String, ProbeError> {
    let program = config.ffmpeg.display().to_string();
    let banner = ask(config, "-version").await?;
    let first = banner.lines().next().unwrap_or_default();
    let version = version(first).ok_or_else(|| ProbeError::Old {
        program: program.clone(),
        found: shorten(first),
    })?;
    let encoders = ask(config, "-encoders").await?;
    let known = encoders
        .lines()
        .any(|line| line.split_whitespace().nth(1) == Some(&config.encoder));
    if known {
        Ok(version)
    } else {
        Err(ProbeError::Encoder {
            program,
            encoder: config.encoder.clone(),
        })
    }
}

async fn ask(config: &Config, question: &str) -> Result<String, ProbeError> {
    let missing = |cause| ProbeError::Missing {
        program: config.ffmpeg.display().to_string(),
        cause,
    };
    let mut command = Command::new(&config.ffmpeg);
    command
        .args(["-hide_banner", question])
        .kill_on_drop(true)
        .stdin(std::process::Stdio::null());
    let answer = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = answer
        .map_err(|_| missing(std::io::ErrorKind::TimedOut.into()))?
        .map_err(missing)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The version in `ffmpeg version 5.1.9-0+deb12u1 Copyright …` if it is new enough; builds from git (`N-…`) are.
fn version(banner: &str) -> Option<String> {
    let text = banner
        .strip_prefix("ffmpeg version ")?
        .split_whitespace()
        .next()?;
    let numbers = text.trim_start_matches('n').split(['-', '+']).next()?;
    let mut parts = numbers.split('.').map(str::parse::<u32>);
    let new_enough = match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 1),
        (Some(Ok(major)), None) => major > 5,
        _ => text.starts_with("N-"),
    };
    new_enough.then(|| numbers.to_owned())
}

fn shorten(line: &str) -> String {
    line.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_5_1_on_are_taken() {
        let check = |text: &str| {
            version(&format!("ffmpeg version {text} Copyright (c) 2000-2026")).is_some()
        };
        assert!(
            check("5.1.9-0+deb12u1")
                && check("7.1.5")
                && check("n8.0")
                && check("9.0.2-static")
                && check("N-118000-gabc")
        );
        assert!(!check("4.4.2-0ubuntu0.22.04.1") && !check("5.0.1") && !check("rubbish"));
        assert!(version("sh: ffmpeg: not found").is_none());
    }
}
