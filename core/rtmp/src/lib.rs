//! RTMP as a state machine without I/O: what a server says to a publisher, and what a publisher says to a server.
//! The caller moves bytes between the machine and a socket, and tells it what time it is.
//!
//! In → Out: [`Session`]: bytes from a publisher → bytes to send and [`Event`]s with FLV tag bodies; [`Publisher`]: the
//! other end, for test equipment. Neither knows what is inside a tag body.
//! Spec: Adobe RTMP 1.0; AMF 0; Enhanced RTMP v2 (the connect command's capabilities).

pub mod amf0;
pub mod chunk;
mod client;
mod command;
mod handshake;
mod session;

pub use client::{Publisher, PublisherConfig, PublisherError, PublisherEvent};
pub use command::StatusCode;
pub use handshake::HandshakeError;
pub use session::{Config, Error, Event, Media, Publish, Session, Timeout};
