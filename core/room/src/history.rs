//! The comments that a room remembers: for moderation, for late joiners, and against repetition.
//!
//! In → Out: comments with what became of them → look-ups by id and by author.
//! Bounded: the oldest are forgotten first.
//! Spec: `docs/ix.md`, "Comments".

use std::collections::{BTreeMap, VecDeque};

use crate::{Comment, CommentId, Refusal, ViewerId};

/// What became of a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Still waiting for review or for its turn.
    Waiting,
    /// In the beat with this number.
    Shown(u64),
    /// Not shown, and why.
    Refused(Refusal),
}

#[derive(Debug)]
struct Entry {
    comment: Comment,
    fate: Fate,
}

/// The last comments of a room. Those that wait are bounded by the review queue and the pool; those with a fate by `max`.
#[derive(Debug)]
pub(crate) struct History {
    waiting: BTreeMap<CommentId, Comment>,
    entries: BTreeMap<CommentId, Entry>,
    order: VecDeque<CommentId>,
    max: usize,
}

impl History {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            max: max.max(1),
        }
    }

    /// Remembers a comment that waits; the id must be new.
    pub(crate) fn insert(&mut self, comment: Comment) {
        self.waiting.insert(comment.id, comment);
    }

    /// What became of a comment, as far as that is remembered.
    pub(crate) fn fate(&self, id: CommentId) -> Option<Fate> {
        let decided = self.entries.get(&id).map(|entry| entry.fate);
        decided.or_else(|| self.waiting.contains_key(&id).then_some(Fate::Waiting))
    }

    /// A waiting comment gets its fate, or a shown one another. Refusals that the author may try to get round by sending
    /// again are remembered; the others are forgotten with the comment.
    pub(crate) fn decide(&mut self, id: CommentId, fate: Fate) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.fate = fate;
            return;
        }
        let Some(comment) = self.waiting.remove(&id) else {
            return;
        };
        if matches!(
            fate,
            Fate::Shown(_) | Fate::Refused(Refusal::Deleted | Refusal::Blocked)
        ) {
            self.remember(comment, fate);
        }
    }

    /// Remembers a comment with its fate.
    pub(crate) fn remember(&mut self, comment: Comment, fate: Fate) {
        while self.order.len() >= self.max {
            if let Some(oldest) = self.order.pop_front() {
                self.entries.remove(&oldest);
            }
        }
        self.order.push_back(comment.id);
        self.entries.insert(comment.id, Entry { comment, fate });
    }

    /// The comment, whatever became of it.
    pub(crate) fn comment(&self, id: CommentId) -> Option<&Comment> {
        self.entries
            .get(&id)
            .map(|entry| &entry.comment)
            .or_else(|| self.waiting.get(&id))
    }

    /// Comments of one author that are on screens.
    pub(crate) fn shown_by(&self, author: ViewerId) -> Vec<CommentId> {
        let mine = self
            .entries
            .values()
            .filter(|entry| entry.comment.author == author);
        mine.filter(|entry| matches!(entry.fate, Fate::Shown(_)))
            .map(|entry| entry.comment.id)
            .collect()
    }

    /// True if this author has a comment on screens.
    pub(crate) fn is_known_author(&self, author: ViewerId) -> bool {
        self.entries
            .values()
            .any(|entry| entry.comment.author == author && matches!(entry.fate, Fate::Shown(_)))
    }

    /// The last `count` comments on screens, oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<Comment> {
        let newest = self
            .order
            .iter()
            .rev()
            .filter_map(|id| self.entries.get(id));
        let mut last: Vec<Comment> = newest
            .filter(|entry| matches!(entry.fate, Fate::Shown(_)))
            .take(count)
            .map(|entry| entry.comment.clone())
            .collect();
        last.reverse();
        last
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() + self.waiting.len()
    }
}
