//! The room of one broadcast: everything that viewers do, summed, ranked and said back to all of them once a tick.
//!
//! In → Out: POST bodies → [`Intake`] (limits, idempotence, sums) → [`Contribution`]s and comments → [`Room`] → one
//! [`Beat`] a tick, verdicts for the authors, audit entries; [`wire`] turns bodies, beats and snapshots into JSON and back.
//! Invariants: totals never go back; an acknowledged heart is counted once; a comment whose author was told "shown" is in
//! exactly one beat; every table has a bound. Time and randomness enter as arguments.
//! Spec: design "The room"; `docs/ix.md` (the wire).

mod beat;
mod bucket;
mod forbidden;
mod history;
mod ids;
mod intake;
mod jury;
mod level;
mod moderation;
mod pool;
mod presence;
mod random;
mod room;
mod rules;
mod text;
pub mod wire;
mod words;

pub use beat::{Beat, Comment, Joins, JuryNotice, MuteNotice, Snapshot, Viewers};
pub use forbidden::Word;
pub use ids::{Actor, Colour, CommentId, JuryId, Prefix, ViewerId};
pub use intake::{Contribution, Heartbeat, Intake, Post, Present, Receipt, Source, Taps, Written};
pub use jury::{Finding, Vote};
pub use level::Level;
pub use moderation::{Action, AuditEntry, Marked, ModerationError};
pub use random::Random;
pub use room::{Draft, Input, Output, Room, Start};
pub use rules::{Fallback, Gate, IntakePolicy, JuryPolicy, Policy, Rate, Review, Rules};
pub use text::{CommentText, Name, TextError};
pub use words::WordList;

/// Why something that a viewer sent does not count. The list is closed: pages and metrics know every code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The author is blocked for the rest of the broadcast.
    #[error("you cannot comment in this broadcast any more")]
    Blocked,
    /// More candidates than people can read: this one lost the ranking.
    #[error("too many comments at once; yours was not shown to others")]
    Crowded,
    /// Removed by a moderator before it was shown.
    #[error("removed by a moderator")]
    Deleted,
    /// The gate does not let this viewer comment.
    #[error("the broadcaster lets only some viewers comment")]
    Gated,
    /// The author is muted until the time that the room gives beside this code.
    #[error("you are muted for a while")]
    Muted,
    /// More requests than one viewer may send.
    #[error("slow down a little")]
    RateViewer,
    /// More requests than one network may send.
    #[error("too much comes from your network at the moment")]
    RatePrefix,
    /// The room is read-only for a moment because of load.
    #[error("the room is read-only for a moment")]
    ReadOnly,
    /// The review hook said no.
    #[error("not allowed by the operator's review")]
    Reviewed,
    /// Slow mode: the author commented too recently.
    #[error("slow mode: wait before the next comment")]
    Slow,
    /// The thing that the request is about is unknown or too old.
    #[error("that is gone")]
    Unknown,
    /// A word on the list.
    #[error("contains a word that is not allowed here")]
    Words,
}

impl Refusal {
    /// All codes, in alphabetical order, for metrics and documents.
    pub const ALL: [Self; 12] = [
        Self::Blocked,
        Self::Crowded,
        Self::Deleted,
        Self::Gated,
        Self::Muted,
        Self::RatePrefix,
        Self::RateViewer,
        Self::ReadOnly,
        Self::Reviewed,
        Self::Slow,
        Self::Unknown,
        Self::Words,
    ];

    /// The code on the wire and in metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Crowded => "crowded",
            Self::Deleted => "deleted",
            Self::Gated => "gated",
            Self::Muted => "muted",
            Self::RatePrefix => "rate_prefix",
            Self::RateViewer => "rate_viewer",
            Self::ReadOnly => "read_only",
            Self::Reviewed => "reviewed",
            Self::Slow => "slow",
            Self::Unknown => "unknown",
            Self::Words => "words",
        }
    }
}
