//! The multivariant playlist of a broadcast.
//!
//! In → Out: the renditions' snapshots → text.
//! How our words map to the RFC's: each of our renditions, `audio` included, is a *variant stream* (`EXT-X-STREAM-INF`)
//! that is complete in itself, picture and sound in the same segments. There is no `EXT-X-MEDIA` and no rendition group:
//! a group would take the sound out of the segments, which costs a second request for each and a second copy in caches.
//! A variant with sound alone is what players fall back to, and what those choose that show no picture.
//!
//! Spec: RFC 8216bis, "EXT-X-STREAM-INF", "EXT-X-MEDIA"; RFC 6381 (codecs).

use std::fmt;

use media::{Duration, RenditionName, Rotation, TrackConfig};

use super::media::{Announce, Form};
use crate::Snapshot;

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
    /// Relative to the playlist.
    pub uri: String,
}

/// Renders the playlist: one variant for each rendition that has media. URIs are relative to `/live/{id}/`.
pub fn render(renditions: &[(RenditionName, &Snapshot)], form: Form, announce: Announce) -> String {
    let variants = renditions
        .iter()
        .filter(|(_, snapshot)| snapshot.has_media());
    let variants = variants
        .map(|(name, snapshot)| variant(*name, snapshot, form, announce))
        .collect();
    MultivariantPlaylist {
        independent_segments: false,
        variants,
    }
    .to_string()
}

fn variant(name: RenditionName, snapshot: &Snapshot, form: Form, announce: Announce) -> Variant {
    let bitrate = match form {
        Form::Fmp4 => snapshot.bitrate,
        Form::Ts => snapshot.ts_bitrate,
    };
    let file = match form {
        Form::Fmp4 => "index.m3u8",
        Form::Ts => "ts.m3u8",
    };
    let query = match announce {
        Announce::Prefetch => "",
        Announce::Plain => "?announce=plain",
    };
    let codecs: Vec<&str> = snapshot
        .tracks
        .iter()
        .map(media::Track::codec_string)
        .collect();
    let video = snapshot
        .tracks
        .iter()
        .find_map(|track| match &track.config {
            TrackConfig::Video(video) => Some(video),
            TrackConfig::Audio(_) => None,
        });
    Variant {
        bandwidth_bps: bitrate.peak_bps.max(1),
        average_bandwidth_bps: Some(bitrate.average_bps.max(1)),
        codecs: (!codecs.is_empty()).then(|| codecs.join(",")),
        resolution: video.map(|video| match video.rotation {
            Rotation::None | Rotation::Half => (video.width, video.height),
            Rotation::Clockwise90 | Rotation::Clockwise270 => (video.height, video.width),
        }),
        frame_rate_milli: snapshot
            .frame_duration
            .filter(|_| video.is_some())
            .map(frame_rate),
        uri: format!("{name}/{file}{query}"),
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
            writeln!(f, "\n{}", variant.uri)?;
        }
        Ok(())
    }
}
