//! The multivariant playlist of a broadcast.
//!
//! In → Out: the renditions' snapshots → text.
//! Spec: RFC 8216bis, "EXT-X-STREAM-INF"; RFC 6381.

use media::RenditionName;

use crate::Snapshot;
use crate::playlist::media::{Announce, Form};

/// Renders the playlist: one variant for each rendition that has media. URIs are relative to `/live/{id}/`.
pub fn render(
    _renditions: &[(RenditionName, &Snapshot)],
    _form: Form,
    _announce: Announce,
) -> String {
    String::new()
}
