//! What is wrong with a configuration file, and where: line, column, the line itself, and the nearest known name.
//!
//! In → Out: the file's text and the parser's complaint → a message for a person.
//! Spec: none; our own.

use std::fmt::Write as _;
use std::path::Path;

/// Renders a parser's error with the place it points at and, for an unknown key, the known key nearest to it.
pub(crate) fn explain(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let mut message = String::new();
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let row = text[..start].matches('\n').count() + 1;
    let column = text[line_start..start].chars().count() + 1;
    let _ = writeln!(
        message,
        "{}:{row}:{column}: {}",
        path.display(),
        error.message()
    );
    let gutter = row.to_string();
    let _ = writeln!(message, "{gutter} | {line}");
    let _ = write!(
        message,
        "{:width$} | {:indent$}^",
        "",
        "",
        width = gutter.len(),
        indent = column - 1
    );
    if let Some(near) = nearest_of_complaint(error.message()) {
        let _ = write!(message, "\nhelp: did you mean `{near}`?");
    }
    message
}

/// serde says "unknown field `x`, expected one of `a`, `b`": the candidate nearest to `x`, if any is near at all.
fn nearest_of_complaint(complaint: &str) -> Option<&str> {
    if !complaint.starts_with("unknown ") {
        return None;
    }
    let mut quoted = complaint.split('`').skip(1).step_by(2);
    let wrong = quoted.next()?;
    nearest(wrong, quoted)
}

/// The candidate with the smallest edit distance, if that is at most a third of the word's length (and at least 1).
pub(crate) fn nearest<'a>(
    wrong: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (wrong.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (distance(wrong, candidate), candidate))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance with one row of memory.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not_offered() {
        let known = ["http", "https", "rtmp", "reconnect_window"];
        assert_eq!(nearest("htpp", known.into_iter()), Some("http"));
        assert_eq!(
            nearest("reconect_windw", known.into_iter()),
            Some("reconnect_window")
        );
        assert_eq!(nearest("colour", known.into_iter()), None);
    }
}
