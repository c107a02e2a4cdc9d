//! Bytes to media and back: codec parameter sets, containers, and the one timestamp normaliser.
//!
//! In → Out: what protocols carry → [`media::Event`]s, and access units → what viewers download.
//! Spec: named in each module.

pub mod assembler;
pub mod codec;
pub mod container;
pub mod timeline;
