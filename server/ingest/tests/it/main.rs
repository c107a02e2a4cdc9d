//! The ingest server on loopback sockets: real encoders, and publishers that no one would want.
//!
//! In → Out: a listener with a test gate → the events that a broadcast would get.
//! Spec: the case catalogue (ING-…).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod encoders;
mod hostile;
mod reorder_hint;
mod stage;
