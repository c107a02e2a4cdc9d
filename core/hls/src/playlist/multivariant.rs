//! The multivariant playlist of a broadcast.
//!
//! In → Out: the renditions' snapshots → text.
//! How our words map to the RFC's: each of our renditions, `audio` included, is a *variant stream* (`EXT-X-STREAM-INF`)
//! that is complete in itself, picture and sound in the same segments. There is no `EXT-X-MEDIA` and no rendition group:
//! a group would take the sound out of the segments, which costs a second request for each and a second copy in caches.
//! A variant with sound alone is what players fall back to, and what those choose that show no picture.
//!
//! Spec: RFC 8216bis, "EXT-X-STREAM-INF", "EXT-X-MEDIA"; RFC 6381 (codecs).

use std::collections::BTreeMap;
use std::fmt;

use media::{Duration, RenditionName, Track, TrackKind, VideoConfig};

use super::media::{Announce, Form};
use crate::Snapshot;
use crate::ladder::{Rung, shown_size};

/// A multivariant playlist as it stands in text. `to_string` is its canonical form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultivariantPlaylist {
    /// `EXT-X-INDEPENDENT-SEGMENTS`.
    pub independent_segments: bool,
    /// The variants in the order in which they stand.
    pub variants: Vec<Variant>,
}

/// `EXT-X-STREAM-INF`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// `BANDWIDTH`: the peak in bits per second.
    pub bandwidth_bps: u64,
    /// `AVERAGE-BANDWIDTH` in bits per second.
    pub average_bandwidth_bps: Option<u64>,
    /// `CODECS`, such as `avc1.64001f,mp4a.40.2`.
    pub codecs: Option<String>,
    /// `RESOLUTION`: width and height in pixels as shown.
    pub resolution: Option<(u32, u32)>,
    /// `FRAME-RATE` in thousandths of pictures a second.
    pub frame_rate_milli: Option<u64>,
    /// `CLOSED-CAPTIONS=NONE`: nobody need look for any in the pictures.
    pub captions_none: bool,
    /// Relative to the playlist.
    pub uri: String,
}

/// Renders the playlist: one variant for each rendition that has media, and one for each rung that a request would
/// start, best first, sound last. A picture that browsers cannot decode is not offered; who knows its name has it. URIs are relative to `/live/{id}/`.
pub fn render(
    renditions: &[(RenditionName, &Snapshot)],
    offers: &[Rung],
    form: Form,
    announce: Announce,
) -> String {
    let running: BTreeMap<RenditionName, &Snapshot> = renditions
        .iter()
        .filter(|(_, snapshot)| snapshot.has_media())
        .copied()
        .collect();
    let source = running.get(&RenditionName::Source);
    let variants = RenditionName::ALL.into_iter().filter_map(|name| {
        let offered = offers.iter().find(|rung| rung.name == name);
        match (running.get(&name), offered, source) {
            (Some(snapshot), ..) if !is_playable(snapshot) => None,
            (Some(snapshot), ..) => Some(variant(name, snapshot, form, announce)),
            (None, Some(rung), Some(source)) => Some(promised(rung, source, form, announce)),
            _ => None,
        }
    });
    MultivariantPlaylist {
        independent_segments: false,
        variants: variants.collect(),
    }
    .to_string()
}

fn is_playable(snapshot: &Snapshot) -> bool {
    let mut pictures = snapshot.tracks.iter().filter_map(Track::video);
    pictures.all(VideoConfig::is_for_browsers)
}

/// A rung that does not run yet: what it will be, as far as that is decided before its first picture.
fn promised(rung: &Rung, source: &Snapshot, form: Form, announce: Announce) -> Variant {
    let sound = source
        .tracks
        .iter()
        .filter(|track| track.kind() == TrackKind::Audio);
    let codecs = std::iter::once(rung.codec_string())
        .chain(sound.map(|track| track.codec_string().to_owned()));
    let video = source.tracks.iter().find_map(Track::video);
    let turned = video.is_some_and(|video| video.rotation.is_quarter());
    // Never more than the source costs: a calm picture is no dearer for being smaller.
    let most = u64::from(rung.bitrate_bps) + SOUND_BPS;
    let average = most.min(below(source.bitrate.average_bps));
    let peak = (most + most / 10).min(below(source.bitrate.peak_bps));
    Variant {
        bandwidth_bps: peak.max(average),
        average_bandwidth_bps: Some(average),
        codecs: Some(codecs.collect::<Vec<_>>().join(",")),
        resolution: Some(if turned {
            (rung.height, rung.width)
        } else {
            (rung.width, rung.height)
        }),
        frame_rate_milli: source.frame_duration.map(frame_rate),
        captions_none: true,
        uri: uri(rung.name, form, announce),
    }
}

/// What a rung below a source of this bitrate may be taken to cost; nothing is known of a source that was not measured.
const fn below(source_bps: u64) -> u64 {
    if source_bps == 0 {
        u64::MAX
    } else {
        source_bps - source_bps / 20
    }
}

/// What sound and container are taken to cost in bits per second until a rung is measured.
const SOUND_BPS: u64 = 160_000;

fn uri(name: RenditionName, form: Form, announce: Announce) -> String {
    let file = match form {
        Form::Fmp4 => "index.m3u8",
        Form::Ts => "ts.m3u8",
    };
    let query = match announce {
        Announce::Prefetch => "",
        Announce::Plain => "?announce=plain",
    };
    format!("{name}/{file}{query}")
}

fn variant(name: RenditionName, snapshot: &Snapshot, form: Form, announce: Announce) -> Variant {
    let bitrate = match form {
        Form::Fmp4 => snapshot.bitrate,
        Form::Ts => snapshot.ts_bitrate,
    };
    let codecs: Vec<&str> = snapshot.tracks.iter().map(Track::codec_string).collect();
    let video = snapshot.tracks.iter().find_map(Track::video);
    Variant {
        bandwidth_bps: bitrate.peak_bps.max(1),
        average_bandwidth_bps: Some(bitrate.average_bps.max(1)),
        codecs: (!codecs.is_empty()).then(|| codecs.join(",")),
        resolution: video.map(shown_size),
        frame_rate_milli: snapshot
            .frame_duration
            .filter(|_| video.is_some())
            .map(frame_rate),
        // All variants say so or none. Without it Shaka 5.2 looks for captions in the open segment, and fails.
        captions_none: true,
        uri: uri(name, form, announce),
    }
}

fn frame_rate(frame: Duration) -> u64 {
    let nanos = frame.as_nanos().max(1);
    (1_000_000_000_000 + nanos / 2) / nanos
}

impl fmt::Display for MultivariantPlaylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "#EXTM3U")?;
        if self.independent_segments {
            writeln!(f, "#EXT-X-INDEPENDENT-SEGMENTS")?;
        }
        for variant in &self.variants {
            write!(f, "#EXT-X-STREAM-INF:BANDWIDTH={}", variant.bandwidth_bps)?;
            if let Some(average) = variant.average_bandwidth_bps {
                write!(f, ",AVERAGE-BANDWIDTH={average}")?;
            }
            if let Some(codecs) = &variant.codecs {
                write!(f, ",CODECS=\"{codecs}\"")?;
            }
            if let Some((width, height)) = variant.resolution {
                write!(f, ",RESOLUTION={width}x{height}")?;
            }
            if let Some(rate) = variant.frame_rate_milli {
                write!(f, ",FRAME-RATE={}.{:03}", rate / 1_000, rate % 1_000)?;
            }
            if variant.captions_none {
                write!(f, ",CLOSED-CAPTIONS=NONE")?;
            }
            writeln!(f, "\n{}", variant.uri)?;
        }
        Ok(())
    }
}
