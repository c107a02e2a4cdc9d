//! No test is switched off: not ignored, not skipped, not the only one that runs.
//!
//! In → Out: the tree → lines that would make a green run mean less.
//!
//! Spec: CONTRIBUTING.md, "Tests".

use super::{Findings, Tree};

const MARKS: &[&str] = &[
    "#[ignore",
    "test.only(",
    "it.only(",
    "describe.only(",
    "test.skip(",
    "it.skip(",
    "describe.skip(",
    "test.todo(",
    "skip: true",
    "only: true",
    "t.skip(",
];

pub(super) fn check(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for file in tree.with_extension(&["rs", "ts", "tsx", "mjs", "js"]) {
        if file.path.ends_with("tidy/tests_are_run.rs") {
            continue;
        }
        for (number, line) in file.text.lines().enumerate() {
            for mark in MARKS.iter().filter(|mark| line.contains(**mark)) {
                findings.push(format!(
                    "{}:{}: `{mark}` switches a test off",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_test_is_found() {
        let tree = Tree::of(&[
            ("a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n"),
            ("b.mjs", "test('x', f);\n"),
        ]);
        assert_eq!(check(&tree).len(), 1);
    }
}
