//! Building the product: pages first, then the binary that carries them.
//!
//! In → Out: a profile → `target/<profile>/nearcast`.
//!
//! Spec: README.md, "Build".

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Result, bail};

use crate::{packages, shell};

/// Which of cargo's profiles.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Fast to build.
    Debug,
    /// Fast to run; what a measurement uses.
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// Pages and server; the path of the binary.
pub(crate) fn everything(profile: Profile) -> Result<PathBuf> {
    packages::ensure(&[packages::WEB])?;
    pages()?;
    binary(profile, &["nearcast"])?;
    Ok(binary_path(profile, "nearcast"))
}

/// `web/dist`, up to date. Left alone if it is: touched files would make cargo build the binary again.
pub(crate) fn pages() -> Result<()> {
    let web = shell::root().join("web");
    install(&web)?;
    let built = fs::metadata(web.join("dist/index.html")).and_then(|data| data.modified());
    if let Ok(built) = built
        && newest(&web) < built
    {
        println!("pages are up to date");
        return Ok(());
    }
    shell::run(npm(&web).args(["run", "build"]))
}

/// When a source of the pages was last touched.
fn newest(folder: &Path) -> SystemTime {
    let Ok(entries) = fs::read_dir(folder) else {
        return SystemTime::UNIX_EPOCH;
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name() != "dist" && entry.file_name() != "node_modules")
        .filter_map(|entry| {
            let data = entry.metadata().ok()?;
            if data.is_dir() {
                Some(newest(&entry.path()))
            } else {
                data.modified().ok()
            }
        })
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The binaries of these crates, with cargo's own progress on the terminal.
pub(crate) fn binary(profile: Profile, crates: &[&str]) -> Result<()> {
    let mut command = shell::cargo();
    command.args(["build", "--locked"]);
    for name in crates {
        command.args(["-p", name]);
    }
    if profile == Profile::Release {
        command.arg("--release");
    }
    shell::run(&mut command)
}

/// Where cargo leaves a binary.
pub(crate) fn binary_path(profile: Profile, name: &str) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| shell::root().join("target"), PathBuf::from)
        .join(profile.folder())
        .join(name)
}

/// `npm ci`, unless what is installed is what the lockfile says.
pub(crate) fn install(folder: &Path) -> Result<()> {
    if installed(folder) {
        return Ok(());
    }
    if !folder.join("package-lock.json").is_file() {
        bail!("{} has no package-lock.json", folder.display());
    }
    shell::run(npm(folder).args(["ci", "--no-audit", "--no-fund"]))
}

/// Is `node_modules` younger than the lockfile? npm writes `.package-lock.json` last.
pub(crate) fn installed(folder: &Path) -> bool {
    let modified = |path: &str| {
        fs::metadata(folder.join(path))
            .and_then(|data| data.modified())
            .ok()
    };
    match (
        modified("node_modules/.package-lock.json"),
        modified("package-lock.json"),
    ) {
        (Some(installed), Some(wanted)) => installed >= wanted,
        _ => false,
    }
}

/// npm in a folder, quiet about itself.
pub(crate) fn npm(folder: &Path) -> Command {
    let mut command = Command::new("npm");
    command
        .current_dir(folder)
        .env("NO_UPDATE_NOTIFIER", "1")
        .env("npm_config_update_notifier", "false");
    command
}
