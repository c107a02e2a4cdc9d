//! The transcode plan of a broadcast: which rungs stand below its source.
//!
//! In → Out: the configured [`Ladder`] and the source's shown size → [`Rung`]s with their exact picture sizes.
//! A rung is encoded into a rendition of the same name; in the multivariant playlist each rendition is one variant
//! (RFC 8216bis "Variant Stream"; what the RFC calls a Rendition, an EXT-X-MEDIA alternative, is only our `audio`).
//! Spec: RFC 8216bis, "EXT-X-STREAM-INF".

use media::{Duration, RenditionName, VideoConfig};

/// One line of the configured ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LadderLine {
    /// The rendition that it makes; names the lines of the short side.
    pub name: RenditionName,
    /// Target and maximum video bitrate, in bits per second.
    pub bitrate_bps: u32,
}

/// The configured ladder, best line first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder(pub Vec<LadderLine>);

impl Default for Ladder {
    /// 1080p at 4.5 Mb/s, 720p at 2.5, 480p at 1.1, 240p at 0.4.
    fn default() -> Self {
        let line = |name, bitrate_bps| LadderLine { name, bitrate_bps };
        Self(vec![
            line(RenditionName::P1080, 4_500_000),
            line(RenditionName::P720, 2_500_000),
            line(RenditionName::P480, 1_100_000),
            line(RenditionName::P240, 400_000),
        ])
    }
}

/// One rung of a broadcast's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The rendition that it makes.
    pub name: RenditionName,
    /// Picture width in pixels; even.
    pub width: u32,
    /// Picture height in pixels; even.
    pub height: u32,
    /// Target and maximum video bitrate, in bits per second.
    pub bitrate_bps: u32,
    /// The H.264 level that it is encoded at, times ten: what `CODECS` promises before the first picture exists.
    pub level: u8,
}

/// A rung that is not made until the publisher's next session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRung {
    /// What it would have been.
    pub rung: Rung,
    /// Why: `exited`, `hung` or `slow`.
    pub cause: &'static str,
}

impl Rung {
    /// RFC 6381: High profile at the rung's level.
    pub fn codec_string(&self) -> String {
        format!("avc1.6400{:02x}", self.level)
    }

    /// The source itself, encoded anew in its own size (to the nearest even pixel) for players that cannot take it as it
    /// is. A tenth of a bit for each pixel of each picture is what a moving picture needs at most to look the same.
    pub fn repaired(source: &VideoConfig) -> Self {
        const LEAST_BPS: u64 = 500_000;
        const MOST_BPS: u64 = 20_000_000;
        let short = source.width.min(source.height);
        let (width, height) = (
            scaled(source.width, short, short),
            scaled(source.height, short, short),
        );
        let frame = source.frame_duration.unwrap_or(USUAL_FRAME);
        let pixels_per_second = (u64::from(width) * u64::from(height))
            .saturating_mul(1_000_000_000)
            / frame.as_nanos().max(1);
        let bitrate_bps = (pixels_per_second / 10).clamp(LEAST_BPS, MOST_BPS);
        Self {
            name: RenditionName::Source,
            width,
            height,
            bitrate_bps: u32::try_from(bitrate_bps).unwrap_or(u32::MAX),
            level: level(width, height, source.frame_duration),
        }
    }
}

impl Ladder {
    /// The rungs strictly below the source, best first: never upscaled, measured by the short side of the picture as it
    /// is coded, so that a portrait picture gets the same rungs as the landscape one. The aspect ratio is kept to the
    /// nearest even pixel.
    pub fn rungs(&self, source: &VideoConfig) -> Vec<Rung> {
        let short = source.width.min(source.height);
        self.0
            .iter()
            .filter_map(|line| {
                let lines = short_side(line.name)?;
                let (width, height) = (
                    scaled(source.width, lines, short),
                    scaled(source.height, lines, short),
                );
                (lines < short).then(|| Rung {
                    name: line.name,
                    width,
                    height,
                    bitrate_bps: line.bitrate_bps,
                    level: level(width, height, source.frame_duration),
                })
            })
            .collect()
    }
}

/// The width and height of a picture as it is shown, after its rotation.
pub fn shown_size(video: &VideoConfig) -> (u32, u32) {
    if video.rotation.is_quarter() {
        (video.height, video.width)
    } else {
        (video.width, video.height)
    }
}

const fn short_side(name: RenditionName) -> Option<u32> {
    match name {
        RenditionName::P1080 => Some(1_080),
        RenditionName::P720 => Some(720),
        RenditionName::P480 => Some(480),
        RenditionName::P240 => Some(240),
        RenditionName::Source | RenditionName::Audio => None,
    }
}

fn scaled(side: u32, lines: u32, short: u32) -> u32 {
    let exact_halves =
        (u64::from(side) * u64::from(lines) + u64::from(short)) / (2 * u64::from(short));
    u32::try_from(exact_halves * 2).unwrap_or(u32::MAX).max(2)
}

/// What a picture is taken to last where the source does not say.
const USUAL_FRAME: Duration = Duration::from_nanos(33_333_333);

/// Levels with the macroblocks a second and a picture that they allow (ITU-T H.264, table A-1).
const LEVELS: [(u8, u64, u64); 9] = [
    (21, 19_800, 792),
    (30, 40_500, 1_620),
    (31, 108_000, 3_600),
    (32, 216_000, 5_120),
    (40, 245_760, 8_192),
    (42, 522_240, 8_704),
    (50, 589_824, 22_080),
    (51, 983_040, 36_864),
    (52, 2_073_600, 36_864),
];

/// The least level for a picture size and rate; a rate that is not known counts as 60 a second.
fn level(width: u32, height: u32, frame_duration: Option<Duration>) -> u8 {
    let macroblocks = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
    let nanos = frame_duration.map_or(16_666_667, Duration::as_nanos).max(1);
    // To the nearest: whole nanoseconds make 30 pictures a second a trifle more than 30.
    let per_second = (macroblocks.saturating_mul(1_000_000_000) + nanos / 2) / nanos;
    let fits = |&&(_, rate, size): &&(u8, u64, u64)| per_second <= rate && macroblocks <= size;
    LEVELS.iter().find(fits).map_or(52, |(level, ..)| *level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media::{Rotation, VideoCodec};

    fn source(width: u32, height: u32) -> VideoConfig {
        VideoConfig {
            codec: VideoCodec::H264,
            width,
            height,
            frame_duration: None,
            decoder_config: Bytes::new(),
            codec_string: String::new(),
            rotation: Rotation::None,
            reorder_frames: None,
            scan: media::Scan::Progressive,
        }
    }

    fn check(width: u32, height: u32, expect: &str) {
        let rungs = Ladder::default().rungs(&source(width, height));
        let text: Vec<_> = rungs
            .iter()
            .map(|rung| format!("{} {}x{}", rung.name, rung.width, rung.height))
            .collect();
        assert_eq!(text.join(", "), expect, "{width}x{height}");
    }

    #[test]
    fn a_repaired_source_keeps_its_size_to_the_nearest_even_pixel() {
        let repaired = |width, height, fps: u64| {
            let rung = Rung::repaired(&VideoConfig {
                frame_duration: Some(Duration::from_nanos(1_000_000_000 / fps)),
                ..source(width, height)
            });
            (rung.width, rung.height, rung.bitrate_bps / 1_000)
        };
        assert_eq!(repaired(1280, 720, 25), (1280, 720, 2_304));
        assert_eq!(repaired(853, 480, 25), (854, 480, 1_024));
        assert_eq!(repaired(480, 853, 25), (480, 854, 1_024));
        assert_eq!(repaired(1, 1, 25), (2, 2, 500));
        assert_eq!(repaired(7680, 4320, 50), (7680, 4320, 20_000));
    }

    #[test]
    fn rungs_stand_below_the_source_and_never_upscale() {
        check(1920, 1080, "720p 1280x720, 480p 854x480, 240p 426x240");
        check(1280, 720, "480p 854x480, 240p 426x240");
        check(640, 360, "240p 426x240");
        check(426, 240, "");
        check(1, 1, "");
    }

    #[test]
    fn a_portrait_picture_is_measured_by_its_short_side() {
        check(720, 1280, "480p 480x854, 240p 240x426");
        check(1080, 1920, "720p 720x1280, 480p 480x854, 240p 240x426");
    }

    #[test]
    fn odd_and_extreme_shapes_give_even_sizes() {
        check(853, 480, "240p 426x240");
        check(
            7680,
            4320,
            "1080p 1920x1080, 720p 1280x720, 480p 854x480, 240p 426x240",
        );
        check(16_384, 482, "480p 16316x480, 240p 8158x240");
        check(1000, 241, "240p 996x240");
    }

    #[test]
    fn the_codec_string_is_known_before_the_first_picture() {
        let at = |fps: u64| Some(Duration::from_nanos(1_000_000_000 / fps));
        assert_eq!(level(426, 240, at(30)), 21);
        assert_eq!(level(854, 480, at(30)), 31);
        assert_eq!(level(1280, 720, at(30)), 31);
        assert_eq!(level(1280, 720, at(60)), 32);
        assert_eq!(level(1920, 1080, at(30)), 40);
        assert_eq!(level(1920, 1080, None), 42);
        assert_eq!(level(16_316, 480, at(30)), 51);
        let rung = Rung {
            name: RenditionName::P480,
            width: 854,
            height: 480,
            bitrate_bps: 1,
            level: 31,
        };
        assert_eq!(rung.codec_string(), "avc1.64001f");
    }
}
