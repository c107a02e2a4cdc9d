//! The Debian packages and cargo tools that a command needs: there already, installed now, or one sentence about how.
//!
//! In → Out: needs → nothing, or an error that holds the one command to type.
//!
//! Spec: README.md, "What gets installed".

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::shell;

/// A Debian package and how to see that it is not needed.
#[derive(Clone, Copy)]
pub(crate) struct Need {
    package: &'static str,
    /// A program that makes the package unnecessary wherever it comes from.
    program: Option<&'static str>,
}

const fn program(package: &'static str, program: &'static str) -> Need {
    Need {
        package,
        program: Some(program),
    }
}

const fn library(package: &'static str) -> Need {
    Need {
        package,
        program: None,
    }
}

/// To build the pages.
pub(crate) const WEB: &[Need] = &[program("nodejs", "node"), program("npm", "npm")];
/// To publish.
pub(crate) const PUBLISH: &[Need] = &[program("ffmpeg", "ffmpeg")];
/// To watch in a browser.
pub(crate) const BROWSER: &[Need] = &[program("chromium", "chromium"), library("fonts-liberation")];
/// The other encoder that must work with us.
pub(crate) const GSTREAMER: &[Need] = &[
    program("gstreamer1.0-tools", "gst-launch-1.0"),
    library("gstreamer1.0-plugins-base"),
    library("gstreamer1.0-plugins-good"),
    library("gstreamer1.0-plugins-bad"),
    library("gstreamer1.0-plugins-ugly"),
];
/// The cache in front.
pub(crate) const CACHE: &[Need] = &[program("varnish", "varnishd")];
/// A bad network between namespaces.
pub(crate) const NETWORK: &[Need] = &[program("iproute2", "ip")];
/// The peer in the latency bench.
pub(crate) const PEER: &[Need] = &[program("nginx", "nginx"), library("libnginx-mod-rtmp")];

/// Installs what is missing through apt, as root; else an error with the command that somebody else has to type.
pub(crate) fn ensure(groups: &[&[Need]]) -> Result<String> {
    let missing: Vec<&str> = groups
        .iter()
        .flat_map(|group| group.iter())
        .filter(|need| !present(need))
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return node_is_new_enough(groups).map(|()| "all there".to_owned());
    }
    let by_hand = format!(
        "sudo apt-get install -y --no-install-recommends {}",
        missing.join(" ")
    );
    if !rustix::process::geteuid().is_root() || shell::find_program("apt-get").is_none() {
        bail!("missing: {}\n  install with: {by_hand}", missing.join(", "));
    }
    println!("installing {} (apt)", missing.join(", "));
    apt(&["update"])?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments)?;
    node_is_new_enough(groups)?;
    Ok(format!("installed {}", missing.join(" ")))
}

/// Makes `cargo <name>` available, building it from crates.io if it is not.
pub(crate) fn ensure_cargo_tool(name: &str) -> Result<()> {
    if shell::find_program(name).is_some() || installed_by_cargo(name) {
        return Ok(());
    }
    println!("installing {name} (cargo install)");
    let log = shell::run_logged(
        &format!("install-{name}"),
        shell::cargo().args(["install", "--locked", name]),
        Duration::from_mins(20),
    )?;
    if !log.success() {
        bail!(
            "cannot install {name}:\n{}\n  by hand: cargo install --locked {name}",
            log.tail(20)
        );
    }
    Ok(())
}

fn installed_by_cargo(name: &str) -> bool {
    std::env::var_os("CARGO_HOME")
        .map(std::path::PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".cargo")))
        .is_some_and(|home| home.join("bin").join(name).is_file())
}

fn present(need: &Need) -> bool {
    match need.program {
        Some(program) => shell::find_program(program).is_some(),
        None => Command::new("dpkg-query")
            .args(["-W", "-f=${Status}", need.package])
            .stderr(Stdio::null())
            .output()
            .is_ok_and(|output| output.stdout.ends_with(b" installed")),
    }
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    if std::env::var_os("CI").is_some() {
        // A CI machine is thrown away: dpkg need not wait for its disk after each of several hundred packages.
        command.args(["-o", "Dpkg::Options::=--force-unsafe-io"]);
    }
    let log = shell::run_logged(
        &format!("apt-{}", arguments[0]),
        &mut command,
        Duration::from_mins(15),
    )?;
    if !log.success() {
        bail!("apt-get {} failed:\n{}", arguments[0], log.tail(20));
    }
    Ok(())
}

/// Debian 12 has Node 18; anything older cannot run the web tools.
fn node_is_new_enough(groups: &[&[Need]]) -> Result<()> {
    if !groups
        .iter()
        .any(|group| group.iter().any(|need| need.package == "nodejs"))
    {
        return Ok(());
    }
    let output = Command::new("node").arg("--version").output()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major: u32 = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0);
    if major < 18 {
        bail!("Node 18 or later is needed, `node --version` says {version:?}");
    }
    Ok(())
}
