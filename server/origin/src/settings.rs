//! What an operator may set of broadcasts, and how the stages of a pipeline are made of it.
//!
//! In → Out: settings → the configurations of both packagers and of the writer.
//! Spec: none; our own. `nearcast.toml` explains each.

use std::time::Duration;

use delivery::LiveConfig;
use hls::{Boundaries, PackagerConfig, Selection, Start, WindowConfig};

/// What may change while broadcasts run: they read it when they need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a broadcast waits for its publisher to come back.
    pub reconnect_window: Duration,
    /// How long the playlists of an ended broadcast stay readable.
    pub ended_grace: Duration,
    /// How many broadcasts may exist at once, ended ones in their grace included.
    pub count_max: usize,
    /// How media is packaged; broadcasts that exist keep theirs.
    pub pipeline: PipelineConfig,
}

/// How a broadcast is packaged and kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineConfig {
    /// How `source` is cut; `audio` follows it.
    pub packager: PackagerConfig,
    /// How much is kept for viewers.
    pub window: WindowConfig,
    /// Which rungs are made of `source`, and how.
    pub transcode: transcode::Config,
}

impl PipelineConfig {
    /// The sound's packager: the same lengths, but the picture's boundaries.
    pub(crate) fn audio(&self) -> PackagerConfig {
        PackagerConfig {
            selection: Selection::AudioOnly,
            boundaries: Boundaries::Follow,
            ..self.packager.clone()
        }
    }

    /// What viewers are kept, from the first segment on.
    pub(crate) fn live(&self, start: Start) -> LiveConfig {
        LiveConfig {
            window: self.window.clone(),
            start,
        }
    }
}
