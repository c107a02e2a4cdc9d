//! Codecs: parameter sets, framing, random access. One file a codec.
//!
//! In → Out: elementary stream bytes → [`media::VideoConfig`], [`media::AudioConfig`] and access unit payloads.
//! Spec: named in each file.

pub mod aac;
mod bits;
pub mod h264;
