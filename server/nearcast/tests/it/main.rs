//! The binary as its users meet it: started with flags, published to over RTMP, watched over HTTP, stopped by signals.
//!
//! In → Out: command lines, sockets, signals → output, answers, exit codes.
//! Spec: design "Paths", "Segments"; case ING-34.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops where it is"
)]

mod end_to_end;
mod odd_sources;
mod process;
mod publisher;
mod starting;
mod stolen_cpu;
mod tls;
mod tools;
