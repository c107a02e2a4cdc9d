//! Playlists as text: rendered from snapshots, parsed back for viewers and tests.
//!
//! In → Out: [`crate::Snapshot`] ↔ M3U8 text.
//! Spec: RFC 8216bis, "Playlist Tags".

pub mod media;
pub mod multivariant;
pub mod parse;
mod render;

pub use render::{init_uri, part_uri, playlist as media_playlist, segment_uri};
