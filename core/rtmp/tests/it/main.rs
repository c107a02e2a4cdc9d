//! The session machine and the publisher machine, talking to each other and to worse.
//!
//! In → Out: messages and bytes → events, replies and refusals.
//! Spec: the case catalogue (ING-…).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod properties;
mod session;
