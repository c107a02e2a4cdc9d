//! Rooms behind the real HTTP server: requests up, growing `ix` segments down, sockets beside them.
//!
//! In → Out: requests over loopback → lines read from segments, files below a temporary data directory.
//! Spec: docs/ix.md; cases IX-05, 07, 10, 16, 21.

#![expect(clippy::unwrap_used, reason = "tests")]

mod rig;
mod rooms;
