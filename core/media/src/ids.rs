//! The names of things: broadcasts, renditions, segments.
//!
//! In → Out: untrusted text → identifiers that are safe in paths, logs and playlists.
//! Spec: design "Paths"; RFC 8216bis, "EXT-X-MEDIA-SEQUENCE".

use std::fmt;
use std::sync::Arc;

/// Why text is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// No characters at all.
    #[error("empty name")]
    Empty,
    /// More than [`BroadcastId::LENGTH_MAX`] characters.
    #[error("longer than 64 characters")]
    TooLong,
    /// A character other than `A–Z a–z 0–9 - _`.
    #[error("only letters, digits, '-' and '_' are allowed")]
    Character,
}

/// The id of a broadcast: 1–64 characters of `A–Z a–z 0–9 - _`, so it is one path component everywhere. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BroadcastId(Arc<str>);

impl BroadcastId {
    /// The longest id, in characters.
    pub const LENGTH_MAX: usize = 64;

    /// Checks and takes a name.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.len() > Self::LENGTH_MAX {
            return Err(IdError::TooLong);
        }
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        {
            return Err(IdError::Character);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BroadcastId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The closed list of rendition names that a path may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RenditionName {
    /// What the publisher sent, untouched.
    Source,
    /// Transcoded, 1080 lines.
    P1080,
    /// Transcoded, 720 lines.
    P720,
    /// Transcoded, 480 lines.
    P480,
    /// Transcoded, 240 lines.
    P240,
    /// Sound alone.
    Audio,
}

impl RenditionName {
    /// All names, best first, sound last.
    pub const ALL: [Self; 6] = [
        Self::Source,
        Self::P1080,
        Self::P720,
        Self::P480,
        Self::P240,
        Self::Audio,
    ];

    /// The name in a path; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }

    /// The name as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::P1080 => "1080p",
            Self::P720 => "720p",
            Self::P480 => "480p",
            Self::P240 => "240p",
            Self::Audio => "audio",
        }
    }
}

impl fmt::Display for RenditionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Grows by one each time a broadcast gets a new owner, a new publisher session or new parameter sets, so that one URL
/// has one body for ever. Starts at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The first epoch of a broadcast.
    pub const FIRST: Self = Self(1);

    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Media sequence number: counts the segments of a broadcast from 0, across epochs; never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msn(pub u64);

impl Msn {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Msn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What names a segment within a rendition: `{epoch}.{msn}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// The epoch in which the segment was made.
    pub epoch: Epoch,
    /// Its media sequence number.
    pub msn: Msn,
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.msn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_harmless_path_component() {
        assert_eq!(
            BroadcastId::parse("my-show_7").unwrap().as_str(),
            "my-show_7"
        );
        assert_eq!(BroadcastId::parse(""), Err(IdError::Empty));
        assert_eq!(BroadcastId::parse(&"a".repeat(65)), Err(IdError::TooLong));
        for bad in ["..", "a/b", "a%2e", "ü", "a b", "a\0"] {
            assert_eq!(BroadcastId::parse(bad), Err(IdError::Character), "{bad:?}");
        }
    }

    #[test]
    fn rendition_names_round_trip_and_nothing_else_parses() {
        for name in RenditionName::ALL {
            assert_eq!(RenditionName::parse(name.as_str()), Some(name));
        }
        assert_eq!(RenditionName::parse("Source"), None);
    }
}
