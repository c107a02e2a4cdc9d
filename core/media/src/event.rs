//! The one thing that flows from a publisher to a packager, and the one thing that flows back.
//!
//! In → Out: ingest and transcode emit [`Event`]s in decode order over a bounded channel; [`Feedback`] goes upstream.
//! Spec: none; our own.

use crate::{AccessUnit, Track};

/// What happens in a publisher's session, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The complete set of tracks from here on. Comes before the first unit, and again whenever a configuration or the
    /// set changes. Ends the current segment; the next begins with a new init section at a random access point.
    Tracks(Vec<Track>),
    /// One access unit of a track in the latest set.
    Unit(AccessUnit),
    /// The publisher's clock or content jumped; what follows is not continuous with what came before.
    Discontinuity(DiscontinuityReason),
    /// The session is over; nothing follows.
    End(EndReason),
}

/// Why media time is not continuous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscontinuityReason {
    /// Timestamps went back by more than reordering explains.
    Backwards,
    /// Timestamps leapt ahead by more than the wall clock did.
    Jump,
    /// Nothing was sent for a while.
    Gap,
}

/// Why a publisher's session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The publisher said goodbye.
    Finished,
    /// The connection was lost or timed out.
    Lost,
    /// A newer session of the same publisher took over.
    Replaced,
    /// The publisher broke the protocol or a limit.
    Refused,
    /// The server is shutting down or the operator ended the broadcast.
    Stopped,
}

/// The only signals that travel upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// A decoder somewhere needs a random access point.
    KeyframeNeeded,
    /// Stop sending and close the session.
    Stop(EndReason),
}
