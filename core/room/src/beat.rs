//! What a room says: beats, and the snapshot that a late joiner starts from.
//!
//! In → Out: values only; [`crate::wire`] writes them as lines.
//! Totals stand in every beat, so that a lost beat loses no count.
//! Spec: `docs/ix.md`, "Beat line" and "Snapshot line".

use media::UnixTime;

use crate::{Colour, CommentId, CommentText, JuryId, Level, Name, Rules, ViewerId};

/// One comment as everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its id, chosen by the author's page.
    pub id: CommentId,
    /// Who wrote it.
    pub author: ViewerId,
    /// The author's display name.
    pub name: Name,
    /// The text.
    pub text: CommentText,
    /// The media time that the author was looking at; never after the live edge.
    pub media: UnixTime,
    /// When the room took it.
    pub at: UnixTime,
    /// Written by the broadcaster.
    pub by_broadcaster: bool,
}

/// Who came since the last beat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joins {
    /// A few of them, at random.
    pub names: Vec<Name>,
    /// How many; an estimate while heartbeats are sampled.
    pub count: u64,
}

/// How many are watching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Viewers {
    /// The number; an estimate while heartbeats are sampled.
    pub count: u64,
    /// Half the width of its 95 % interval; 0 when the count is exact.
    pub error: u64,
}

/// A viewer who may not comment until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MuteNotice {
    /// Who.
    pub viewer: ViewerId,
    /// Until when; `None`: for the rest of the broadcast. A time in the past lifts the mute.
    pub until: Option<UnixTime>,
}

/// Viewers who are asked whether a comment is abuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JuryNotice {
    /// Which jury.
    pub id: JuryId,
    /// Who is asked.
    pub jurors: Vec<ViewerId>,
    /// What it is about.
    pub comment: Comment,
    /// When the vote ends.
    pub until: UnixTime,
}

/// One tick of a room: what happened since the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Counts the beats of a room from 1; never goes back.
    pub seq: u64,
    /// When.
    pub at: UnixTime,
    /// Hearts since the last beat by colour.
    pub hearts: [u64; Colour::COUNT],
    /// All hearts of the broadcast, this beat's included.
    pub hearts_total: u64,
    /// Comments, oldest first.
    pub comments: Vec<Comment>,
    /// Comments accepted in the whole broadcast.
    pub comments_total: u64,
    /// Who came.
    pub joins: Joins,
    /// How many watch, if that changed.
    pub viewers: Option<Viewers>,
    /// Comments that have to vanish.
    pub removed: Vec<CommentId>,
    /// Mutes, and mutes that are lifted.
    pub muted: Vec<MuteNotice>,
    /// The pinned comment, if that changed.
    pub pinned: Option<Option<Comment>>,
    /// The rules, if they changed.
    pub rules: Option<Rules>,
    /// The level, if it changed.
    pub level: Option<Level>,
    /// Juries that begin.
    pub juries: Vec<JuryNotice>,
}

/// Everything that a page needs to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Grows each time the room gets a new owner; pages ignore lower ones.
    pub epoch: u32,
    /// The last beat that it contains.
    pub seq: u64,
    /// When.
    pub at: UnixTime,
    /// All hearts of the broadcast by colour.
    pub hearts: [u64; Colour::COUNT],
    /// Comments accepted in the whole broadcast.
    pub comments_total: u64,
    /// How many watch.
    pub viewers: Viewers,
    /// The rules.
    pub rules: Rules,
    /// The level of degradation.
    pub level: Level,
    /// The pinned comment.
    pub pinned: Option<Comment>,
    /// The last comments, oldest first.
    pub last: Vec<Comment>,
    /// Mutes that last.
    pub muted: Vec<MuteNotice>,
    /// Juries that are sitting.
    pub juries: Vec<JuryNotice>,
}

impl Snapshot {
    /// All hearts of the broadcast.
    pub fn hearts_total(&self) -> u64 {
        self.hearts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }
}
