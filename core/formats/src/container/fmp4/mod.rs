//! Fragmented MP4: init sections and chunks.
//!
//! In → Out: tracks and samples ↔ `ftyp`+`moov` and (`prft`)+`moof`+`mdat`.
//! Spec: ISO/IEC 14496-12 (boxes), 14496-14 (`mp4a`, `esds`), 14496-15 (`avc1`, `avcC`); ISO/IEC 23000-19 (CMAF).

pub mod demux;
mod init;
pub mod mux;
