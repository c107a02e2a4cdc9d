//! Who may do what to whom: mutes, blocks, moderators, the gate, and the audit log.
//!
//! In → Out: an [`Action`] by an [`Actor`] → allowed or not, marks on viewers, an [`AuditEntry`].
//! Spec: `docs/ix.md`, "Moderation".

use std::collections::{BTreeMap, BTreeSet};

use media::{Duration, UnixTime};

use crate::{Actor, CommentId, Gate, MuteNotice, Refusal, ViewerId, Word};

/// What a broadcaster or a moderator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Names a moderator. Broadcaster and operator only.
    Appoint(ViewerId),
    /// Lets a viewer through the gate `Approved`.
    Approve(ViewerId),
    /// Takes all comments of a viewer off the screens, and no more are taken.
    Block(ViewerId),
    /// Takes a comment off all screens and out of the replay.
    Delete(CommentId),
    /// A moderator is one no more. Broadcaster and operator only.
    Dismiss(ViewerId),
    /// Refuses comments with this word from here on.
    Forbid(Word),
    /// Sets the gate.
    SetGate(Gate),
    /// Switches the flash jury.
    SetJury(bool),
    /// Sets slow mode; zero ends it. At most ten minutes.
    SetSlow(Duration),
    /// Takes no comments of a viewer for a time; zero lifts the mute.
    Mute(ViewerId, Duration),
    /// A word that was forbidden in this room is so no more.
    Permit(Word),
    /// Keeps a comment on top.
    Pin(CommentId),
    /// Takes a block back, and any mute with it.
    Unblock(ViewerId),
    /// Takes the pinned comment down.
    Unpin,
}

impl Action {
    /// The word on the wire and in the audit log.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Appoint(_) => "appoint",
            Self::Approve(_) => "approve",
            Self::Block(_) => "block",
            Self::Delete(_) => "delete",
            Self::Dismiss(_) => "dismiss",
            Self::Forbid(_) => "forbid",
            Self::SetGate(_) => "gate",
            Self::SetJury(_) => "jury",
            Self::SetSlow(_) => "slow",
            Self::Mute(..) => "mute",
            Self::Permit(_) => "permit",
            Self::Pin(_) => "pin",
            Self::Unblock(_) => "unblock",
            Self::Unpin => "unpin",
        }
    }

    /// The viewer whom it is about.
    pub const fn viewer(self) -> Option<ViewerId> {
        match self {
            Self::Appoint(viewer)
            | Self::Approve(viewer)
            | Self::Block(viewer)
            | Self::Dismiss(viewer)
            | Self::Mute(viewer, _)
            | Self::Unblock(viewer) => Some(viewer),
            Self::Delete(_)
            | Self::Forbid(_)
            | Self::SetGate(_)
            | Self::SetJury(_)
            | Self::SetSlow(_)
            | Self::Permit(_)
            | Self::Pin(_)
            | Self::Unpin => None,
        }
    }

    /// The word that it is about.
    pub const fn word(&self) -> Option<&Word> {
        match self {
            Self::Forbid(word) | Self::Permit(word) => Some(word),
            _ => None,
        }
    }

    /// Whether something outlasts a restart that it changes.
    pub(crate) const fn is_kept(self) -> bool {
        !matches!(
            self,
            Self::Delete(_)
                | Self::SetGate(_)
                | Self::SetJury(_)
                | Self::SetSlow(_)
                | Self::Pin(_)
                | Self::Unpin
        )
    }
}

/// Why an action is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModerationError {
    /// This actor may not do this, or not to this viewer.
    #[error("only the broadcaster may do this")]
    Forbidden,
    /// A list has reached its bound.
    #[error("that list is full")]
    Full,
    /// The comment is too old or never was.
    #[error("that comment is gone")]
    Unknown,
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: UnixTime,
    /// Who.
    pub by: Actor,
    /// What.
    pub action: Action,
    /// The comment that it is about, as it was, even if nobody else sees it any more.
    pub comment: Option<crate::Comment>,
}

/// The marks that outlast a restart of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Viewers whom the broadcaster named.
    pub moderators: Vec<ViewerId>,
    /// Viewers who may not comment any more.
    pub blocked: Vec<ViewerId>,
    /// Viewers who pass the gate `Approved`.
    pub approved: Vec<ViewerId>,
    /// Viewers who have passed the gate `First`.
    pub writers: Vec<ViewerId>,
    /// Viewers who are muted.
    pub muted: Vec<MuteNotice>,
    /// Viewers whom juries have muted, and how often.
    pub judged: Vec<(ViewerId, u32)>,
    /// What broadcaster and moderators have forbidden.
    pub words: Vec<Word>,
}

/// Marks on the viewers of one room.
#[derive(Debug)]
pub(crate) struct Marks {
    muted: BTreeMap<ViewerId, Option<UnixTime>>,
    blocked: BTreeSet<ViewerId>,
    approved: BTreeSet<ViewerId>,
    writers: BTreeSet<ViewerId>,
    moderators: BTreeSet<ViewerId>,
    max: usize,
}

impl Marks {
    pub(crate) fn new(max: usize) -> Self {
        let empty = BTreeSet::new;
        Self {
            muted: BTreeMap::new(),
            blocked: empty(),
            approved: empty(),
            writers: empty(),
            moderators: empty(),
            max,
        }
    }

    /// What outlasts a restart, of what is known here.
    pub(crate) fn to_marked(&self, now: UnixTime) -> Marked {
        let list = |set: &BTreeSet<ViewerId>| set.iter().copied().collect();
        Marked {
            moderators: list(&self.moderators),
            blocked: list(&self.blocked),
            approved: list(&self.approved),
            writers: list(&self.writers),
            muted: self.mutes(now).collect(),
            ..Marked::default()
        }
    }

    /// Who is muted now, and until when.
    fn mutes(&self, now: UnixTime) -> impl Iterator<Item = MuteNotice> {
        self.muted
            .iter()
            .filter(move |(_, until)| until.is_none_or(|until| now < until))
            .map(|(viewer, until)| MuteNotice {
                viewer: *viewer,
                until: *until,
            })
    }

    /// Goes on from before; what is beyond the bound is forgotten.
    pub(crate) fn restore(&mut self, marked: Marked) {
        let set = |list: Vec<ViewerId>| list.into_iter().take(self.max).collect();
        (self.moderators, self.blocked, self.approved) = (
            set(marked.moderators),
            set(marked.blocked),
            set(marked.approved),
        );
        self.writers = set(marked.writers);
        self.muted = marked
            .muted
            .into_iter()
            .take(self.max)
            .map(|notice| (notice.viewer, notice.until))
            .collect();
    }

    pub(crate) fn is_blocked(&self, viewer: ViewerId) -> bool {
        self.blocked.contains(&viewer)
    }

    pub(crate) fn is_moderator(&self, viewer: ViewerId) -> bool {
        self.moderators.contains(&viewer)
    }

    /// True for muted and blocked viewers.
    pub(crate) fn is_silenced(&self, viewer: ViewerId, now: UnixTime) -> bool {
        self.blocked.contains(&viewer)
            || self
                .muted
                .get(&viewer)
                .is_some_and(|until| until.is_none_or(|until| now < until))
    }

    /// How many have passed the gate `First`.
    pub(crate) fn writers(&self) -> usize {
        self.writers.len()
    }

    /// Whether a viewer may comment; a pass through `First` is remembered.
    pub(crate) fn admit(
        &mut self,
        viewer: ViewerId,
        gate: Gate,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        if self.blocked.contains(&viewer) {
            return Err(Refusal::Blocked);
        }
        if self.is_silenced(viewer, now) {
            return Err(Refusal::Muted);
        }
        if self.moderators.contains(&viewer) {
            return Ok(());
        }
        let open = match gate {
            Gate::All => true,
            Gate::Approved => self.approved.contains(&viewer),
            Gate::First(count) => {
                let room =
                    self.writers.len() < usize::try_from(count.min(Gate::FIRST_MAX)).unwrap_or(0);
                let known = self.writers.contains(&viewer) || self.approved.contains(&viewer);
                known || (room && self.writers.insert(viewer))
            }
            Gate::Nobody => false,
        };
        if open { Ok(()) } else { Err(Refusal::Gated) }
    }

    /// Who may do it: moderators everything but name moderators and touch each other.
    pub(crate) fn may(&self, actor: Actor, action: Action) -> Result<(), ModerationError> {
        let Actor::Moderator(moderator) = actor else {
            return Ok(());
        };
        let naming = matches!(action, Action::Appoint(_) | Action::Dismiss(_));
        let colleague = action
            .viewer()
            .is_some_and(|viewer| self.is_moderator(viewer));
        if self.is_moderator(moderator) && !naming && !colleague {
            Ok(())
        } else {
            Err(ModerationError::Forbidden)
        }
    }

    /// Puts an action's mark on its viewer. Actions without a viewer change nothing here.
    pub(crate) fn apply(&mut self, action: Action, now: UnixTime) -> Result<(), ModerationError> {
        let max = self.max;
        self.muted
            .retain(|_, until| until.is_none_or(|until| now < until));
        let fits = |len: usize| {
            if len < max {
                Ok(())
            } else {
                Err(ModerationError::Full)
            }
        };
        match action {
            Action::Appoint(viewer) => fits(self.moderators.len()).map(|()| {
                self.moderators.insert(viewer);
            }),
            Action::Approve(viewer) => fits(self.approved.len()).map(|()| {
                self.approved.insert(viewer);
            }),
            Action::Block(viewer) => fits(self.blocked.len()).map(|()| {
                self.blocked.insert(viewer);
            }),
            Action::Dismiss(viewer) => {
                self.moderators.remove(&viewer);
                Ok(())
            }
            Action::Mute(viewer, time) if time == Duration::ZERO => {
                self.muted.remove(&viewer);
                Ok(())
            }
            Action::Mute(viewer, time) => fits(self.muted.len()).map(|()| {
                self.muted.insert(viewer, Some(now + time));
            }),
            Action::Unblock(viewer) => {
                self.blocked.remove(&viewer);
                self.muted.remove(&viewer);
                Ok(())
            }
            Action::Delete(_)
            | Action::Forbid(_)
            | Action::SetGate(_)
            | Action::SetJury(_)
            | Action::SetSlow(_)
            | Action::Permit(_)
            | Action::Pin(_)
            | Action::Unpin => Ok(()),
        }
    }

    /// Mutes for the rest of the broadcast.
    pub(crate) fn mute_for_good(&mut self, viewer: ViewerId) -> Result<(), ModerationError> {
        if self.muted.len() >= self.max {
            return Err(ModerationError::Full);
        }
        self.muted.insert(viewer, None);
        Ok(())
    }

    /// Mutes and blocks that last, newest ids last; at most `count`.
    pub(crate) fn notices(&self, count: usize, now: UnixTime) -> Vec<MuteNotice> {
        let muted = self.mutes(now);
        let blocked = self.blocked.iter().map(|viewer| MuteNotice {
            viewer: *viewer,
            until: None,
        });
        blocked.chain(muted).take(count).collect()
    }
}
