//! What a stage of the test command came to, and the summary over all of them.
//!
//! In → Out: the lines of `cargo test`, of node's test runner (TAP or its readable form) → counts → a table and one
//! plain line `N passed, N failed`.
//!
//! Spec: the libtest text format; TAP 14, "Plan" and node's trailing counters.

use std::fmt::Write as _;
use std::time::Duration;

/// How many tests went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub passed: u64,
    pub failed: u64,
    /// Ignored or skipped by the tests themselves. Counted as failures by [`Row::failed`]: nothing is skipped here.
    pub skipped: u64,
}

impl Counts {
    /// One check that is not made of tests.
    pub(crate) fn single(passed: bool) -> Self {
        Self {
            passed: u64::from(passed),
            failed: u64::from(!passed),
            skipped: 0,
        }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// One line of the summary.
pub(crate) struct Row {
    pub stage: &'static str,
    pub item: String,
    pub counts: Counts,
    pub elapsed: Duration,
    /// What a person should know: the reason of a failure, a figure, a remark.
    pub note: String,
}

impl Row {
    pub(crate) fn failed(&self) -> u64 {
        self.counts.failed + self.counts.skipped
    }
}

/// The counts of `cargo test`, by crate, in the order in which they ran.
pub(crate) fn parse_cargo_test(lines: &[String]) -> Vec<(String, Counts)> {
    let mut crates: Vec<(String, Counts)> = Vec::new();
    let mut current = "?".to_owned();
    for line in lines {
        let line = line.trim();
        if let Some(name) = running(line) {
            current = name;
        } else if let Some(result) = line.strip_prefix("test result: ") {
            let counts = Counts {
                passed: number_before(result, " passed"),
                failed: number_before(result, " failed"),
                skipped: number_before(result, " ignored"),
            };
            match crates.iter_mut().find(|(name, _)| *name == current) {
                Some((_, sum)) => sum.add(counts),
                None => crates.push((current.clone(), counts)),
            }
        }
    }
    crates
}

/// The names of the failed tests, as `cargo test` lists them.
pub(crate) fn failures_of_cargo_test(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("test ")?
                .strip_suffix(" ... FAILED")
                .map(str::to_owned)
        })
        .collect()
}

/// The counters that node's test runner prints last, summed over several runs in one output.
/// `None` if there are none, which means that no test ran.
pub(crate) fn parse_node_test(lines: &[String]) -> Option<Counts> {
    let counter = |name: &str| {
        let mut found = None;
        for line in lines {
            let line = line.trim();
            for mark in ["# ", "ℹ "] {
                if let Some(count) = line
                    .strip_prefix(mark)
                    .and_then(|rest| rest.strip_prefix(name))
                    .and_then(|rest| rest.trim().parse::<u64>().ok())
                {
                    found = Some(found.unwrap_or(0) + count);
                }
            }
        }
        found
    };
    Some(Counts {
        passed: counter("pass ")?,
        failed: counter("fail ").unwrap_or(0) + counter("cancelled ").unwrap_or(0),
        skipped: counter("skipped ").unwrap_or(0) + counter("todo ").unwrap_or(0),
    })
}

/// `not ok` lines of TAP and `✖` lines of the readable form.
pub(crate) fn failures_of_node_test(lines: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in lines {
        let line = line.trim();
        let name = line
            .strip_prefix("not ok ")
            .and_then(|rest| rest.split_once(" - "))
            .map(|(_, name)| name)
            .or_else(|| line.strip_prefix("✖ "));
        if let Some(name) = name
            && !name.ends_with(':')
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// `Running unittests src/lib.rs (target/debug/deps/media-0123456789abcdef)` and `Doc-tests media`.
fn running(line: &str) -> Option<String> {
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(name.to_owned());
    }
    let path = line
        .strip_prefix("Running ")?
        .rsplit_once('(')?
        .1
        .strip_suffix(')')?;
    let file = path.rsplit('/').next()?;
    Some(
        file.rsplit_once('-')
            .map_or(file, |(name, _)| name)
            .to_owned(),
    )
}

fn number_before(text: &str, word: &str) -> u64 {
    text.split(';')
        .find_map(|part| part.trim_end().strip_suffix(word))
        .and_then(|part| part.trim().rsplit(' ').next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// The table, and below it the plain line that a machine may read.
pub(crate) fn render(rows: &[Row], elapsed: Duration) -> String {
    let mut text = String::new();
    let width = rows
        .iter()
        .map(|row| row.item.chars().count())
        .max()
        .unwrap_or(4)
        .max(4);
    let _infallible = writeln!(
        text,
        "\n  {:<9} {:<width$} {:>7} {:>7} {:>8}",
        "stage", "item", "passed", "failed", "time"
    );
    for row in rows {
        let _infallible = writeln!(
            text,
            "{} {:<9} {:<width$} {:>7} {:>7} {:>6.1} s  {}",
            if row.failed() > 0 { "✗" } else { "✓" },
            row.stage,
            row.item,
            row.counts.passed,
            row.failed(),
            row.elapsed.as_secs_f32(),
            row.note.lines().next().unwrap_or_default(),
        );
    }
    let passed: u64 = rows.iter().map(|row| row.counts.passed).sum();
    let failed: u64 = rows.iter().map(Row::failed).sum();
    let seconds = elapsed.as_secs();
    let _infallible = writeln!(text, "\n  {} min {:02} s", seconds / 60, seconds % 60);
    let _infallible = writeln!(text, "{passed} passed, {failed} failed");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn cargo_test_is_counted_by_crate_over_its_binaries() {
        let output = lines(
            "     Running unittests src/lib.rs (target/debug/deps/media-0f0f)\n\
             test time::rescale ... ok\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             \u{20}    Running tests/it/main.rs (/x/target/debug/deps/it-0f0f)\n\
             test result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             \u{20}  Doc-tests media\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(
            parse_cargo_test(&output),
            [
                (
                    "media".to_owned(),
                    Counts {
                        passed: 4,
                        failed: 0,
                        skipped: 0
                    }
                ),
                (
                    "it".to_owned(),
                    Counts {
                        passed: 1,
                        failed: 2,
                        skipped: 1
                    }
                ),
            ]
        );
    }

    #[test]
    fn a_failed_test_is_named() {
        let output = lines("test a::works ... ok\ntest a::breaks ... FAILED\n");
        assert_eq!(failures_of_cargo_test(&output), ["a::breaks"]);
        let output = lines("not ok 3 - plays\n  ✖ stalls (12ms)\n✖ failing tests:\n");
        assert_eq!(failures_of_node_test(&output), ["plays", "stalls (12ms)"]);
    }

    #[test]
    fn node_is_counted_in_both_of_its_forms_and_over_several_runs() {
        let output = lines(
            "# tests 3\n# pass 2\n# fail 1\n# cancelled 0\n# skipped 1\n# todo 0\n\
             ℹ pass 10\nℹ fail 0\nℹ cancelled 1\n",
        );
        assert_eq!(
            parse_node_test(&output),
            Some(Counts {
                passed: 12,
                failed: 2,
                skipped: 1
            })
        );
        assert_eq!(parse_node_test(&lines("no such file\n")), None);
    }

    #[test]
    fn a_skipped_test_is_a_failure_in_the_last_line() {
        let row = Row {
            stage: "rust",
            item: "media".to_owned(),
            counts: Counts {
                passed: 5,
                failed: 1,
                skipped: 1,
            },
            elapsed: Duration::from_secs(1),
            note: String::new(),
        };
        let text = render(&[row], Duration::from_secs(61));
        assert!(
            text.ends_with("\n  1 min 01 s\n5 passed, 2 failed\n"),
            "{text}"
        );
    }
}
