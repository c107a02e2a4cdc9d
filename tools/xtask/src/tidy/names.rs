//! Words come from the glossary: file names that say nothing are refused, and so are words that have a better one here.
//!
//! In → Out: the tree → files and lines with a banned name.
//!
//! Spec: docs/glossary.md.

use super::{Findings, Tree};

const FILES: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "misc", "define", "types", "manager", "base",
];

/// The word, and what we say instead.
const WORDS: &[(&str, &str)] = &[
    ("manifest", "playlist (or index)"),
    ("master", "multivariant playlist"),
];

/// Where another project or a standard chose the word.
const QUOTED: &[&str] = &[
    "CARGO_MANIFEST_DIR",
    "manifest_path",
    "manifestLoad",
    "MANIFEST_",
    "loadManifest",
    "webmanifest",
    "rel=\"manifest\"",
    "master_process",
];

pub(super) fn check(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for file in tree.with_extension(&["rs", "ts", "tsx", "mjs", "js", "css"]) {
        if FILES.contains(&file.stem()) {
            findings.push(format!(
                "{}: a file named {:?} tells nobody what is in it",
                file.path,
                file.stem()
            ));
        }
    }
    for file in tree.with_extension(&["rs", "ts", "tsx", "mjs", "html"]) {
        // This file has to spell the words.
        if file.path.ends_with("tidy/names.rs") {
            continue;
        }
        for (number, line) in file.text.lines().enumerate() {
            for (word, instead) in banned_words(line) {
                findings.push(format!(
                    "{}:{}: \"{word}\": we say {instead}",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    findings
}

fn banned_words(line: &str) -> Vec<(&'static str, &'static str)> {
    let mut line = line.to_owned();
    for quoted in QUOTED {
        line = line.replace(quoted, "");
    }
    let line = line.to_lowercase();
    WORDS
        .iter()
        .copied()
        .filter(|(word, _)| {
            line.split(|c: char| !c.is_ascii_alphanumeric())
                .any(|token| token == *word || token.strip_suffix('s') == Some(word))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_word_is_found_as_a_word_and_not_inside_another() {
        assert_eq!(banned_words("the Manifest of it").len(), 1);
        assert_eq!(banned_words("let master_playlist = 1;").len(), 1);
        assert!(banned_words("mastering env!(\"CARGO_MANIFEST_DIR\")").is_empty());
    }

    #[test]
    fn a_file_that_is_named_after_nothing_is_refused() {
        let tree = Tree::of(&[("core/x/src/utils.rs", ""), ("core/x/src/window.rs", "")]);
        assert_eq!(check(&tree).len(), 1);
    }
}
