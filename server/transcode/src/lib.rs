//! The ladder: encoder processes that are started on demand, supervised and confined.
//!
//! In → Out: a broadcast's [`media::Event`]s and the rungs that viewers ask for → one line of events a rung, with the
//! source's own times and sound. Nothing of an encoder's code runs in our process.
//! Spec: design "Shape"; ffmpeg 5.1 or later as the encoder.

mod arguments;
mod child;
mod config;
mod group;
mod picture;
mod probe;
mod sandbox;
mod supervisor;
mod transcoder;
mod weave;

pub use config::{Config, Mode, SourcePolicy};
pub use picture::{PictureError, picture_of, preview_of};
pub use probe::{ProbeError, probe_ffmpeg};
pub use transcoder::{RungOutput, Transcoder, spawn_repairer, spawn_transcoder};
