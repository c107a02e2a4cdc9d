//! What a server of growing objects owes its viewers, tried over real sockets.
//!
//! In → Out: a synthetic broadcast in this process → HTTP/1.1 and HTTP/2 clients that look at every byte.
//! Tests of the catalogue of cases carry its numbers.
//! Spec: design "The wire"; RFC 9110, RFC 9112, RFC 9113; RFC 8216bis 6.2.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod app;
mod client;
mod growing;
mod hostile;
mod http2;
mod playlists;
mod property;
mod ranges;
mod stage;
