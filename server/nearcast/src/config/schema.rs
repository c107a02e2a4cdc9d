//! What can be configured, with the built-in values. The file `nearcast.toml` says the same with comments.
//!
//! In → Out: deserialised settings ↔ typed settings that `serve` hands to each stage.
//! Spec: none; our own.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use control::Policy;
use origin::{PipelineConfig, Settings};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::stages::{Delivery, Ingest, Interaction, Packager, Transcode, Window};
use super::units::Time;

/// All settings.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Whether any name from loopback may publish without a key.
    pub(crate) dev: bool,
    /// Plain HTTP.
    pub(crate) http: Listen,
    /// HTTP over TLS.
    pub(crate) https: Listen,
    /// PEM file with the certificate chain; empty for none.
    pub(crate) tls_cert: PathBuf,
    /// PEM file with the private key; empty for none.
    pub(crate) tls_key: PathBuf,
    /// RTMP.
    pub(crate) rtmp: Listen,
    /// Where the database and the admin token are.
    pub(crate) data: PathBuf,
    /// Logging.
    pub(crate) log: Log,
    /// Lives of broadcasts.
    pub(crate) broadcast: Broadcast,
    /// Limits of publishers.
    pub(crate) ingest: Ingest,
    /// Which rungs are made.
    pub(crate) transcode: Transcode,
    /// How media is cut.
    pub(crate) packager: Packager,
    /// How much is kept for viewers.
    pub(crate) window: Window,
    /// Limits of viewers.
    pub(crate) delivery: Delivery,
    /// Hearts and comments.
    pub(crate) interaction: Interaction,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dev: false,
            http: Listen::At(SocketAddr::from(([0, 0, 0, 0], 8080))),
            https: Listen::Off,
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            rtmp: Listen::At(SocketAddr::from(([0, 0, 0, 0], 1935))),
            data: PathBuf::from("./nearcast-data"),
            log: Log::default(),
            broadcast: Broadcast::default(),
            ingest: Ingest::default(),
            transcode: Transcode::default(),
            packager: Packager::default(),
            window: Window::default(),
            delivery: Delivery::default(),
            interaction: Interaction::default(),
        }
    }
}

impl Config {
    /// What the types cannot say: settings that only make sense together.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let has_pair =
            !self.tls_cert.as_os_str().is_empty() && !self.tls_key.as_os_str().is_empty();
        anyhow::ensure!(
            self.https == Listen::Off || has_pair,
            "`https` is on, so it needs a certificate: set tls_cert and tls_key (--tls-cert FILE --tls-key FILE)"
        );
        anyhow::ensure!(
            self.http != Listen::Off || self.https != Listen::Off,
            "`http` and `https` are both off: nobody could watch"
        );
        anyhow::ensure!(
            self.broadcast.count_max > 0,
            "`broadcast.count_max` is 0: nobody could publish"
        );
        // The ledger notes numbers every two seconds; a broadcast has to be there to be noted.
        anyhow::ensure!(
            self.broadcast.ended_grace >= Time::secs(5),
            "`broadcast.ended_grace` has to be at least 5s"
        );
        self.packager.check()
    }

    /// What the registry may be told at any time.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            reconnect_window: self.broadcast.reconnect_window.0,
            ended_grace: self.broadcast.ended_grace.0,
            count_max: self.broadcast.count_max,
            pipeline: PipelineConfig {
                packager: self.packager.to_config(),
                window: self.window.to_config(&self.packager),
                transcode: self.transcode.to_config(),
            },
        }
    }

    /// Who may publish.
    pub(crate) fn policy(&self) -> Policy {
        if self.dev { Policy::Dev } else { Policy::Keys }
    }

    /// Keys whose change since `old` a running server cannot follow.
    pub(crate) fn needs_restart(&self, old: &Self) -> Vec<&'static str> {
        let changed = [
            ("http", self.http != old.http),
            ("https", self.https != old.https),
            ("rtmp", self.rtmp != old.rtmp),
            ("data", self.data != old.data),
            ("log.format", self.log.format != old.log.format),
            ("ingest", self.ingest != old.ingest),
            ("transcode", self.transcode != old.transcode),
            ("delivery", self.delivery != old.delivery),
            ("interaction", self.interaction != old.interaction),
        ];
        changed
            .into_iter()
            .filter(|(_, changed)| *changed)
            .map(|(key, _)| key)
            .collect()
    }
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// What is logged, as `tracing` filters are written.
    pub(crate) filter: String,
    /// How a line looks.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Lives of broadcasts.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Broadcast {
    /// How long a broadcast waits for its publisher to come back.
    pub(crate) reconnect_window: Time,
    /// How long the playlists of an ended broadcast stay readable.
    pub(crate) ended_grace: Time,
    /// At shutdown: how long playlists can be read that say a broadcast has ended.
    pub(crate) farewell: Time,
    /// How many broadcasts may exist at once.
    pub(crate) count_max: usize,
}

impl Default for Broadcast {
    fn default() -> Self {
        Self {
            reconnect_window: Time::secs(30),
            ended_grace: Time::secs(60),
            farewell: Time::secs(1),
            count_max: 1_000,
        }
    }
}

/// Where to listen, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Not at all.
    Off,
    /// At this address.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| format!("`{text}` is neither an address with a port, such as 0.0.0.0:8080 or [::]:8080, nor \"off\""))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
