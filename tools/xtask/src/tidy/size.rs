//! A file without its tests has at most 800 lines; what is larger today is on a list that may only shrink.
//!
//! In → Out: the tree and `tools/xtask/src/tidy/large_files.txt` → files that grew, and entries that could be lower.
//! Functions and parameters are clippy's business (`clippy.toml`); this rule sees that its limits stay in place.
//!
//! Spec: CONTRIBUTING.md, "Conventions", rule 4.

use super::{Findings, Tree};

const LINES_MAX: usize = 800;
const ALLOWED: &str = "tools/xtask/src/tidy/large_files.txt";
const CLIPPY_LIMITS: [&str; 2] = [
    "too-many-lines-threshold = 70",
    "too-many-arguments-threshold = 6",
];

pub(super) fn check(tree: &Tree) -> Findings {
    let allowed: Vec<(&str, usize)> = tree
        .find(ALLOWED)
        .map_or("", |file| &file.text)
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .filter_map(|line| {
            let (path, lines) = line.rsplit_once(' ')?;
            Some((path, lines.parse().ok()?))
        })
        .collect();
    let mut findings = Vec::new();
    for file in tree.with_extension(&["rs", "ts", "tsx", "mjs"]) {
        let lines = lines_without_tests(&file.text);
        let limit = allowed
            .iter()
            .find(|(path, _)| *path == file.path)
            .map(|(_, lines)| *lines);
        match limit {
            None if lines > LINES_MAX => findings.push(format!(
                "{}: {lines} lines without tests, at most {LINES_MAX}: split it",
                file.path
            )),
            Some(limit) if lines > limit => findings.push(format!(
                "{}: grew from {limit} to {lines} lines; the list may only shrink",
                file.path
            )),
            Some(limit) if lines < limit => findings.push(format!(
                "{}: has {lines} lines now; lower its entry in {ALLOWED} from {limit}{}",
                file.path,
                if lines <= LINES_MAX {
                    " by deleting it"
                } else {
                    ""
                }
            )),
            _ => {}
        }
    }
    for (path, _) in &allowed {
        if tree.find(path).is_none() {
            findings.push(format!("{ALLOWED}: {path} does not exist any more"));
        }
    }
    for path in ["clippy.toml", "core/clippy.toml"] {
        for limit in CLIPPY_LIMITS {
            if !tree
                .find(path)
                .is_some_and(|file| file.text.contains(limit))
            {
                findings.push(format!("{path}: `{limit}` is missing"));
            }
        }
    }
    findings
}

fn lines_without_tests(text: &str) -> usize {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(lines: usize, allowed: &str) -> Findings {
        let text = "x\n".repeat(lines) + "#[cfg(test)]\n" + &"y\n".repeat(2000);
        let limits = CLIPPY_LIMITS.join("\n");
        check(&Tree::of(&[
            ("a/large.rs", &text),
            (ALLOWED, allowed),
            ("clippy.toml", &limits),
            ("core/clippy.toml", &limits),
        ]))
    }

    #[test]
    fn tests_do_not_count_and_800_lines_are_allowed() {
        assert_eq!(findings(800, ""), Findings::new());
        assert_eq!(findings(801, "").len(), 1);
    }

    #[test]
    fn an_entry_of_the_list_may_neither_grow_nor_be_too_generous() {
        assert_eq!(findings(900, "a/large.rs 900"), Findings::new());
        assert_eq!(findings(901, "a/large.rs 900").len(), 1);
        assert_eq!(findings(899, "a/large.rs 900").len(), 1);
        assert_eq!(findings(100, "a/gone.rs 900").len(), 1);
    }
}
