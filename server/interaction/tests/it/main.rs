//! Rooms behind the real HTTP server: requests up, growing `ix` segments down, sockets beside them.
//!
//! In → Out: requests over loopback → lines read from segments, files below a temporary data directory.
//! Spec: docs/ix.md; cases IX-03, 05, 07, 09, 10, 14, 16, 18, 21.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cases;
mod rig;
mod rooms;
