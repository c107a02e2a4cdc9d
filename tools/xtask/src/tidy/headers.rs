//! Every source file opens with 3 to 12 lines that say what it is, what goes in and out, and which specification it follows.
//!
//! In → Out: the tree → files without such an opening.
//!
//! Spec: CONTRIBUTING.md, "Conventions", rule 24.

use super::{Findings, Source, Tree};

pub(super) fn check(tree: &Tree) -> Findings {
    tree.with_extension(&["rs", "ts", "tsx", "mjs"])
        .filter(|file| !file.path.ends_with(".d.ts"))
        .filter_map(|file| problem(file).map(|problem| format!("{}: {problem}", file.path)))
        .collect()
}

fn problem(file: &Source) -> Option<String> {
    let header: Vec<&str> = if file.extension() == "rs" {
        lines_starting_with(&file.text, "//!")
    } else if file
        .text
        .trim_start_matches("#!/usr/bin/env node\n")
        .starts_with("/*")
    {
        file.text
            .lines()
            .skip_while(|line| line.starts_with("#!"))
            .take_while(|line| !line.contains("*/"))
            .collect()
    } else {
        lines_starting_with(&file.text, "//")
    };
    let text = header.join("\n");
    if header.len() < 3 || header.len() > 14 {
        // Two more than the rule says, for the opening and closing marks of a block comment.
        return Some(format!(
            "the header has {} lines, 3 to 12 are wanted",
            header.len()
        ));
    }
    if !text.contains("In → Out:") {
        return Some("the header has no line `In → Out: …`".into());
    }
    if !text.contains("Spec:") {
        return Some("the header has no line `Spec: …`".into());
    }
    None
}

fn lines_starting_with<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    text.lines()
        .skip_while(|line| line.starts_with("#!/"))
        .take_while(|line| line.starts_with(mark))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_spec_or_without_in_and_out_is_named() {
        let tree = Tree::of(&[
            (
                "a/good.rs",
                "//! What.\n//!\n//! In → Out: a → b.\n//! Spec: none.\nfn f() {}\n",
            ),
            (
                "a/good.ts",
                "/**\n * What.\n * In → Out: a → b.\n * Spec: none.\n */\n",
            ),
            (
                "a/bad.rs",
                "//! What.\n//!\n//! In → Out: a → b.\nfn f() {}\n",
            ),
            ("a/worse.ts", "const x = 1;\n"),
        ]);
        let findings = check(&tree);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].starts_with("a/bad.rs"));
        assert!(findings[1].starts_with("a/worse.ts"));
    }
}
