//! Test equipment without I/O: everything that a test, a bench or a command-line viewer needs and that can be pure.
//!
//! In → Out: bytes and times enter and leave by value; sockets and clocks belong to the caller.
//! Spec: none; our own.

pub mod http1;
pub mod link;
pub mod pattern;
pub mod rng;
pub mod room_sim;
pub mod simulation;
pub mod synthetic;
pub mod viewer;
