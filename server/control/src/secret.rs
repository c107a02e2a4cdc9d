//! Secrets that this server makes: stream keys and the admin token; how they look, and how they are checked.
//!
//! In → Out: randomness → a secret shown once, and the hash that is stored; text from outside → whether it matches.
//! A stream key is `NAME-SECRET`: NAME (8 characters) finds the row, SECRET (26 characters, 130 random bits) is
//! compared in constant time as a SHA-256. A slow hash guards guessable passwords; 130 random bits are not guessable,
//! and a slow hash at this door would let strangers burn CPU.
//! Spec: RFC 4648, "Base 32 Encoding" (alphabet, lower case).

use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const NAME_LENGTH: usize = 8;
const SECRET_LENGTH: usize = 26;

/// SHA-256 of a secret: what is stored.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hash([u8; 32]);

impl Hash {
    /// Hashes a secret. The purpose is mixed in, so that one secret's hash is of no use elsewhere.
    fn of(purpose: &str, secret: &str) -> Self {
        Self(
            Sha256::new()
                .chain_update(purpose)
                .chain_update([0])
                .chain_update(secret)
                .finalize()
                .into(),
        )
    }

    /// From the database; `None` if the length is wrong.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A stream key in clear. Shown once, never stored, never logged: it has no `Debug`.
#[derive(Clone)]
pub(crate) struct StreamKey {
    name: String,
    secret: String,
}

impl StreamKey {
    /// A new random key.
    pub(crate) fn generate() -> Self {
        Self {
            name: random_text(NAME_LENGTH),
            secret: random_text(SECRET_LENGTH),
        }
    }

    /// Takes a key as an encoder sends it; `None` if it cannot be one, whatever is stored.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, secret) = text.split_once('-')?;
        let fits = |part: &str, length| {
            part.len() == length && part.bytes().all(|byte| ALPHABET.contains(&byte))
        };
        (fits(name, NAME_LENGTH) && fits(secret, SECRET_LENGTH)).then(|| Self {
            name: name.to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// The part that finds the row; no secret.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What to store.
    pub(crate) fn hash(&self) -> Hash {
        Hash::of("stream-key", &self.secret)
    }

    /// Whether the stored hash is this key's, in constant time.
    pub(crate) fn matches(&self, stored: &Hash) -> bool {
        self.hash().matches(stored)
    }

    /// The key in clear, to be shown to its owner once.
    pub(crate) fn reveal(&self) -> String {
        format!("{}-{}", self.name, self.secret)
    }
}

/// The admin token in clear. Has no `Debug`.
pub struct AdminToken(String);

impl AdminToken {
    /// A new random token.
    pub(crate) fn generate() -> Self {
        Self(random_text(SECRET_LENGTH * 2))
    }

    /// Takes a token from a request or a file; anything is allowed, most of it will not match.
    pub fn from_text(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// What to store.
    pub(crate) fn hash(&self) -> Hash {
        Hash::of("admin-token", &self.0)
    }

    /// Whether the stored hash is this token's, in constant time.
    pub(crate) fn matches(&self, stored: &Hash) -> bool {
        self.hash().matches(stored)
    }

    /// The token in clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// A random id for a broadcast that was given none: 8 characters of lower-case base 32.
pub(crate) fn random_id() -> String {
    random_text(NAME_LENGTH)
}

fn random_text(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_way_through_an_encoder_and_matches_only_itself() {
        let key = StreamKey::generate();
        let read = StreamKey::parse(&key.reveal()).unwrap();
        assert!(read.matches(&key.hash()));
        assert!(!StreamKey::generate().matches(&key.hash()));
    }

    #[test]
    fn text_that_cannot_be_a_key_is_refused_by_its_shape() {
        let key = StreamKey::generate().reveal();
        for bad in [
            "",
            "-",
            "demo",
            &key[1..],
            &key.to_uppercase(),
            &format!("{key}a"),
            &key.replace('-', "_"),
            "äääääääää-b",
        ] {
            assert!(StreamKey::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_hash_of_a_key_is_no_admin_token() {
        let key = StreamKey::generate();
        assert!(!AdminToken::from_text(&key.secret).matches(&key.hash()));
    }
}
