//! The rooms of live broadcasts: hearts and comments come up as requests, beats go out as a track of growing objects.
//!
//! In → Out: `POST …/ix`, sockets of broadcasters and moderators → [`room::Room`], one task each → lines that `delivery`
//! serves beside the media, and that are stored as they are written.
//! Media never waits for any of this: rooms follow what the broadcast publishes and hold nothing that it needs.
//! Spec: docs/ix.md; design "The room".

mod api;
mod collector;
mod identity;
mod ix;
mod review;
mod room_task;
mod rooms;
mod socket;
mod store;
mod token;

pub use api::router;
pub use collector::prefix_of;
pub use identity::Identity;
pub use rooms::{Config, OnAir, Rooms};
