//! `cargo xtask check` and `cargo xtask fix`: everything that needs no running program.
//!
//! In → Out: the tree → one line for each check, all of them run even if one fails.
//!
//! Spec: CONTRIBUTING.md, "Before a commit".

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{compile, packages, shell, tidy};

/// Formatting, lints, documentation, house rules, licences; then the same for the web.
pub(crate) fn run() -> ExitCode {
    let mut failed = Vec::new();
    let mut step = |name: &'static str, result: Result<()>| {
        if let Err(error) = result {
            println!("✗ {name}: {error:#}");
            failed.push(name);
        } else {
            println!("✓ {name}");
        }
    };
    step(
        "fmt",
        shell::run(shell::cargo().args(["fmt", "--all", "--check"])),
    );
    step(
        "clippy",
        shell::run(
            shell::cargo()
                .args(["clippy", "--locked", "--workspace", "--all-targets", "--"])
                .args(["-D", "warnings"]),
        ),
    );
    step(
        "rustdoc",
        shell::run(
            shell::cargo()
                .args([
                    "doc",
                    "--locked",
                    "--workspace",
                    "--no-deps",
                    "--document-private-items",
                ])
                .env("RUSTDOCFLAGS", "-D warnings"),
        ),
    );
    step("tidy", tidy::run_all());
    step("licences and sources", licences());
    step("web", web());
    if failed.is_empty() {
        println!("all checks passed");
        ExitCode::SUCCESS
    } else {
        println!("failed: {}", failed.join(", "));
        ExitCode::FAILURE
    }
}

/// Lets the tools repair what they can.
pub(crate) fn fix() -> Result<ExitCode> {
    shell::run(
        shell::cargo()
            .args(["clippy", "--locked", "--workspace", "--all-targets"])
            .args(["--fix", "--allow-dirty", "--allow-staged"]),
    )?;
    shell::run(shell::cargo().args(["fmt", "--all"]))?;
    Ok(ExitCode::SUCCESS)
}

fn licences() -> Result<()> {
    packages::ensure_cargo_tool("cargo-deny")?;
    // Advisories need a database from outside; the nightly run asks for them.
    let mut deny: Command = shell::cargo();
    shell::run(deny.args(["deny", "--locked", "check", "licenses", "bans", "sources"]))
}

fn web() -> Result<()> {
    packages::ensure(&[packages::WEB])?;
    let web = shell::root().join("web");
    compile::install(&web)?;
    shell::run(compile::npm(&web).args(["run", "lint"]))
}
