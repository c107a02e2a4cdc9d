//! Settings of the stages of the media path, each next to its conversion into what the stage takes.
//!
//! In → Out: `[ingest]`, `[transcode]`, `[packager]`, `[window]`, `[delivery]` of the file → the stages' own configurations, whose
//! defaults are also the defaults here: nothing is written down twice except in `nearcast.toml`, and that is tested.
//! Spec: none; our own.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use delivery::{HttpConfig, TrustedProxies};
use hls::ladder::{Ladder, LadderLine};
use hls::{PackagerConfig, TsForm, WindowConfig};
use ingest::{Pictures, RtmpConfig};
use media::RenditionName;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use transcode::{Mode, SourcePolicy};

use super::units::{Size, Time};

/// Limits of publishers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ingest {
    connections_max: usize,
    handshake_timeout: Time,
    silence_timeout: Time,
    bitrate_max_bps: u64,
    burst_max: Size,
    message_max: Size,
}

impl Default for Ingest {
    fn default() -> Self {
        let RtmpConfig {
            connections_max,
            handshake_timeout,
            silence_timeout,
            bitrate_max_bps,
            burst_max_bytes,
            message_max_bytes,
            pictures: _,
        } = RtmpConfig::default();
        Self {
            connections_max,
            handshake_timeout: Time(handshake_timeout),
            silence_timeout: Time(silence_timeout),
            bitrate_max_bps,
            burst_max: Size(burst_max_bytes),
            message_max: Size(message_max_bytes as u64),
        }
    }
}

impl Ingest {
    pub(crate) fn to_rtmp(&self, pictures: Pictures) -> RtmpConfig {
        RtmpConfig {
            connections_max: self.connections_max,
            handshake_timeout: self.handshake_timeout.0,
            silence_timeout: self.silence_timeout.0,
            bitrate_max_bps: self.bitrate_max_bps,
            burst_max_bytes: self.burst_max.0,
            message_max_bytes: usize::try_from(self.message_max.0).unwrap_or(usize::MAX),
            pictures,
        }
    }
}

/// Which rungs are made of `source`, and when.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Transcode {
    mode: When,
    source: SourceChoice,
    pictures: bool,
    bitrate_1080p_bps: u32,
    bitrate_720p_bps: u32,
    bitrate_480p_bps: u32,
    bitrate_240p_bps: u32,
    idle: Time,
    ffmpeg: PathBuf,
    encoder: String,
    encoder_options: String,
    memory_max: Size,
}

/// When rungs are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum When {
    OnDemand,
    Always,
    Never,
}

/// What becomes of a picture that players cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum SourceChoice {
    Pass,
    Repair,
}

impl Default for Transcode {
    fn default() -> Self {
        let config = transcode::Config::default();
        let bitrate = |name| {
            let mut lines = config.ladder.0.iter();
            lines
                .find(|line| line.name == name)
                .map_or(0, |line| line.bitrate_bps)
        };
        Self {
            mode: match config.mode {
                Mode::OnDemand => When::OnDemand,
                Mode::Always => When::Always,
                Mode::Never => When::Never,
            },
            source: match config.source {
                SourcePolicy::Pass => SourceChoice::Pass,
                SourcePolicy::Repair => SourceChoice::Repair,
            },
            pictures: config.pictures,
            bitrate_1080p_bps: bitrate(RenditionName::P1080),
            bitrate_720p_bps: bitrate(RenditionName::P720),
            bitrate_480p_bps: bitrate(RenditionName::P480),
            bitrate_240p_bps: bitrate(RenditionName::P240),
            idle: Time(config.idle),
            encoder_options: config.encoder_options.join(" "),
            memory_max: Size(config.memory_max),
            ffmpeg: config.ffmpeg,
            encoder: config.encoder,
        }
    }
}

impl Transcode {
    /// No rungs, no repair and no pictures: for a machine whose ffmpeg is not usable.
    pub(crate) fn disable(&mut self) {
        self.mode = When::Never;
        self.source = SourceChoice::Pass;
        self.pictures = false;
    }

    /// Without an encoder what browsers cannot decode is of no use to anybody.
    pub(crate) fn pictures_taken(&self) -> Pictures {
        if self.mode == When::Never && self.source == SourceChoice::Pass {
            Pictures::ForBrowsers
        } else {
            Pictures::All
        }
    }

    pub(crate) fn to_config(&self) -> transcode::Config {
        let lines = [
            (RenditionName::P1080, self.bitrate_1080p_bps),
            (RenditionName::P720, self.bitrate_720p_bps),
            (RenditionName::P480, self.bitrate_480p_bps),
            (RenditionName::P240, self.bitrate_240p_bps),
        ];
        let lines = lines
            .into_iter()
            .filter(|(_, bitrate_bps)| *bitrate_bps > 0);
        let options = self.encoder_options.split_whitespace();
        transcode::Config {
            mode: match self.mode {
                When::OnDemand => Mode::OnDemand,
                When::Always => Mode::Always,
                When::Never => Mode::Never,
            },
            source: match self.source {
                SourceChoice::Pass => SourcePolicy::Pass,
                SourceChoice::Repair => SourcePolicy::Repair,
            },
            pictures: self.pictures,
            ladder: Ladder(
                lines
                    .map(|(name, bitrate_bps)| LadderLine { name, bitrate_bps })
                    .collect(),
            ),
            ffmpeg: self.ffmpeg.clone(),
            encoder: self.encoder.clone(),
            encoder_options: options.map(str::to_owned).collect(),
            idle: self.idle.0,
            memory_max: self.memory_max.0,
            ..transcode::Config::default()
        }
    }
}

/// How media is cut.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Packager {
    segment_target: Time,
    segment_max: Time,
    segment_size_max: Size,
    chunk: Chunk,
    part_target: Time,
    ts: bool,
}

impl Default for Packager {
    fn default() -> Self {
        let config = PackagerConfig::default();
        Self {
            segment_target: Time(config.segment_target.into()),
            segment_max: Time(config.segment_max.into()),
            segment_size_max: Size(config.segment_bytes_max as u64),
            chunk: config
                .chunk
                .map_or(Chunk::Picture, |length| Chunk::Length(Time(length.into()))),
            part_target: Time(config.part_target.into()),
            ts: config.ts == TsForm::Made,
        }
    }
}

impl Packager {
    pub(crate) fn to_config(&self) -> PackagerConfig {
        PackagerConfig {
            ts: if self.ts {
                TsForm::Made
            } else {
                TsForm::Omitted
            },
            segment_target: self.segment_target.0.into(),
            segment_max: self.segment_max.0.into(),
            segment_bytes_max: usize::try_from(self.segment_size_max.0).unwrap_or(usize::MAX),
            chunk: match self.chunk {
                Chunk::Picture => None,
                Chunk::Length(length) => Some(length.0.into()),
            },
            part_target: self.part_target.0.into(),
            ..PackagerConfig::default()
        }
    }

    /// What no value may break: a length of nothing cuts nowhere.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let lengths = [
            ("segment_target", self.segment_target),
            ("part_target", self.part_target),
        ];
        for (key, Time(length)) in lengths {
            anyhow::ensure!(
                (SHORTEST..=LONGEST).contains(&length),
                "`packager.{key}` is {length:?}: it has to be between {SHORTEST:?} and {LONGEST:?}"
            );
        }
        anyhow::ensure!(
            self.part_target <= self.segment_target,
            "`packager.part_target` is longer than `packager.segment_target`"
        );
        anyhow::ensure!(
            self.segment_target <= self.segment_max,
            "`packager.segment_target` is longer than `packager.segment_max`"
        );
        Ok(())
    }
}

const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_mins(1);

/// Hearts and comments.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Interaction {
    enabled: bool,
    token_life: Time,
    keep: Time,
    comments_per_second: u32,
    posts_per_second: u32,
    jury: bool,
    words: PathBuf,
    identity_key: PathBuf,
    identity_audience: String,
    identity_required: bool,
    review_url: String,
    review_timeout: Time,
    review_fallback: Fallback,
}

/// What happens to a comment that nobody reviewed in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Fallback {
    Allow,
    Deny,
}

impl Default for Interaction {
    fn default() -> Self {
        let policy = room::Policy::default();
        Self {
            enabled: true,
            token_life: Time::secs(86_400),
            keep: Time(Duration::from_hours(720)),
            comments_per_second: policy.shown.per_second,
            posts_per_second: policy.posts_per_second,
            jury: policy.jury.enabled,
            words: PathBuf::new(),
            identity_key: PathBuf::new(),
            identity_audience: String::new(),
            identity_required: false,
            review_url: String::new(),
            review_timeout: Time(Duration::from_millis(200)),
            review_fallback: Fallback::Allow,
        }
    }
}

impl Interaction {
    /// What rooms are made with; `None` if there are to be none. Reads the word list.
    pub(crate) fn to_config(&self, data: &Path) -> anyhow::Result<Option<interaction::Config>> {
        if !self.enabled {
            return Ok(None);
        }
        let mut config = interaction::Config::new(data.to_owned());
        config.token_life = self.token_life.0;
        config.keep = Some(self.keep.0).filter(|keep| !keep.is_zero());
        let shown = self.comments_per_second.clamp(1, 50);
        config.policy.shown = room::Rate::new(shown, shown.saturating_add(2));
        config.policy.posts_per_second = self.posts_per_second.max(1);
        config.policy.jury.enabled = self.jury;
        if !self.words.as_os_str().is_empty() {
            let words = std::fs::read_to_string(&self.words).with_context(|| {
                format!("the word list {} cannot be read", self.words.display())
            })?;
            config.policy.words = room::WordList::new(words.lines());
        }
        config.identity = self.identity()?;
        if !self.review_url.is_empty() {
            let url: http::Uri = self.review_url.parse().context("interaction.review_url")?;
            anyhow::ensure!(
                url.scheme_str() == Some("http"),
                "interaction.review_url must begin with http:// (put a TLS proxy on this machine if the hook is far away)"
            );
            config.review_url = Some(url);
            config.policy.review = Some(room::Review {
                time: self.review_timeout.0.into(),
                fallback: match self.review_fallback {
                    Fallback::Allow => room::Fallback::Allow,
                    Fallback::Deny => room::Fallback::Deny,
                },
            });
        }
        Ok(Some(config))
    }

    /// Reads the key of the operator's own tokens.
    fn identity(&self) -> anyhow::Result<Option<interaction::Identity>> {
        if self.identity_key.as_os_str().is_empty() {
            anyhow::ensure!(
                !self.identity_required,
                "interaction.identity_required needs interaction.identity_key"
            );
            return Ok(None);
        }
        let path = self.identity_key.display();
        let key = std::fs::read(&self.identity_key)
            .with_context(|| format!("the identity key {path} cannot be read"))?;
        let audience = Some(self.identity_audience.as_str()).filter(|text| !text.is_empty());
        interaction::Identity::parse(&key, audience, self.identity_required)
            .with_context(|| format!("the identity key {path}"))
            .map(Some)
    }
}

/// How long a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// One picture, where overhead allows.
    Picture,
    /// About this long: fewer writes, more delay.
    Length(Time),
}

impl Serialize for Chunk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Picture => serializer.serialize_str("picture"),
            Self::Length(length) => length.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Chunk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "picture" {
            return Ok(Self::Picture);
        }
        Time::from_str(&text)
            .map(Self::Length)
            .map_err(|error| serde::de::Error::custom(format!("{error}, nor \"picture\"")))
    }
}

/// How much is kept for viewers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Window {
    length: Time,
    segments_max: usize,
    size_max: Size,
    linger: Time,
}

impl Default for Window {
    fn default() -> Self {
        let config = WindowConfig::default();
        Self {
            length: Time(config.length.into()),
            segments_max: config.segments_max,
            size_max: Size(config.bytes_max),
            linger: Time(config.linger.into()),
        }
    }
}

impl Window {
    pub(crate) fn to_config(&self, packager: &Packager) -> WindowConfig {
        WindowConfig {
            length: self.length.0.into(),
            segments_max: self.segments_max,
            bytes_max: self.size_max.0,
            linger: self.linger.0.into(),
            segment_target: packager.segment_target.0.into(),
            part_target: packager.part_target.0.into(),
        }
    }
}

/// Limits of viewers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Delivery {
    connections_max: usize,
    head_timeout: Time,
    idle_timeout: Time,
    keep_alive: Time,
    head_size_max: Size,
    body_buffered: Size,
    behind_max: Time,
    rate_min: Size,
    rate_grace: Time,
    shards: usize,
    unsent_max: Size,
    congestion: String,
    drain: Time,
    trusted_proxies: String,
}

impl Default for Delivery {
    fn default() -> Self {
        let config = HttpConfig::default();
        Self {
            connections_max: config.connections_max.unwrap_or(0),
            head_timeout: Time(config.head_timeout),
            idle_timeout: Time(config.idle_timeout),
            keep_alive: Time(config.keep_alive),
            head_size_max: Size(config.head_bytes_max as u64),
            body_buffered: Size(config.body_bytes_buffered as u64),
            behind_max: Time(config.behind_max),
            rate_min: Size(config.rate_min),
            rate_grace: Time(config.rate_grace),
            shards: config.shards.unwrap_or(0),
            unsent_max: Size(u64::from(config.unsent_max)),
            congestion: config.congestion.unwrap_or_default(),
            drain: Time(config.drain),
            trusted_proxies: config.trusted_proxies.to_string(),
        }
    }
}

impl Delivery {
    pub(crate) fn to_http(&self) -> anyhow::Result<HttpConfig> {
        let proxies = self.trusted_proxies.split(',').map(str::trim);
        let proxies = proxies.filter(|text| !text.is_empty());
        let trusted_proxies = TrustedProxies::parse(proxies).map_err(|text| {
            anyhow::anyhow!("delivery.trusted_proxies: '{text}' is neither an address nor a network such as 10.0.0.0/8")
        })?;
        let bytes = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        Ok(HttpConfig {
            connections_max: Some(self.connections_max).filter(|count| *count > 0),
            head_timeout: self.head_timeout.0,
            idle_timeout: self.idle_timeout.0,
            keep_alive: self.keep_alive.0,
            head_bytes_max: bytes(self.head_size_max),
            body_bytes_buffered: bytes(self.body_buffered),
            behind_max: self.behind_max.0,
            rate_min: self.rate_min.0,
            rate_grace: self.rate_grace.0,
            shards: Some(self.shards).filter(|count| *count > 0),
            unsent_max: u32::try_from(self.unsent_max.0).unwrap_or(u32::MAX),
            congestion: Some(self.congestion.clone()).filter(|name| !name.is_empty()),
            drain: self.drain.0,
            trusted_proxies,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_get_their_own_defaults_back() {
        assert_eq!(
            Ingest::default().to_rtmp(Pictures::All),
            RtmpConfig::default()
        );
        assert_eq!(Packager::default().to_config(), PackagerConfig::default());
        assert_eq!(
            Window::default().to_config(&Packager::default()),
            WindowConfig::default()
        );
        assert_eq!(
            format!("{:?}", Delivery::default().to_http().unwrap()),
            format!("{:?}", HttpConfig::default())
        );
    }

    #[test]
    fn a_chunk_is_a_picture_or_a_length() {
        let chunk = |text: &str| {
            toml::from_str::<Packager>(&format!("chunk = \"{text}\""))
                .map(|packager| packager.chunk)
        };
        assert_eq!(chunk("picture").unwrap(), Chunk::Picture);
        assert_eq!(chunk("100ms").unwrap(), Chunk::Length(Time::millis(100)));
        assert!(
            chunk("frame")
                .unwrap_err()
                .message()
                .contains("\"picture\"")
        );
    }
}
