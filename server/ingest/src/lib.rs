//! Publishers in: sockets to media events. One file a protocol; [`accept`] is what they share.
//!
//! In → Out: TCP connections → [`media::Event`]s on the channel that the [`Gate`] hands out.
//! Spec: none at this level.

pub mod accept;
mod metrics;
pub mod rtmp;

pub use accept::{Admission, Gate, Protocol, PublishRequest, Refusal, RefusalCode, SessionId};
pub use rtmp::{Pictures, RtmpConfig, spawn_rtmp};
