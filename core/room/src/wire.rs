//! The room on the wire: JSON both ways, strictly bounded on the way in.
//!
//! In → Out: POST bodies and moderation commands → values; beats and snapshots → lines of an `ix` segment, and back.
//! Pages written for version 1 skip fields that they do not know; a field never changes its meaning within a version.
//! Spec: `docs/ix.md` (every example there is parsed by a test); RFC 8259; JSON Lines.

mod command;
mod line;
mod post;
mod replay;

pub use command::{Command, CommandError, actor_name, encode_staff, parse_command};
pub use line::{
    BeatLine, CommentLine, JoinsLine, JuryLine, LINE_MAX, Line, LineError, Pin, RulesLine,
    SnapshotLine, ViewersLine, encode_beat, encode_snapshot, parse_line,
};
pub use post::{Answer, BODY_MAX, PostError, encode_refusal, encode_reply, parse_post};
pub use replay::{REPLAY_COMMENTS_MAX, encode_marked, parse_marked, replay};

/// The version that this code speaks.
pub const VERSION: u32 = 1;

/// The largest number that every JSON reader keeps exactly: 2⁵³ − 1.
const NUMBER_MAX: u64 = (1 << 53) - 1;
