//! The words that broadcaster and moderators have forbidden in their room, beside the operator's list.
//!
//! In → Out: a word to add or to take away → the room's own [`WordList`], and what of it can be shown and kept.
//! At most [`Forbidden::WORDS_MAX`] words, the first so many of what is restored.
//! Spec: `docs/ix.md`, "Moderation".

use std::collections::BTreeSet;
use std::fmt;

use crate::{ModerationError, WordList};

/// One word, short enough to be copied. A `*` at its end stands for every ending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

impl Word {
    /// The longest word, in bytes of UTF-8.
    pub const BYTES_MAX: usize = 48;

    /// Takes a word as somebody wrote it; `None` if it is too long, several words, or has no letter that could match.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let single = !text.contains(|c: char| c.is_whitespace() || c.is_control());
        let mut bytes = [0; Self::BYTES_MAX];
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        let length = u8::try_from(text.len()).ok()?;
        (single && !WordList::new([text]).is_empty()).then_some(Self { bytes, length })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        let written = self.bytes.get(..usize::from(self.length));
        str::from_utf8(written.unwrap_or_default()).unwrap_or_default()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// The room's own list.
#[derive(Debug, Default)]
pub(crate) struct Forbidden {
    words: BTreeSet<Word>,
    list: WordList,
}

impl Forbidden {
    /// The most words of one room.
    pub(crate) const WORDS_MAX: usize = 200;

    /// Whether the text contains one of them.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.list.matches(text)
    }

    /// All of them, in alphabetical order.
    pub(crate) fn words(&self) -> Vec<Word> {
        self.words.iter().copied().collect()
    }

    pub(crate) fn add(&mut self, word: Word) -> Result<(), ModerationError> {
        if self.words.len() >= Self::WORDS_MAX && !self.words.contains(&word) {
            return Err(ModerationError::Full);
        }
        self.words.insert(word);
        self.compile();
        Ok(())
    }

    pub(crate) fn remove(&mut self, word: Word) {
        self.words.remove(&word);
        self.compile();
    }

    /// Goes on from before.
    pub(crate) fn restore(&mut self, words: Vec<Word>) {
        self.words = words.into_iter().take(Self::WORDS_MAX).collect();
        self.compile();
    }

    fn compile(&mut self) {
        self.list = WordList::new(self.words.iter().map(Word::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_short_word_with_something_to_match() {
        for text in ["turnip", " turnip* ", "турнир", "a", "…turnip…"] {
            assert_eq!(Word::parse(text).unwrap().as_str(), text.trim());
        }
        let long = "x".repeat(Word::BYTES_MAX + 1);
        for text in [
            "",
            "  ",
            "*",
            "# turnip",
            "#turnip",
            "two words",
            "a\u{7}b",
            &long,
        ] {
            assert_eq!(Word::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_list_is_bounded_and_what_is_taken_away_is_free_again() {
        let mut forbidden = Forbidden::default();
        for number in 0..Forbidden::WORDS_MAX {
            let word = Word::parse(&format!("turnip{number}x")).unwrap();
            forbidden.add(word).unwrap();
        }
        let one_more = Word::parse("swede").unwrap();
        assert_eq!(forbidden.add(one_more), Err(ModerationError::Full));
        let first = forbidden.words()[0];
        assert!(forbidden.matches(first.as_str()));
        forbidden.remove(first);
        assert!(!forbidden.matches(first.as_str()));
        forbidden.add(one_more).unwrap();
        assert!(forbidden.matches("a SWEDE, please"));
    }
}
