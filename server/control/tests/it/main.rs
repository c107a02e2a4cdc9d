//! The control plane from outside: publish requests at the gate, HTTP requests at real sockets, restarts in between.
//!
//! In → Out: requests → admissions, refusals, answers.
//! Spec: `openapi/v1.json`; cases ING-19, ING-21, CTL-04.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops where it is"
)]

mod api;
mod door;
mod house;
mod restart;
