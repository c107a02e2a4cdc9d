//! The house rules, as tests: what a reviewer would otherwise have to remember.
//!
//! In → Out: the files that git knows or would add → a list of violations, each with its path and what to do.
//! `cargo test -p xtask` runs every rule as a test of its own; `cargo xtask tidy` prints them all at once.
//!
//! Spec: CONTRIBUTING.md, "Conventions".

mod docs;
mod headers;
mod names;
mod parsers;
mod purity;
mod size;
mod tests_are_run;

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::shell;

pub(crate) use purity::CORE;

/// Violations, one sentence each; empty is good.
type Findings = Vec<String>;

/// One rule: what it demands, and its check.
struct Rule {
    name: &'static str,
    check: fn(&Tree) -> Findings,
}

const RULES: &[Rule] = &[
    Rule {
        name: "core has no runtime, no clock, no async",
        check: purity::check,
    },
    Rule {
        name: "every source file opens with what it is, In → Out and Spec",
        check: headers::check,
    },
    Rule {
        name: "files stay small; the allow-list may only shrink",
        check: size::check,
    },
    Rule {
        name: "names come from the glossary",
        check: names::check,
    },
    Rule {
        name: "documents name only what exists",
        check: docs::check,
    },
    Rule {
        name: "every parser has a fuzz target",
        check: parsers::check,
    },
    Rule {
        name: "no test is skipped",
        check: tests_are_run::check,
    },
];

/// One text file of the repository.
struct Source {
    /// From the root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The last extension, or nothing.
    fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, end)| end)
    }

    /// The file's name without folder and without its last extension.
    fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }
}

/// All text files, read once.
struct Tree {
    files: Vec<Source>,
}

impl Tree {
    fn read() -> Result<Self> {
        let root = shell::root();
        let output = Command::new("git")
            .current_dir(&root)
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .output()?;
        if !output.status.success() {
            bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr));
        }
        let files = String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            // Deleted but not yet committed, or not text: nothing to read.
            .filter_map(|path| {
                Some(Source {
                    path: path.to_owned(),
                    text: fs::read_to_string(root.join(path)).ok()?,
                })
            })
            .collect();
        Ok(Self { files })
    }

    fn find(&self, path: &str) -> Option<&Source> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Files with one of these extensions.
    fn with_extension(&self, extensions: &[&str]) -> impl Iterator<Item = &Source> {
        self.files
            .iter()
            .filter(move |file| extensions.contains(&file.extension()))
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        Self {
            files: files
                .iter()
                .map(|(path, text)| Source {
                    path: (*path).to_owned(),
                    text: (*text).to_owned(),
                })
                .collect(),
        }
    }
}

/// Every rule, with the findings on the terminal.
pub(crate) fn run() -> ExitCode {
    match run_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Every rule; an error counts the findings, which are printed.
pub(crate) fn run_all() -> Result<()> {
    let tree = Tree::read()?;
    let mut count = 0;
    for rule in RULES {
        let findings = (rule.check)(&tree);
        println!(
            "{} {}",
            if findings.is_empty() { "✓" } else { "✗" },
            rule.name
        );
        for finding in &findings {
            println!("    {finding}");
        }
        count += findings.len();
    }
    if count > 0 {
        bail!("{count} findings");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(name: &str) {
        let tree = Tree::read().expect("the repository can be read");
        assert!(tree.files.len() > 20, "git lists the files");
        let rule = RULES
            .iter()
            .find(|rule| rule.name.contains(name))
            .expect("a rule of that name");
        let findings = (rule.check)(&tree);
        assert!(
            findings.is_empty(),
            "{}:\n{}",
            rule.name,
            findings.join("\n")
        );
    }

    #[test]
    fn core_is_pure() {
        holds("core has no runtime");
    }

    #[test]
    fn files_open_with_a_header() {
        holds("opens with");
    }

    #[test]
    fn files_stay_small() {
        holds("stay small");
    }

    #[test]
    fn names_come_from_the_glossary() {
        holds("glossary");
    }

    #[test]
    fn documents_name_only_what_exists() {
        holds("documents");
    }

    #[test]
    fn parsers_are_fuzzed() {
        holds("fuzz target");
    }

    #[test]
    fn no_test_is_skipped() {
        holds("skipped");
    }
}
