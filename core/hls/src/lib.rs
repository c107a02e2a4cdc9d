//! Packaging and playlists: one rendition's access units become growing segments, chunks and parts, and the text that
//! announces them to LHLS, LL-HLS and plain HLS players.
//!
//! In → Out: [`media::Event`]s → [`Packager`] → [`Output`]s → [`Window`] → [`Snapshot`] → playlists, reload decisions.
//! Numbers never go back: a media sequence number, an epoch, a program date-time, a discontinuity sequence.
//!
//! Spec: RFC 8216bis (draft 22); community LHLS (`EXT-X-PREFETCH`); ISO/IEC 23000-19 (CMAF) for the chunks.

mod output;
mod packager;
mod part;
pub mod playlist;
pub mod prefetch;
pub mod reload;
mod segment;
mod snapshot;
mod timeline;
mod window;

pub use output::{Cut, Output, Start};
pub use packager::{Boundaries, Packager, PackagerConfig, Selection, TsForm};
pub use part::Part;
pub use segment::Segment;
pub use snapshot::{Bitrate, Snapshot, State};
pub use window::{Window, WindowConfig};
pub mod ladder;
