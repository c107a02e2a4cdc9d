//! Documents keep up with the tree: what ARCHITECTURE.md and docs/specs.md name exists, and so does what a newcomer needs.
//!
//! In → Out: paths in backticks, required files → those that are not there.
//! That `nearcast.toml` equals the built-in configuration is a test of the crate `nearcast`; this rule sees that both exist.
//!
//! Spec: CONTRIBUTING.md, "Conventions", rules 22, 27 and 29.

use super::{Findings, Tree};

const MAPS: &[&str] = &["ARCHITECTURE.md", "docs/specs.md"];
const REQUIRED: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "docs/specs.md",
    "docs/glossary.md",
    "nearcast.toml",
    "deny.toml",
    ".ci/run",
    "server/origin/src/pipeline.rs",
];
const ROOTS: &[&str] = &[
    "core/", "server/", "web/", "tools/", "tests/", "fuzz/", "bench/", "deploy/", "docs/",
    ".cargo/", ".ci/",
];
const PIPELINE_LINES_MAX: usize = 70;

pub(super) fn check(tree: &Tree) -> Findings {
    let mut findings: Findings = REQUIRED
        .iter()
        .filter(|path| tree.find(path).is_none())
        .map(|path| format!("{path} is missing"))
        .collect();
    for map in MAPS {
        let Some(file) = tree.find(map) else { continue };
        for (number, line) in file.text.lines().enumerate() {
            for path in paths(line) {
                if !exists(tree, path) {
                    findings.push(format!("{map}:{}: `{path}` does not exist", number + 1));
                }
            }
        }
    }
    if !tests_the_configuration_file(tree) {
        findings.push(
            "server/nearcast: no test compares nearcast.toml with the built-in configuration"
                .into(),
        );
    }
    if let Some(lines) = pipeline_lines(tree)
        && lines > PIPELINE_LINES_MAX
    {
        findings.push(format!(
            "server/origin/src/pipeline.rs: {lines} lines of wiring, at most {PIPELINE_LINES_MAX}: a stage is missing a name"
        ));
    }
    findings
}

/// Words in backticks that look like a path in this repository.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|word| {
        ROOTS.iter().any(|root| word.starts_with(root))
            && !word.contains(|c: char| c.is_whitespace() || "<>*{}…".contains(c))
    })
}

fn exists(tree: &Tree, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let folder = format!("{path}/");
    tree.files
        .iter()
        .any(|file| file.path == path || file.path.starts_with(&folder))
}

fn tests_the_configuration_file(tree: &Tree) -> bool {
    tree.with_extension(&["rs"])
        .filter(|file| file.path.starts_with("server/nearcast/"))
        .any(|file| file.text.contains("#[test]") && file.text.contains("nearcast.toml\""))
}

/// Lines that are neither blank, nor comment, nor import, nor test.
fn pipeline_lines(tree: &Tree) -> Option<usize> {
    let file = tree.find("server/origin/src/pipeline.rs")?;
    Some(
        file.text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with("use "))
            .count(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_backticks_must_exist_and_a_pattern_need_not() {
        let tree = Tree::of(&[
            (
                "ARCHITECTURE.md",
                "see `core/hls/` and `core/gone.rs`, not `core/*` nor `hls::Window`\n",
            ),
            ("core/hls/src/lib.rs", ""),
        ]);
        let findings: Findings = check(&tree)
            .into_iter()
            .filter(|finding| finding.starts_with("ARCHITECTURE.md:"))
            .collect();
        assert_eq!(
            findings,
            ["ARCHITECTURE.md:1: `core/gone.rs` does not exist"]
        );
    }
}
