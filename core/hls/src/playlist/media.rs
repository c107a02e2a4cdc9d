//! The media playlist of one rendition.
//!
//! In → Out: [`Snapshot`] and what the request wants → text.
//! Spec: RFC 8216bis, "Media Playlist Tags"; community LHLS, `EXT-X-PREFETCH`; design "Playlists".

use media::{Msn, RenditionName};

use crate::Snapshot;

/// Which container the segments named have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `.m4s` with init sections; parts.
    #[default]
    Fmp4,
    /// `.ts`.
    Ts,
}

/// How segments that are not complete are announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announce {
    /// By `EXT-X-PREFETCH`, parts and hints.
    #[default]
    Prefetch,
    /// `?announce=plain`: as ordinary entries with approximate durations.
    Plain,
}

/// `_HLS_skip`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Skip {
    /// Absent: the whole playlist.
    #[default]
    No,
    /// `YES`.
    Yes,
    /// `v2`.
    V2,
}

/// What another rendition has, for `EXT-X-RENDITION-REPORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The other rendition.
    pub rendition: RenditionName,
    /// Its newest segment, open or complete.
    pub last_msn: Msn,
    /// The newest part of that segment.
    pub last_part: Option<u32>,
}

impl Report {
    /// What a snapshot of another rendition says; `None` while there is nothing to report.
    pub fn of(rendition: RenditionName, snapshot: &Snapshot) -> Option<Self> {
        if let Some((last_msn, part)) = snapshot.last_part() {
            return Some(Self {
                rendition,
                last_msn,
                last_part: Some(part),
            });
        }
        let last_msn = snapshot.segments.last()?.id.msn;
        Some(Self {
            rendition,
            last_msn,
            last_part: None,
        })
    }
}

/// What a request wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaRequest<'a> {
    /// The container.
    pub form: Form,
    /// How incomplete segments are announced.
    pub announce: Announce,
    /// Whether old segments may be left out.
    pub skip: Skip,
    /// All other renditions of the broadcast.
    pub reports: &'a [Report],
}

/// Renders the playlist.
pub fn render(_snapshot: &Snapshot, _request: &MediaRequest<'_>) -> String {
    String::new()
}
