//! HTTP out: playlists, parts and growing segments for any number of viewers.
//!
//! In → Out: packager outputs, applied to a [`LiveWriter`] by the broadcast's task → [`Live`], which readers look objects up in
//! → [`spawn_http`], which serves them. One writer, readers without locks, sockets in fan-out shards.
//! Spec: design "The wire"; RFC 9110, RFC 9112, RFC 9113; RFC 8216bis, "Server Delivery" (6.2).

mod body;
mod bridge;
mod connection;
mod gallery;
mod growing;
mod guard;
mod head;
mod hint;
mod interaction;
mod live;
mod metrics;
mod pace;
mod playlist;
mod proxy;
mod range;
mod respond;
mod route;
mod server;
mod shard;
mod socket;
mod track;

pub use gallery::{Gallery, PictureKind};
pub use growing::{Chunk, Growing, Progress, State};
pub use interaction::InteractionWriter;
pub use live::{Live, LiveConfig, LiveWriter, RenditionView, Source};
pub use proxy::TrustedProxies;
pub use route::{Directives, Route, Target};
pub use server::{HttpConfig, spawn_http};
pub use track::{AHEAD, Entry, Lookup, TrackView};
