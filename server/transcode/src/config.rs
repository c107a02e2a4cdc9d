//! What an operator may set of the transcoder.
//!
//! In → Out: values from `nearcast.toml` → plans, command lines, supervision.
//! Spec: none; our own.

use std::path::PathBuf;
use std::time::Duration;

use hls::ladder::Ladder;

/// When rungs are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A rung runs while somebody watches it, and for [`Config::idle`] after that.
    #[default]
    OnDemand,
    /// Every rung below the source runs all the time.
    Always,
    /// No rung ever runs; there is `source` and `audio` only.
    Never,
}

/// What becomes of a source that players cannot take as it is, or not soon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourcePolicy {
    /// It is passed on untouched; the publisher is advised.
    #[default]
    Pass,
    /// It is encoded anew, in its own size.
    Repair,
}

/// Settings of every broadcast's transcoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// When rungs are encoded.
    pub mode: Mode,
    /// What becomes of a source that players cannot take as it is.
    pub source: SourcePolicy,
    /// Whether pictures of key frames are made for whoever asks.
    pub pictures: bool,
    /// Which rungs there are.
    pub ladder: Ladder,
    /// The ffmpeg to run, 5.1 or later: a path, or a name that is looked up in `PATH`.
    pub ffmpeg: PathBuf,
    /// ffmpeg's name of the H.264 encoder.
    pub encoder: String,
    /// The encoder's own options; the default fits `libx264`.
    pub encoder_options: Vec<String>,
    /// How long a rung goes on that nobody asks for.
    pub idle: Duration,
    /// How many attempts a rung has within [`Config::attempts_window`] before it is given up.
    pub attempts_max: u32,
    /// The span over which attempts are counted.
    pub attempts_window: Duration,
    /// How long an encoder may be fed without an answer before it counts as hung; pauses of the publisher do not count.
    pub hung_after: Duration,
    /// Backlog of media at which an encoder counts as too slow.
    pub lag_max: Duration,
    /// How long the last pictures of a session are waited for.
    pub flush: Duration,
    /// How long the backlog may last before an encoder is given up as too slow.
    pub lag_patience: Duration,
    /// Pictures that may wait for an encoder that has not read them; more are left out up to the next key frame.
    pub waiting_max: usize,
    /// Address space that an encoder process may use, in bytes.
    pub memory_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        // A constant quality under the rung's bitrate: a calm picture costs what it needs, not what it may.
        let options = "-preset superfast -tune zerolatency -crf 23";
        Self {
            mode: Mode::default(),
            source: SourcePolicy::default(),
            pictures: true,
            ladder: Ladder::default(),
            ffmpeg: "ffmpeg".into(),
            encoder: "libx264".into(),
            encoder_options: options.split(' ').map(str::to_owned).collect(),
            idle: Duration::from_mins(1),
            attempts_max: 3,
            attempts_window: Duration::from_mins(1),
            hung_after: Duration::from_millis(1_500),
            lag_max: Duration::from_secs(2),
            flush: Duration::from_millis(500),
            lag_patience: Duration::from_secs(3),
            waiting_max: 128,
            memory_max: 2 << 30,
        }
    }
}
