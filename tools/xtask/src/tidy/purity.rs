//! `core/` is pure: no runtime in its dependencies, no clock, no async; and the crates stay in a shallow order.
//!
//! In → Out: `cargo tree`, `cargo metadata`, the clippy files → violations.
//! Asking cargo for who uses tokio is the proof; the clippy file and the word search are the second line.
//!
//! Spec: ARCHITECTURE.md, "Invariants".

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Findings, Tree};
use crate::shell;

/// The pure crates.
pub(crate) const CORE: &[&str] = &["media", "formats", "rtmp", "hls", "room"];

/// The longest chain of our own crates that a reader has to hold in mind.
const DEPTH_MAX: usize = 7;

const CLIPPY_MUST_NAME: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::thread::sleep",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::fs::File",
];

pub(super) fn check(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for name in core_crates(tree) {
        if !CORE.contains(&name.as_str()) {
            findings.push(format!("core/{name}: add it to CORE in tidy/purity.rs"));
        }
    }
    for name in CORE {
        match reaches_tokio(name) {
            Ok(false) => {}
            Ok(true) => findings.push(format!(
                "core/{name}: reaches tokio (cargo tree -p {name} -e normal -i tokio)"
            )),
            Err(error) => findings.push(format!("core/{name}: {error}")),
        }
    }
    // The question itself must be able to find something.
    if !matches!(reaches_tokio("delivery"), Ok(true)) {
        findings.push("cargo tree no longer sees tokio below server/delivery: the purity check proves nothing".into());
    }
    findings.extend(words(tree));
    match depth() {
        Ok((depth, chain)) if depth > DEPTH_MAX => {
            findings.push(format!(
                "crates are {depth} deep, at most {DEPTH_MAX}: {chain}"
            ));
        }
        Ok(_) => {}
        Err(error) => findings.push(error),
    }
    findings
}

fn core_crates(tree: &Tree) -> Vec<String> {
    tree.files
        .iter()
        .filter_map(|file| {
            file.path
                .strip_prefix("core/")?
                .strip_suffix("/Cargo.toml")
                .filter(|name| !name.contains('/'))
                .map(str::to_owned)
        })
        .collect()
}

/// Exit 0 with a tree: it does. "did not match any packages" or "nothing to print": it does not.
fn reaches_tokio(name: &str) -> Result<bool, String> {
    let output = shell::cargo()
        .args([
            "tree", "--locked", "-p", name, "-e", "normal", "-i", "tokio",
        ])
        .output()
        .map_err(|error| error.to_string())?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && output.stdout.starts_with(b"tokio ") {
        return Ok(true);
    }
    if errors.contains("`tokio` did not match any packages") || errors.contains("nothing to print")
    {
        return Ok(false);
    }
    Err(format!("cargo tree: {}", errors.trim()))
}

fn words(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    match tree.find("core/clippy.toml") {
        None => findings
            .push("core/clippy.toml is missing: it bans clocks, threads, sockets and files".into()),
        Some(file) => findings.extend(
            CLIPPY_MUST_NAME
                .iter()
                .filter(|path| !file.text.contains(*path))
                .map(|path| format!("core/clippy.toml does not ban {path}")),
        ),
    }
    for file in tree.with_extension(&["rs"]) {
        if !file.path.starts_with("core/") || file.path.contains("/tests/") {
            continue;
        }
        for (number, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for banned in ["async fn", "async move", "HashMap", "HashSet", "#[tokio"] {
                if code.contains(banned) {
                    findings.push(format!("{}:{}: `{banned}` in core", file.path, number + 1));
                }
            }
        }
    }
    findings
}

/// The longest chain of workspace crates, and the folder rule: a crate is named like its folder.
fn depth() -> Result<(usize, String), String> {
    let output = shell::cargo()
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .output()
        .map_err(|error| error.to_string())?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("no packages")?;
    let names: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let folder = package["manifest_path"]
            .as_str()
            .and_then(|path| path.rsplit('/').nth(1))
            .unwrap_or_default();
        if folder != name {
            return Err(format!("crate {name} lives in a folder named {folder}"));
        }
        let inside = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|dependency| names.contains(dependency))
            .collect();
        edges.insert(name, inside);
    }
    names
        .iter()
        .map(|name| longest(name, &edges))
        .max_by_key(Vec::len)
        .map(|chain| (chain.len(), chain.join(" → ")))
        .ok_or_else(|| "no crates".to_owned())
}

fn longest<'a>(name: &'a str, edges: &BTreeMap<&'a str, Vec<&'a str>>) -> Vec<&'a str> {
    let below = edges
        .get(name)
        .into_iter()
        .flatten()
        .map(|next| longest(next, edges))
        .max_by_key(Vec::len)
        .unwrap_or_default();
    let mut chain = vec![name];
    chain.extend(below);
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn async_in_core_is_found_and_a_comment_about_it_is_not() {
        let tree = Tree::of(&[
            (
                "core/x/src/lib.rs",
                "// no async fn here\npub async fn f() {}\n",
            ),
            ("server/x/src/lib.rs", "pub async fn f() {}\n"),
        ]);
        let findings = words(&tree);
        assert!(
            findings
                .iter()
                .any(|finding| finding.starts_with("core/x/src/lib.rs:2")),
            "{findings:?}"
        );
        assert!(
            !findings
                .iter()
                .any(|finding| finding.contains(":1:") || finding.contains("server/"))
        );
    }

    #[test]
    fn the_longest_chain_is_the_deepest_one() {
        let edges = BTreeMap::from([("a", vec!["b", "c"]), ("b", vec!["c"]), ("c", vec![])]);
        assert_eq!(longest("a", &edges), ["a", "b", "c"]);
    }
}
