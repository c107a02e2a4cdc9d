//! `cargo xtask test`: every test there is, from a unit to a browser, and one summary.
//!
//! In → Out: stages in order, each a few commands → rows → the table, the exit status.
//! Nothing is skipped in silence: a tool that cannot be had fails its stage, and what a machine cannot do is said in a row.
//! A failing stage does not stop the ones that can still say something.
//!
//! Spec: CONTRIBUTING.md, "Tests".

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::compile::{self, Profile};
use crate::outcome::{self, Counts, Row};
use crate::{fuzz, packages, shell};

const STAGES: [&str; 6] = ["packages", "web", "rust", "fuzz", "e2e", "varnish"];

/// Runs all stages, or the named ones, and prints the summary.
pub(crate) fn run(only: &[String]) -> Result<ExitCode> {
    if let Some(unknown) = only.iter().find(|name| !STAGES.contains(&name.as_str())) {
        bail!(
            "no stage named {unknown:?}; there are: {}",
            STAGES.join(" ")
        );
    }
    let started = Instant::now();
    let mut suite = Suite { rows: Vec::new() };
    for stage in STAGES {
        if shell::interrupted() {
            break;
        }
        if only.is_empty() || only.iter().any(|name| name == stage) {
            println!("── {stage}");
            match stage {
                "packages" => suite.packages(),
                "web" => suite.web(),
                "rust" => suite.rust(),
                "fuzz" => suite.fuzz(),
                "e2e" => suite.browsers(),
                _ => suite.varnish(),
            }
        }
    }
    print!("{}", outcome::render(&suite.rows, started.elapsed()));
    let failed = suite.rows.iter().any(|row| row.failed() > 0) || shell::interrupted();
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

struct Suite {
    rows: Vec<Row>,
}

impl Suite {
    fn packages(&mut self) {
        self.attempt("packages", "Debian packages", || {
            packages::ensure(&[
                packages::WEB,
                packages::PUBLISH,
                packages::BROWSER,
                packages::GSTREAMER,
                packages::CACHE,
                packages::PEER,
            ])
        });
    }

    fn web(&mut self) {
        let web = shell::root().join("web");
        if !self.node_modules("web", &web) {
            return;
        }
        // The build holds the pages to their size budget and the library to its API report.
        for (script, item) in [("build", "build, size, API"), ("lint", "types")] {
            let mut command = compile::npm(&web);
            command.args(["run", script]);
            let log = format!("web-{script}");
            self.check("web", item, &log, &mut command, Duration::from_mins(5));
        }
        let mut command = compile::npm(&web);
        command.args(["run", "test"]);
        self.node_tests("web", "tests", "web-test", &mut command);
    }

    fn rust(&mut self) {
        let mut build = shell::cargo();
        build.args(["build", "--locked", "--workspace", "--all-targets"]);
        let built = self.check(
            "rust",
            "build",
            "cargo-build",
            &mut build,
            Duration::from_mins(30),
        );
        if !built {
            return;
        }
        let mut test = shell::cargo();
        test.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
        self.cargo_tests(&mut test);
        self.wasm();
    }

    /// A second line behind tidy's `cargo tree`: the pure crates build where there is no operating system.
    fn wasm(&mut self) {
        let target = "wasm32-unknown-unknown";
        let installed = Command::new("rustc")
            .args(["--print", "target-libdir", "--target", target])
            .output()
            .ok()
            .and_then(|output| String::from_utf8(output.stdout).ok())
            .is_some_and(|path| Path::new(path.trim()).is_dir());
        if installed {
            let mut command = shell::cargo();
            command.args(["check", "--locked", "--target", target]);
            for name in crate::tidy::CORE {
                command.args(["-p", name]);
            }
            self.check(
                "rust",
                "core for wasm32",
                "wasm32",
                &mut command,
                Duration::from_mins(10),
            );
        } else {
            self.say(Row {
                stage: "rust",
                item: "core for wasm32".to_owned(),
                counts: Counts::default(),
                elapsed: Duration::ZERO,
                note: "not run: this toolchain has no wasm32 target; tidy's cargo-tree test has proved purity".to_owned(),
            });
        }
    }

    fn fuzz(&mut self) {
        if !self.attempt("fuzz", "cargo-fuzz", || {
            packages::ensure_cargo_tool("cargo-fuzz").map(|()| String::new())
        }) {
            return;
        }
        let started = Instant::now();
        match fuzz::build() {
            Ok(targets) => {
                self.single(
                    "fuzz",
                    "build",
                    started,
                    Ok(format!("{} targets", targets.len())),
                );
                for target in targets {
                    let started = Instant::now();
                    let result = fuzz::replay_and_grow(&target);
                    self.single("fuzz", &target, started, result);
                    if shell::interrupted() {
                        return;
                    }
                }
            }
            Err(error) => self.single("fuzz", "build", started, Err(error)),
        }
    }

    fn browsers(&mut self) {
        let folder = shell::root().join("tests/e2e");
        if self.product("e2e") && self.node_modules("e2e", &folder) {
            let mut command = compile::npm(&folder);
            command.args(["run", "--silent", "test"]);
            self.node_tests("e2e", "browsers and encoders", "e2e", &mut command);
        }
    }

    fn varnish(&mut self) {
        let folder = shell::root().join("tests/e2e");
        if self.product("varnish") && self.node_modules("varnish", &folder) {
            let mut command = compile::npm(&folder);
            command.args(["run", "--silent", "test:varnish"]);
            self.node_tests("varnish", "Varnish in front", "varnish", &mut command);
        }
    }

    /// The debug binary with its pages: there after the stages `web` and `rust`, made here if those were left out.
    fn product(&mut self, stage: &'static str) -> bool {
        if !shell::root().join("web/dist/index.html").is_file() {
            let web = shell::root().join("web");
            let mut build = compile::npm(&web);
            build.args(["run", "build"]);
            if !self.node_modules(stage, &web)
                || !self.check(stage, "pages", "pages", &mut build, Duration::from_mins(5))
            {
                return false;
            }
        }
        let mut command = shell::cargo();
        command.args(["build", "--locked", "--workspace", "--all-targets"]);
        self.check(
            stage,
            "binary",
            "binary",
            &mut command,
            Duration::from_mins(30),
        ) && compile::binary_path(Profile::Debug, "nearcast").is_file()
    }

    fn node_modules(&mut self, stage: &'static str, folder: &Path) -> bool {
        if compile::installed(folder) {
            return true;
        }
        let name = format!(
            "npm-{}",
            folder.file_name().unwrap_or_default().to_string_lossy()
        );
        self.check(
            stage,
            "npm ci",
            &name,
            compile::npm(folder).args(["ci", "--no-audit", "--no-fund"]),
            Duration::from_mins(10),
        )
    }

    /// A command that passes or fails as a whole.
    fn check(
        &mut self,
        stage: &'static str,
        item: &str,
        log: &str,
        command: &mut Command,
        limit: Duration,
    ) -> bool {
        let started = Instant::now();
        let result = shell::run_logged(log, command, limit).and_then(|logged| {
            if logged.success() {
                Ok(String::new())
            } else {
                bail!("{}\n{}", logged.log.display(), logged.tail(40))
            }
        });
        let passed = result.is_ok();
        self.single(stage, item, started, result);
        passed
    }

    fn cargo_tests(&mut self, command: &mut Command) {
        let logged = match shell::run_logged("cargo-test", command, Duration::from_mins(40)) {
            Ok(logged) => logged,
            Err(error) => return self.single("rust", "tests", Instant::now(), Err(error)),
        };
        let crates = outcome::parse_cargo_test(&logged.lines);
        let failures = outcome::failures_of_cargo_test(&logged.lines);
        let any_failed = crates.iter().any(|(_, counts)| counts.failed > 0);
        let mut elapsed = logged.elapsed;
        for (name, counts) in crates {
            // A binary without tests says nothing.
            if counts != Counts::default() {
                self.say(Row {
                    stage: "rust",
                    item: name,
                    counts,
                    elapsed,
                    note: if counts.failed > 0 {
                        failures.join(", ")
                    } else {
                        String::new()
                    },
                });
                elapsed = Duration::ZERO;
            }
        }
        if !logged.success() {
            println!("{}\n      {}", logged.tail(60), logged.log.display());
            if !any_failed {
                self.single(
                    "rust",
                    "tests",
                    Instant::now(),
                    Err(anyhow::anyhow!("cargo test did not finish")),
                );
            }
        }
    }

    fn node_tests(&mut self, stage: &'static str, item: &str, log: &str, command: &mut Command) {
        let logged = match shell::run_logged(log, command, Duration::from_mins(25)) {
            Ok(logged) => logged,
            Err(error) => return self.single(stage, item, Instant::now(), Err(error)),
        };
        // A suite that ran nothing has not passed.
        let mut counts = outcome::parse_node_test(&logged.lines).unwrap_or_default();
        if !logged.success() && counts.failed == 0 || counts.passed == 0 {
            counts.failed += 1;
        }
        let failures = outcome::failures_of_node_test(&logged.lines).join(", ");
        if counts.failed > 0 {
            println!("{}\n      {}", logged.tail(80), logged.log.display());
        }
        self.say(Row {
            stage,
            item: item.to_owned(),
            counts,
            elapsed: logged.elapsed,
            note: failures,
        });
    }

    fn attempt(
        &mut self,
        stage: &'static str,
        item: &str,
        action: impl FnOnce() -> Result<String>,
    ) -> bool {
        let started = Instant::now();
        let result = action();
        let passed = result.is_ok();
        self.single(stage, item, started, result);
        passed
    }

    fn single(
        &mut self,
        stage: &'static str,
        item: &str,
        started: Instant,
        result: Result<String>,
    ) {
        let counts = Counts::single(result.is_ok());
        let note = match result {
            Ok(note) => note,
            Err(error) => {
                println!("{error:#}");
                format!("{error}")
            }
        };
        self.say(Row {
            stage,
            item: item.to_owned(),
            counts,
            elapsed: started.elapsed(),
            note,
        });
    }

    fn say(&mut self, row: Row) {
        println!(
            "   {} {:<24} {} passed, {} failed ({:.1} s) {}",
            if row.failed() > 0 { "✗" } else { "✓" },
            row.item,
            row.counts.passed,
            row.failed(),
            row.elapsed.as_secs_f32(),
            shell::shorten(row.note.lines().next().unwrap_or_default(), 120),
        );
        self.rows.push(row);
    }
}
