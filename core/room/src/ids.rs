//! The names of things in a room: viewers, comments, juries, colours, address prefixes.
//!
//! In → Out: sixteen hexadecimal digits ↔ ids; an id → the colour of its hearts.
//! Ids are not secrets: what proves that one is a viewer is the signed token that the server checks.
//! Spec: `docs/ix.md`, "Ids".

use std::fmt;

/// Sixteen lower-case hexadecimal digits.
fn parse_hex(text: &str) -> Option<u64> {
    let valid = text.len() == 16
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if valid {
        u64::from_str_radix(text, 16).ok()
    } else {
        None
    }
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// From exactly sixteen lower-case hexadecimal digits; `None` for any other text.
            pub fn parse(text: &str) -> Option<Self> {
                parse_hex(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }
    };
}

hex_id! {
    /// A viewer in one room. Random, given by the server, different in each room.
    ViewerId
}
hex_id! {
    /// A comment. Chosen at random by the author's page, so that a repeated request is the same comment.
    CommentId
}

impl ViewerId {
    /// The colour of this viewer's hearts, the same in every beat.
    pub const fn colour(self) -> Colour {
        // Fibonacci hashing: ids are random already, but tests and loads use small ones.
        Colour((self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as u8)
    }
}

/// One of sixteen heart colours: 0–15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Colour(u8);

impl Colour {
    /// How many colours there are.
    pub const COUNT: usize = 16;

    /// Its number, 0–15.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A flash jury of this room; counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JuryId(pub u32);

/// Which network a request comes from, as a hash of its address prefix. Never leaves the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(pub u64);

/// Who moderates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Whoever holds the stream key.
    Broadcaster,
    /// A flash jury.
    Jury(JuryId),
    /// A viewer whom the broadcaster named.
    Moderator(ViewerId),
    /// Whoever runs the server.
    Operator,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sixteen_lower_case_digits_are_an_id() {
        assert_eq!(ViewerId::parse("00000000000000ff"), Some(ViewerId(255)));
        assert_eq!(ViewerId(255).to_string(), "00000000000000ff");
        for bad in [
            "",
            "ff",
            "00000000000000FF",
            "+0000000000000ff",
            "00000000000000ff0",
            "0x000000000000ff",
        ] {
            assert_eq!(ViewerId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn small_ids_spread_over_all_colours() {
        let mut seen = [0; Colour::COUNT];
        for id in 0..1_600 {
            seen[ViewerId(id).colour().index()] += 1;
        }
        assert!(
            seen.iter().all(|count| (60..=140).contains(count)),
            "{seen:?}"
        );
    }
}
