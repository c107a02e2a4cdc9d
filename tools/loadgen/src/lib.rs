//! Viewers and publishers over real sockets: one for `nearcast watch`, thousands for load and benches.
//!
//! In → Out: a server's address → what its viewers get, in numbers.
//! The protocol machines are `testkit`'s and `rtmp`'s; this crate moves their bytes and reads the clock.
//! Spec: none; our own.

pub mod clock;
pub mod light;
pub mod probe;
pub mod publish;
pub mod report;
pub mod swarm;
pub mod target;
pub mod watch;
