//! FLV tag bodies, as RTMP carries them, and whole FLV streams, as encoder processes speak them.
//!
//! In → Out: see the modules.
//! Spec: Adobe Flash Video File Format 10.1, annex E; Enhanced RTMP v2.

pub mod demux;
pub mod file;
pub mod mux;
