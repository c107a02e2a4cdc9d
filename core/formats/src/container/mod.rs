//! Containers. One folder a container, with `demux.rs` (bytes → media) and `mux.rs` (media → bytes) where both exist.
//!
//! In → Out: container bytes ↔ [`media`] values.
//! Spec: named in each file.

pub mod flv;
pub mod fmp4;
pub mod mpegts;
