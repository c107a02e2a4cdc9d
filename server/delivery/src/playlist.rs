//! Media playlists as they go out: rendered once for each version of a rendition and each form, then shared.
//!
//! In → Out: a snapshot and what a request wants → text, plain or gzipped. Made on first demand, kept with the view.
//! Spec: RFC 8216bis, "Media Playlist Tags", appendix B.1 (gzip); RFC 1952.

use std::io::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hls::playlist::media::{Announce, Form, MediaRequest, Report, Skip, render};

/// The playlists of one view, by form.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    playlists: [OnceLock<Playlist>; FORMS],
}

/// One playlist.
#[derive(Debug)]
pub(crate) struct Playlist {
    plain: Bytes,
    gzip: OnceLock<Option<Bytes>>,
}

/// Which playlist of a rendition is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) form: Form,
    pub(crate) announce: Announce,
    pub(crate) skip: Skip,
}

impl Rendered {
    /// The playlist, rendered now if nobody asked before. `reports` is called only then.
    pub(crate) fn playlist(
        &self,
        wanted: Wanted,
        snapshot: &hls::Snapshot,
        reports: impl FnOnce() -> Vec<Report>,
    ) -> &Playlist {
        self.playlists[wanted.index()].get_or_init(|| {
            let request = MediaRequest {
                form: wanted.form,
                announce: wanted.announce,
                skip: wanted.skip,
                reports: &reports(),
            };
            Playlist {
                plain: render(snapshot, &request).into(),
                gzip: OnceLock::new(),
            }
        })
    }
}

impl Playlist {
    /// The text.
    pub(crate) fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// The text in gzip's form; `None` where that would not be shorter.
    pub(crate) fn gzip(&self) -> Option<&Bytes> {
        self.gzip
            .get_or_init(|| compress(&self.plain).filter(|packed| packed.len() < self.plain.len()))
            .as_ref()
    }
}

impl Wanted {
    fn index(self) -> usize {
        let form = match self.form {
            Form::Fmp4 => 0,
            Form::Ts => 1,
        };
        let announce = match self.announce {
            Announce::Prefetch => 0,
            Announce::Plain => 1,
        };
        let skip = match self.skip {
            Skip::No => 0,
            Skip::Yes => 1,
            Skip::V2 => 2,
        };
        (skip * 2 + announce) * 2 + form
    }
}

/// Forms × announcements × skips.
const FORMS: usize = 2 * 2 * 3;

fn compress(text: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 3), Compression::default());
    encoder.write_all(text).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_its_own_place() {
        let mut seen = std::collections::BTreeSet::new();
        for form in [Form::Fmp4, Form::Ts] {
            for announce in [Announce::Prefetch, Announce::Plain] {
                for skip in [Skip::No, Skip::Yes, Skip::V2] {
                    let index = Wanted {
                        form,
                        announce,
                        skip,
                    }
                    .index();
                    assert!(index < FORMS && seen.insert(index));
                }
            }
        }
    }
}
