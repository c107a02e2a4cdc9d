//! The vocabulary of the media path. Every format and protocol maps to these types or from them, and to nothing else.
//!
//! In → Out: nothing is read or written here; these are the values that flow: [`Event`] from ingest to packager.
//! Spec: ISO/IEC 14496-12 (sample-level words), RFC 6381 (codec strings).

mod access_unit;
mod codec;
mod event;
mod ids;
mod time;
mod track;

pub use access_unit::AccessUnit;
pub use codec::{AudioCodec, AudioConfig, Rotation, Scan, VideoCodec, VideoConfig};
pub use event::{DiscontinuityReason, EndReason, Event, Feedback};
pub use ids::{BroadcastId, Epoch, IdError, Msn, RenditionName, SegmentId};
pub use time::{Delta, Duration, Rounding, Timescale, Timestamp, UnixTime};
pub use track::{Track, TrackConfig, TrackId, TrackKind};
