//! Viewers and publishers over real sockets: one for `nearcast watch`, thousands for load and benches.
//!
//! In → Out: a server's address → what its viewers get, in numbers.
//! The protocol machines are `testkit`'s and `rtmp`'s; this crate moves their bytes and reads the clock.
//! Spec: none; our own.

use std::io::Write;

pub mod churn;
pub mod clock;
pub mod fanout;
pub mod floor;
pub mod light;
pub mod probe;
pub mod process;
pub mod publish;
pub mod report;
pub mod room;
pub mod server;
pub mod swarm;
pub mod target;
pub mod transcode;
pub mod viewers;
pub mod watch;

/// Progress, for people.
pub fn note(text: &str) {
    // A closed standard error is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Results.
pub fn print(text: &str) {
    // A reader that has left wants no more.
    let _ = writeln!(std::io::stdout(), "{text}");
}
