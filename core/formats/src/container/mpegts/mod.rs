//! MPEG transport streams: the same access units as 188-byte packets, as Periscope's players had them.
//!
//! In → Out: access units ↔ packets.
//! Spec: ISO/IEC 13818-1 (H.222.0); RFC 8216bis, "MPEG-2 Transport Streams".

mod crc;
pub mod demux;
pub mod mux;
