//! The test picture and its sound: what `nearcast publish --pattern` feeds to an encoder.
//!
//! In → Out: frame index, wall clock → raw pictures with the clock painted in; sample index → PCM; both → one Matroska stream.
//! Sound and picture share one media time: frame 0 and sample 0 are the same instant.
//! Spec: docs/clock-strip.md (what a reader of the picture may rely on).

pub mod font;
pub mod matroska;
pub mod picture;
pub mod strip;
pub mod tone;

pub use matroska::Matroska;
pub use picture::{FrameRate, Picture, Size};
pub use tone::Tone;
