//! FLV tag bodies, as RTMP carries them.
//!
//! In → Out: see [`demux`].
//! Spec: Adobe Flash Video File Format 10.1, annex E; Enhanced RTMP v2.

pub mod demux;
