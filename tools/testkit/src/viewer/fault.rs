//! What a viewer holds against a server.
//!
//! In → Out: response heads → faults; the list of all faults that a [`super::Viewer`] may report.
//! Spec: design "Segments", "Playlists"; RFC 8216bis, "Media Playlist Tags".

use media::{Delta, Duration, SegmentId};

use super::boxes::BoxError;
use super::playlist::{Media, PlaylistError};

/// A broken promise of the wire contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A response lacks a header, or has one that it must not have.
    #[error("{path}: header {name} {problem}")]
    Header {
        /// Of which request.
        path: String,
        /// The header.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A status that is never right here.
    #[error("{path}: status {status}")]
    Status {
        /// Of which request.
        path: String,
        /// The status.
        status: u16,
    },
    /// A held request got no headers at once.
    #[error("{segment}: headers after {}", millis(*after))]
    LateHeaders {
        /// Which segment.
        segment: SegmentId,
        /// How long they took.
        after: Duration,
    },
    /// The bytes are not a segment.
    #[error("{segment}: {error}")]
    Boxes {
        /// Which segment.
        segment: SegmentId,
        /// What is wrong.
        error: BoxError,
    },
    /// The init section cannot be read, or hides that this is live.
    #[error("init section: {0}")]
    Init(String),
    /// A segment ended cleanly without one chunk.
    #[error("{0}: ended without a chunk")]
    Empty(SegmentId),
    /// The first chunk of a segment has no producer time.
    #[error("{0}: no prft before the first chunk")]
    NoStamp(SegmentId),
    /// The first picture of a segment is not a random access point.
    #[error("{0}: does not begin with a random access point")]
    NotIndependent(SegmentId),
    /// Decode time goes back, or samples overlap by more than rounding.
    #[error("{segment}: track {track} goes back by {}", millis(by.magnitude()))]
    Backwards {
        /// Which segment.
        segment: SegmentId,
        /// Which track.
        track: u32,
        /// By how much.
        by: Delta,
    },
    /// A playlist named an older epoch or segment than one seen before.
    #[error("playlist goes back from {from} to {to}")]
    PlaylistBack {
        /// Seen before.
        from: SegmentId,
        /// Named now.
        to: SegmentId,
    },
    /// A playlist cannot be read.
    #[error("playlist: {0}")]
    Playlist(#[from] PlaylistError),
    /// A playlist breaks a rule.
    #[error("playlist: {0}")]
    PlaylistRule(&'static str),
}

fn millis(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

/// The response head as far as a viewer looks at it: names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Judges the headers of a segment or init section that is served for ever.
pub(super) fn immutable_headers(path: &str, head: &Head, faults: &mut Vec<Fault>) {
    let mut demand = |name: &'static str, wanted: &[&str], problem: &'static str| {
        let value = head.header(name).unwrap_or("");
        if !wanted.iter().all(|part| value.contains(part)) {
            faults.push(Fault::Header {
                path: path.to_owned(),
                name,
                problem,
            });
        }
    };
    demand(
        "cache-control",
        &["max-age=31536000", "immutable", "public"],
        "is not that of an immutable object",
    );
    demand("access-control-allow-origin", &["*"], "is not *");
    demand("timing-allow-origin", &["*"], "is not *");
    for (name, problem) in [("set-cookie", "is there"), ("vary", "is there on media")] {
        if head.header(name).is_some() {
            let path = path.to_owned();
            faults.push(Fault::Header {
                path,
                name,
                problem,
            });
        }
    }
}

/// Judges a media playlist by itself.
pub(super) fn media_playlist(media: &Media, faults: &mut Vec<Fault>) {
    let mut rule = |broken: bool, text| {
        if broken {
            faults.push(Fault::PlaylistRule(text));
        }
    };
    let half = Duration::from_millis(500);
    let too_long = |duration: Duration| duration >= media.target_duration + half;
    let segments = &media.segments;
    rule(
        segments.iter().any(|entry| too_long(entry.duration)),
        "a segment is longer than EXT-X-TARGETDURATION",
    );
    rule(
        segments.iter().any(|entry| entry.date_time.is_none()),
        "a segment has no EXT-X-PROGRAM-DATE-TIME",
    );
    rule(
        segments.iter().any(|entry| entry.map.is_none()),
        "a segment has no EXT-X-MAP",
    );
    let dates: Vec<_> = segments
        .iter()
        .filter_map(|entry| entry.date_time)
        .collect();
    rule(!dates.is_sorted(), "EXT-X-PROGRAM-DATE-TIME goes back");
    if let Some(target) = media.part_target {
        rule(
            media.parts.iter().any(|part| *part > target),
            "a part is longer than PART-TARGET",
        );
    }
    let numbers: Vec<_> = segments
        .iter()
        .filter_map(|entry| super::playlist::segment_id(&entry.uri))
        .collect();
    let first = numbers.first().map(|id| id.msn.0);
    rule(
        first.is_some_and(|first| first != media.media_sequence),
        "EXT-X-MEDIA-SEQUENCE is not the first segment's number",
    );
    let steps = numbers
        .windows(2)
        .all(|pair| pair[1].msn == pair[0].msn.next() && pair[1].epoch >= pair[0].epoch);
    rule(!steps, "segment numbers do not count by one");
}
