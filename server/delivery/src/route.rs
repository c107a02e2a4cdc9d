//! Which object a request target names.
//!
//! In → Out: an untrusted path and query → [`Route`]: a live object by type, the application's business, or a refusal.
//! Every object has exactly one spelling, so that caches hold one copy: percent signs, leading zeros, doubled slashes and dot
//! segments name nothing under `/live/`.
//! Spec: RFC 3986, "Path Segment Normalization" (6.2.2.3); RFC 8216bis, "Delivery Directives"; design "Paths".

use hls::playlist::media::{Announce, Form, Skip};
use http::StatusCode;
use media::{BroadcastId, Epoch, Msn, RenditionName, SegmentId};

use crate::gallery::PictureKind;

/// A request target, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// Not under `/live/`: for the application's router.
    App,
    /// An object of a live broadcast.
    Live {
        /// The broadcast's id, of valid form.
        broadcast: &'a str,
        /// Which object.
        target: Target,
    },
    /// A target that names nothing or is malformed.
    Refused(StatusCode),
}

/// The objects of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The multivariant playlist.
    Multivariant(Form),
    /// A rendition's media playlist.
    Playlist(RenditionName, Form),
    /// An init section.
    Init(RenditionName, Epoch),
    /// A segment of a rendition.
    Segment(RenditionName, SegmentId, Form),
    /// A part of a rendition's segment.
    Part(RenditionName, SegmentId, u32),
    /// A segment of the interaction track.
    Interaction(SegmentId),
    /// Which segments the interaction track has.
    InteractionIndex,
    /// A recent picture.
    Picture(PictureKind),
}

/// The query parameters that mean something to a playlist. All others are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`.
    pub msn: Option<Msn>,
    /// `_HLS_part`.
    pub part: Option<u32>,
    /// `_HLS_skip`.
    pub skip: Skip,
    /// `announce`.
    pub announce: Announce,
    /// What the reader can begin with.
    pub reader: Reads,
}

/// What a player needs to find in a playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// At least one whole segment.
    #[default]
    Segments,
    /// The names of what is announced are enough: `announce=prefetch`.
    Prefetch,
}

/// The longest request target that is looked at, in bytes.
pub(crate) const TARGET_BYTES_MAX: usize = 8 * 1024;

impl<'a> Route<'a> {
    /// Understands a path (without query).
    pub fn parse(path: &'a str) -> Self {
        if path.len() > TARGET_BYTES_MAX {
            return Self::Refused(StatusCode::URI_TOO_LONG);
        }
        if !is_canonical(path) {
            return Self::Refused(StatusCode::BAD_REQUEST);
        }
        if path == "/live" {
            return Self::Refused(StatusCode::NOT_FOUND);
        }
        let Some(rest) = path.strip_prefix("/live/") else {
            return Self::App;
        };
        match live(rest) {
            Some((broadcast, target)) => Self::Live { broadcast, target },
            None => Self::Refused(StatusCode::NOT_FOUND),
        }
    }
}

impl Directives {
    /// Understands a query. `None` if a directive is malformed or repeated.
    pub fn parse(query: &str) -> Option<Self> {
        let mut directives = Self::default();
        let (mut skip, mut announce) = (None, None);
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "_HLS_msn" => fill(&mut directives.msn, Msn(number(value)?))?,
                "_HLS_part" => fill(&mut directives.part, u32::try_from(number(value)?).ok()?)?,
                "_HLS_skip" => fill(&mut skip, value)?,
                "announce" => fill(&mut announce, value)?,
                _ => {}
            }
        }
        directives.skip = match skip {
            Some("YES") => Skip::Yes,
            Some("v2") => Skip::V2,
            // A version that does not exist yet is answered with a full playlist.
            _ => Skip::No,
        };
        directives.announce = if announce == Some("plain") {
            Announce::Plain
        } else {
            Announce::Prefetch
        };
        if announce == Some("prefetch") {
            directives.reader = Reads::Prefetch;
        }
        Some(directives)
    }
}

fn fill<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

fn live(rest: &str) -> Option<(&str, Target)> {
    let (broadcast, rest) = rest.split_once('/')?;
    if BroadcastId::LENGTH_MAX < broadcast.len() || BroadcastId::parse(broadcast).is_err() {
        return None;
    }
    let target = match rest.split_once('/') {
        None => match rest {
            "index.m3u8" => Target::Multivariant(Form::Fmp4),
            "ts.m3u8" => Target::Multivariant(Form::Ts),
            "thumb.jpg" => Target::Picture(PictureKind::Thumbnail),
            "preview.webp" => Target::Picture(PictureKind::Preview),
            _ => return None,
        },
        Some(("ix", "index.json")) => Target::InteractionIndex,
        Some(("ix", name)) => Target::Interaction(segment(name.strip_suffix(".jsonl")?)?),
        Some((rendition, name)) => media(RenditionName::parse(rendition)?, name)?,
    };
    Some((broadcast, target))
}

fn media(rendition: RenditionName, name: &str) -> Option<Target> {
    match name {
        "index.m3u8" => return Some(Target::Playlist(rendition, Form::Fmp4)),
        "ts.m3u8" => return Some(Target::Playlist(rendition, Form::Ts)),
        _ => {}
    }
    if let Some(epoch) = name.strip_suffix(".init.mp4") {
        return Some(Target::Init(rendition, self::epoch(epoch)?));
    }
    if let Some(name) = name.strip_suffix(".ts") {
        return Some(Target::Segment(rendition, segment(name)?, Form::Ts));
    }
    let name = name.strip_suffix(".m4s")?;
    match name.match_indices('.').nth(1) {
        None => Some(Target::Segment(rendition, segment(name)?, Form::Fmp4)),
        Some((dot, _)) => {
            let part = u32::try_from(number(&name[dot + 1..])?).ok()?;
            Some(Target::Part(rendition, segment(&name[..dot])?, part))
        }
    }
}

fn segment(text: &str) -> Option<SegmentId> {
    let (epoch, msn) = text.split_once('.')?;
    Some(SegmentId {
        epoch: self::epoch(epoch)?,
        msn: Msn(number(msn)?),
    })
}

fn epoch(text: &str) -> Option<Epoch> {
    u32::try_from(number(text)?).ok().map(Epoch)
}

/// A decimal number in its one spelling: digits without a leading zero.
fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Whether a path is free of everything that two machines could read differently.
fn is_canonical(path: &str) -> bool {
    if !path.starts_with('/')
        || path.contains("//")
        || path
            .bytes()
            .any(|byte| !byte.is_ascii_graphic() || byte == b'\\')
    {
        return false;
    }
    path[1..].split('/').all(|segment| match decode(segment) {
        Some(decoded) => {
            decoded != b"."
                && decoded != b".."
                && std::str::from_utf8(&decoded).is_ok()
                && !decoded
                    .iter()
                    .any(|byte| matches!(byte, 0..=31 | b'/' | b'\\' | 127))
        }
        None => false,
    })
}

fn decode(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            hex(bytes.next()?)? << 4 | hex(bytes.next()?)?
        } else {
            byte
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Option<Target> {
        match Route::parse(path) {
            Route::Live {
                broadcast: "show",
                target,
            } => Some(target),
            Route::Live { .. } | Route::App => panic!("{path} went elsewhere"),
            Route::Refused(_) => None,
        }
    }

    fn id(epoch: u32, msn: u64) -> SegmentId {
        SegmentId {
            epoch: Epoch(epoch),
            msn: Msn(msn),
        }
    }

    #[test]
    fn every_path_of_the_contract_parses() {
        use RenditionName::{Audio, Source};
        assert_eq!(
            target("/live/show/index.m3u8"),
            Some(Target::Multivariant(Form::Fmp4))
        );
        assert_eq!(
            target("/live/show/ts.m3u8"),
            Some(Target::Multivariant(Form::Ts))
        );
        assert_eq!(
            target("/live/show/source/index.m3u8"),
            Some(Target::Playlist(Source, Form::Fmp4))
        );
        assert_eq!(
            target("/live/show/audio/ts.m3u8"),
            Some(Target::Playlist(Audio, Form::Ts))
        );
        assert_eq!(
            target("/live/show/source/3.init.mp4"),
            Some(Target::Init(Source, Epoch(3)))
        );
        assert_eq!(
            target("/live/show/source/3.14.m4s"),
            Some(Target::Segment(Source, id(3, 14), Form::Fmp4))
        );
        assert_eq!(
            target("/live/show/source/3.14.ts"),
            Some(Target::Segment(Source, id(3, 14), Form::Ts))
        );
        assert_eq!(
            target("/live/show/source/3.14.0.m4s"),
            Some(Target::Part(Source, id(3, 14), 0))
        );
        assert_eq!(
            target("/live/show/ix/3.14.jsonl"),
            Some(Target::Interaction(id(3, 14)))
        );
        assert_eq!(
            target("/live/show/ix/index.json"),
            Some(Target::InteractionIndex)
        );
        assert_eq!(
            target("/live/show/thumb.jpg"),
            Some(Target::Picture(PictureKind::Thumbnail))
        );
        assert_eq!(
            target("/live/show/preview.webp"),
            Some(Target::Picture(PictureKind::Preview))
        );
    }

    #[test]
    fn a_second_spelling_of_an_object_names_nothing() {
        for path in [
            "/live/show/source/03.14.m4s",
            "/live/show/source/+3.14.m4s",
            "/live/show/source/3.14.m4s/",
            "/live/show/source/3.14.M4S",
            "/live/show/source/3.14.0.0.m4s",
            "/live/show/source/3.m4s",
            "/live/show/source/3.18446744073709551616.m4s",
            "/live/sh%6fw/index.m3u8",
            "/live/show/",
            "/live/show",
            "/live/",
            "/live",
        ] {
            assert_eq!(target(path), None, "{path}");
        }
    }

    #[test]
    fn http_06_path_tricks_are_refused() {
        for path in [
            "/live/../etc",
            "/live/%2e%2e/x",
            "/a/%2E./b",
            "//live/x",
            "/live//x",
            "/a\\b",
            "/a%00b",
            "/a%2fb",
            "/a%5cb",
            "/a%",
            "/a%g0",
            "/\u{fc}",
            "/%ff",
            "x",
            "",
        ] {
            assert_eq!(
                Route::parse(path),
                Route::Refused(StatusCode::BAD_REQUEST),
                "{path}"
            );
        }
        assert_eq!(
            Route::parse(&"/a".repeat(5_000)),
            Route::Refused(StatusCode::URI_TOO_LONG)
        );
        assert_eq!(Route::parse("/b/%C3%BC..x"), Route::App);
    }

    #[test]
    fn directives_are_read_in_any_order_and_unknown_ones_ignored() {
        let expect = Directives {
            msn: Some(Msn(7)),
            part: Some(2),
            skip: Skip::Yes,
            announce: Announce::Plain,
            reader: Reads::Segments,
        };
        for query in [
            "_HLS_msn=7&_HLS_part=2&_HLS_skip=YES&announce=plain",
            "utm=x&announce=plain&_HLS_skip=YES&_HLS_part=2&&_HLS_msn=7&a",
        ] {
            assert_eq!(Directives::parse(query), Some(expect), "{query}");
        }
        assert_eq!(Directives::parse(""), Some(Directives::default()));
        let counting = Directives::parse("announce=prefetch").unwrap();
        assert_eq!(counting.announce, Announce::Prefetch);
        assert_eq!(counting.reader, Reads::Prefetch);
        for query in [
            "_HLS_msn=",
            "_HLS_msn=-1",
            "_HLS_msn=x",
            "_HLS_msn=1&_HLS_msn=1",
            "_HLS_part=4294967296",
        ] {
            assert_eq!(Directives::parse(query), None, "{query}");
        }
    }
}
