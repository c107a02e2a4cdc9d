//! The word list: finds a listed word also when it is disguised.
//!
//! In → Out: the operator's words + a comment → whether one of them is in it.
//! Disguises seen through: capitals, accents, full-width and mathematical letters, Cyrillic and Greek look-alikes, digits
//! and signs for letters, zero-width characters, stretched letters, and letters s p e l l e d out. Only whole words match,
//! so that a harmless word that contains a listed one passes.
//! Spec: UTS #39, "Confusable Detection" (the idea of a skeleton; the table is ours and small).

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Words that a comment may not contain. A word that ends in `*` matches every word that begins so.
#[derive(Clone, Debug, Default)]
pub struct WordList {
    whole: BTreeSet<Vec<(char, u8)>>,
    prefixes: Vec<Vec<(char, u8)>>,
}

impl WordList {
    /// The most words; the rest of a longer list is not read.
    pub const WORDS_MAX: usize = 10_000;

    /// From one word an item; blank ones and those that start with `#` are skipped.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut list = Self::default();
        let kept = words
            .into_iter()
            .map(str::trim)
            .filter(|word| !word.is_empty() && !word.starts_with('#'));
        for word in kept.take(Self::WORDS_MAX) {
            let runs = runs(&skeleton(word.trim_end_matches('*')));
            if runs.is_empty() {
                continue;
            }
            if word.ends_with('*') {
                list.prefixes.push(runs);
            } else {
                list.whole.insert(runs);
            }
        }
        list
    }

    /// How many words are listed.
    pub fn len(&self) -> usize {
        self.whole.len() + self.prefixes.len()
    }

    /// True if nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.prefixes.is_empty()
    }

    /// True if the text contains a listed word.
    pub fn matches(&self, text: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        let letters = skeleton(text);
        let words: Vec<&str> = letters.split(' ').filter(|word| !word.is_empty()).collect();
        words.iter().any(|word| self.matches_word(word))
            || spelled(&words).iter().any(|run| self.is_inside(run))
    }

    fn matches_word(&self, word: &str) -> bool {
        let found = runs(word);
        self.whole.contains(&found)
            || self
                .whole
                .iter()
                .any(|listed| listed.len() == found.len() && covers(&found, listed))
            || self
                .prefixes
                .iter()
                .any(|listed| listed.len() <= found.len() && covers(&found, listed))
    }

    /// Letters spelled out have no word borders, so a listed word may be anywhere in them.
    fn is_inside(&self, letters: &str) -> bool {
        let found = runs(letters);
        let mut listed = self.whole.iter().chain(&self.prefixes);
        listed
            .any(|word| word.len() > 1 && found.windows(word.len()).any(|part| covers(part, word)))
    }
}

/// True if `found` is `listed` or a stretched form of it (three and more of a letter where fewer belong).
fn covers(found: &[(char, u8)], listed: &[(char, u8)]) -> bool {
    listed.iter().zip(found).all(|(want, have)| {
        want.0 == have.0 && (have.1 == want.1 || (have.1 > 2 && have.1 > want.1))
    })
}

/// Runs of equal letters: `aab` → `a2 b1`.
fn runs(word: &str) -> Vec<(char, u8)> {
    let mut runs: Vec<(char, u8)> = Vec::new();
    for letter in word.chars() {
        match runs.last_mut() {
            Some((last, count)) if *last == letter => *count = count.saturating_add(1),
            _ => runs.push((letter, 1)),
        }
    }
    runs
}

/// Joins each stretch of three or more single letters.
fn spelled(words: &[&str]) -> Vec<String> {
    let singles = words.chunk_by(|a, b| is_single(a) && is_single(b));
    singles
        .filter(|stretch| stretch.len() > 2)
        .map(<[&str]>::concat)
        .collect()
}

fn is_single(word: &str) -> bool {
    word.chars().nth(1).is_none()
}

/// What the eye reads: plain lower-case letters, with a space for everything that separates words.
fn skeleton(text: &str) -> String {
    let visible: Vec<char> = text
        .nfkd()
        .filter(|c| !is_combining_mark(*c) && !is_ignorable(*c))
        .flat_map(char::to_lowercase)
        .collect();
    let mut plain = String::with_capacity(visible.len());
    for (index, c) in visible.iter().enumerate() {
        let inside_word = visible
            .get(index + 1)
            .is_some_and(|next| next.is_alphanumeric());
        plain.push(look_alike(*c, inside_word));
    }
    plain
}

fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{00ad}'
            | '\u{034f}'
            | '\u{061c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
    ) || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// The Latin letter that a character is read as; a space for what is no letter.
fn look_alike(c: char, inside_word: bool) -> char {
    match c {
        '4' | '@' | 'а' | 'α' | 'ɑ' => 'a',
        '8' | 'в' | 'β' | 'ь' => 'b',
        'с' | 'ϲ' | '¢' => 'c',
        'ԁ' | 'đ' => 'd',
        '3' | 'е' | 'ε' | '€' | 'ҽ' => 'e',
        'ƒ' => 'f',
        'ɡ' => 'g',
        'н' | 'һ' | 'η' => 'h',
        // The letters i and l and the digit 1 are one glyph in many fonts.
        '1' | 'l' | 'ł' | 'і' | 'ι' | 'ı' | 'ӏ' => 'i',
        '!' | '|' if inside_word => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'п' => 'n',
        '0' | 'о' | 'ο' | 'ø' | 'σ' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'г' => 'r',
        '5' | 'ѕ' => 's',
        '$' if inside_word => 's',
        '7' | 'т' | 'τ' => 't',
        'υ' | 'ц' => 'u',
        'ν' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        other if other.is_alphanumeric() => other,
        _ => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], text: &str, expect: bool) {
        assert_eq!(
            WordList::new(words.iter().copied()).matches(text),
            expect,
            "{words:?} in {text:?}"
        );
    }

    #[test]
    fn a_listed_word_is_found_in_every_disguise() {
        for text in [
            "what a turnip",
            "TURNIP!",
            "túrnïp",
            "turnip",
            "𝓽𝓾𝓻𝓷𝓲𝓹",
            "tυгпір",
            "turn1p",
            "tur\u{200b}n\u{2060}i\u{ad}p",
            "tuuuurnip",
            "t u r n i p",
            "you t.u-r_n~i*p you",
            "a t u r n i p",
            "turn|p",
        ] {
            check(&["turnip"], text, true);
        }
    }

    #[test]
    fn harmless_words_that_contain_a_listed_one_pass() {
        check(&["ass"], "classic assessment as usual, ass-", true);
        check(&["ass"], "classic assessment as usual", false);
        check(&["turnip"], "turnips turn ip", false);
        check(&["turnip*"], "turnips", true);
        check(&["as"], "ass", false);
    }

    #[test]
    fn an_empty_list_finds_nothing() {
        check(&["", "# note", "***"], "*** anything", false);
    }
}
