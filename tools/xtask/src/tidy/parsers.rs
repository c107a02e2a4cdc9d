//! Every parser has a fuzz target, and every fuzz target has inputs to replay.
//!
//! In → Out: the tree → parsers that no target covers, targets without a corpus, targets that Cargo.toml does not list.
//! A target says what it covers: `Covers: core/rtmp/src/chunk.rs, core/rtmp/src/amf0.rs` in its header.
//!
//! Spec: fuzz/README.md.

use super::{Findings, Source, Tree};

/// What gives a parser away.
const MARKS: &[&str] = &[
    "pub fn parse(",
    "pub fn parse_",
    "pub fn demux",
    "pub fn decode(",
    "pub fn decode_",
    "pub fn handle_input(",
    "pub fn handle_bytes(",
    "pub fn handle_record(",
    "pub fn handle_video(",
];

pub(super) fn check(tree: &Tree) -> Findings {
    let targets: Vec<&Source> = tree
        .with_extension(&["rs"])
        .filter(|file| file.path.starts_with("fuzz/fuzz_targets/"))
        .collect();
    let mut findings = Vec::new();
    for target in &targets {
        for path in covered(target) {
            if tree.find(path).is_none() {
                findings.push(format!(
                    "{}: covers {path}, which does not exist",
                    target.path
                ));
            }
        }
        let corpus = format!("fuzz/corpus/{}/", target.stem());
        // Inputs are seldom text, so git is asked for the folder and not this list.
        if !crate::shell::root().join(&corpus).is_dir() {
            findings.push(format!("{corpus}: no inputs to replay"));
        }
        let listed = format!("name = \"{}\"", target.stem());
        if !tree
            .find("fuzz/Cargo.toml")
            .is_some_and(|file| file.text.contains(&listed))
        {
            findings.push(format!("fuzz/Cargo.toml does not list {}", target.stem()));
        }
    }
    for file in tree.with_extension(&["rs"]) {
        if file.path.starts_with("core/")
            && file.path.contains("/src/")
            && is_parser(&file.text)
            && !targets
                .iter()
                .any(|target| covered(target).any(|path| path == file.path))
        {
            findings.push(format!(
                "{}: parses what comes from outside, and no target in fuzz/fuzz_targets names it under `Covers:`",
                file.path
            ));
        }
    }
    findings
}

fn is_parser(text: &str) -> bool {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .any(|line| MARKS.iter().any(|mark| line.trim_start().starts_with(mark)))
}

/// The paths behind `Covers:`, which may go on over several header lines.
fn covered(target: &Source) -> impl Iterator<Item = &str> {
    target
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .skip_while(|line| !line.contains("Covers:"))
        .take_while(|line| !line.contains("Spec:"))
        .flat_map(|line| line.split([' ', ',', '`']))
        .map(|word| word.trim_end_matches('.').trim())
        .filter(|word| word.starts_with("core/"))
        .map(|word| word.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_that_no_target_names_is_found() {
        let tree = Tree::of(&[
            ("core/a/src/x.rs", "pub fn parse(input: &[u8]) {}\n"),
            ("core/a/src/y.rs", "pub fn parse(input: &[u8]) {}\n"),
            ("core/a/src/z.rs", "fn parse(input: &[u8]) {}\n"),
            (
                "fuzz/fuzz_targets/one.rs",
                "//! One.\n//! Covers: core/a/src/q.rs,\n//! core/a/src/x.rs.\n//! Spec: none.\n",
            ),
        ]);
        let findings = check(&tree).join("\n");
        assert!(findings.contains("core/a/src/y.rs: parses"), "{findings}");
        assert!(
            findings.contains("covers core/a/src/q.rs, which does not exist"),
            "{findings}"
        );
        assert!(
            !findings.contains("x.rs: parses") && !findings.contains("z.rs"),
            "{findings}"
        );
    }
}
