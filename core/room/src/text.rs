//! What people may write: comments and display names.
//!
//! In → Out: untrusted text → text that is short, on one line, and without characters that turn lines around.
//! Nothing is escaped here: pages insert text as text.
//! Spec: UAX #29, "Grapheme Cluster Boundaries"; UAX #9, "Explicit Formatting Characters".

use std::fmt;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization as _;
use unicode_segmentation::UnicodeSegmentation as _;

/// Why text is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing visible.
    #[error("there is nothing to read in it")]
    Empty,
    /// Too many graphemes, or too many bytes for its graphemes.
    #[error("it is too long")]
    TooLong,
}

/// Takes out what has no place on one line, then counts what a reader sees.
fn clean(text: &str, graphemes_max: usize, bytes_max: usize) -> Result<Arc<str>, TextError> {
    // Refuse before normalising: normalisation of hostile text can multiply its length.
    if text.len() > bytes_max {
        return Err(TextError::TooLong);
    }
    let spaced = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c });
    let kept: String = spaced.filter(|c| !is_forbidden(*c)).nfc().collect();
    let joined = kept
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if !joined.chars().any(is_visible) {
        return Err(TextError::Empty);
    }
    if joined.len() > bytes_max
        || joined.graphemes(true).take(graphemes_max + 1).count() > graphemes_max
    {
        return Err(TextError::TooLong);
    }
    Ok(joined.into())
}

/// Controls, direction overrides and isolates, line separators, tags, and code points that are not characters.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(
            c,
            '\u{00ad}' | '\u{180e}' | '\u{feff}' | '\u{fff9}'..='\u{ffff}'
        )
        || matches!(c, '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}' | '\u{e000}'..='\u{f8ff}')
}

/// Joiners and variation selectors stay in the text (emoji need them), but alone they show nothing.
fn is_visible(c: char) -> bool {
    let selector = matches!(
        c,
        '\u{200c}' | '\u{200d}' | '\u{fe00}'
            ..='\u{fe0f}' | '\u{034f}' | '\u{115f}' | '\u{1160}' | '\u{3164}'
    );
    !(c == ' ' || selector || unicode_normalization::char::is_combining_mark(c))
}

/// One comment: 1–200 graphemes on one line, at most 1,600 bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommentText(Arc<str>);

impl CommentText {
    /// The most graphemes.
    pub const GRAPHEMES_MAX: usize = 200;
    /// The most bytes: a grapheme can be built of any number of marks, and memory is bounded in bytes.
    pub const BYTES_MAX: usize = 1_600;

    /// Checks and takes a comment.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        clean(text, Self::GRAPHEMES_MAX, Self::BYTES_MAX).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A display name: 1–24 graphemes on one line, at most 120 bytes. Cheap to clone. Not unique, not a proof of anything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The most graphemes.
    pub const GRAPHEMES_MAX: usize = 24;
    /// The most bytes.
    pub const BYTES_MAX: usize = 120;

    /// Checks and takes a name.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        clean(text, Self::GRAPHEMES_MAX, Self::BYTES_MAX).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommentText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_one_to_two_hundred_graphemes() {
        let family = "👨‍👩‍👧‍👦";
        assert_eq!(CommentText::parse("a"), Ok(CommentText("a".into())));
        assert!(CommentText::parse(&"é".repeat(200)).is_ok());
        assert_eq!(
            CommentText::parse(&"é".repeat(201)),
            Err(TextError::TooLong)
        );
        assert!(CommentText::parse(&family.repeat(60)).is_ok());
        assert_eq!(CommentText::parse(""), Err(TextError::Empty));
    }

    #[test]
    fn towers_of_combining_marks_are_bounded_in_bytes() {
        let tower = format!("a{}", "\u{0301}".repeat(900));
        assert_eq!(CommentText::parse(&tower), Err(TextError::TooLong));
    }

    #[test]
    fn a_comment_is_one_line_that_reads_in_its_own_direction() {
        let text =
            CommentText::parse("  a\n\tb\u{202e}c\u{2066}d\u{200b}\u{feff}\u{0}e  ").unwrap();
        assert_eq!(text.as_str(), "a bcde");
    }

    #[test]
    fn text_without_anything_visible_is_empty() {
        for blank in [" ", "\u{200d}", "\u{3164}", "\u{fe0f} \u{0301}", "\u{200b}"] {
            assert_eq!(
                CommentText::parse(blank),
                Err(TextError::Empty),
                "{blank:?}"
            );
        }
    }

    #[test]
    fn markup_is_just_text() {
        let text = "<img src=x onerror=alert(1)> &amp; \"'";
        assert_eq!(CommentText::parse(text).unwrap().as_str(), text);
    }
}
