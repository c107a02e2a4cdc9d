//! The way of one comment: checks, review, ranking, verdict, and its removal.
//!
//! In → Out: a [`Draft`] → exactly one verdict for each time it was sent; a shown comment is in exactly one beat.
//! Spec: `docs/ix.md`, "Comments".

use media::{Duration, UnixTime};

use super::{Draft, Output, Room};
use crate::history::Fate;
use crate::pool::Candidate;
use crate::rules::Fallback;
use crate::{Comment, CommentId, Level, Refusal, ViewerId};

impl Room {
    /// The oldest and the newest media time that an author can have been looking at, measured from the live edge.
    const MEDIA_AGE_MAX: Duration = Duration::from_secs(60);

    pub(super) fn handle_comment(&mut self, draft: Draft, now: UnixTime) {
        self.load.comments = self.load.comments.saturating_add(1);
        // A repetition gets the answer of the first: now if there is one, else with it.
        if let Some(fate) = self.history.fate(draft.id) {
            return self.handle_repetition(&draft, fate);
        }
        if let Err(refusal) = self.check(&draft, now) {
            return self.refuse(&draft, refusal);
        }
        if self.last_comment.len() >= self.policy.marked_max {
            let limit = self.rules().slow;
            self.last_comment
                .retain(|_, last| now.since(*last).magnitude() < limit);
            // Still full: the lowest id goes. Its author may comment once too early.
            if self.last_comment.len() >= self.policy.marked_max {
                self.last_comment.pop_first();
            }
        }
        self.last_comment.insert(draft.author, now);
        let comment = self.stamp(draft, now);
        self.history.insert(comment.clone());
        match self.policy.review.filter(|_| !comment.by_broadcaster) {
            None => self.enter(&comment, now),
            Some(review) if self.reviews.len() >= self.policy.reviews_max => {
                self.pass_or_refuse(&comment, review.fallback == Fallback::Allow, now);
            }
            Some(review) => {
                self.reviews.insert(
                    comment.id,
                    (now + review.time, review.fallback == Fallback::Allow),
                );
                self.outputs.push_back(Output::Review(comment));
            }
        }
    }

    pub(super) fn handle_review(&mut self, id: CommentId, passes: bool, now: UnixTime) {
        if self.reviews.remove(&id).is_none() {
            return;
        }
        if let Some(comment) = self.history.comment(id).cloned() {
            self.pass_or_refuse(&comment, passes, now);
        }
    }

    /// Reviews that nobody answered in time.
    pub(super) fn expire_reviews(&mut self, now: UnixTime) {
        let late: Vec<(CommentId, bool)> = self
            .reviews
            .iter()
            .filter(|(_, (until, _))| *until <= now)
            .map(|(id, (_, passes))| (*id, *passes))
            .collect();
        for (id, passes) in late {
            self.handle_review(id, passes, now);
        }
    }

    /// Takes one comment off the screens, or out of the race.
    pub(super) fn remove(&mut self, id: CommentId, why: Refusal, now: UnixTime) {
        let Some(author) = self.history.comment(id).map(|comment| comment.author) else {
            return;
        };
        match self.history.fate(id) {
            Some(Fate::Shown(_)) => {
                self.history.decide(id, Fate::Refused(why));
                self.beat.removed.push(id);
                self.outputs.push_back(Output::Redact(id));
            }
            Some(Fate::Waiting) => {
                self.pool.withdraw(id);
                self.reviews.remove(&id);
                self.decide(id, author, Err(why));
            }
            Some(Fate::Refused(_)) | None => return,
        }
        // Moderators may have seen it already, shown or not.
        if self.staff > 0 {
            self.micro.removed.push(id);
        }
        if self.pinned.as_ref().is_some_and(|pinned| pinned.id == id) {
            self.pin(None);
        }
        self.touch(now);
    }

    pub(super) fn remove_all_by(&mut self, author: ViewerId, now: UnixTime) {
        let in_review = self.reviews.keys().copied();
        let mine = |id: &CommentId| {
            self.history
                .comment(*id)
                .is_some_and(|comment| comment.author == author)
        };
        let mut ids: Vec<CommentId> = in_review.filter(mine).collect();
        ids.extend(self.pool.by_author(author));
        ids.extend(self.history.shown_by(author));
        for id in ids {
            self.remove(id, Refusal::Blocked, now);
        }
        if self
            .pinned
            .as_ref()
            .is_some_and(|pinned| pinned.author == author)
        {
            self.pin(None);
        }
    }

    /// Notes what became of a comment and tells its author.
    pub(super) fn decide(
        &mut self,
        id: CommentId,
        author: ViewerId,
        verdict: Result<u64, Refusal>,
    ) {
        let fate = match verdict {
            Ok(seq) => Fate::Shown(seq),
            Err(refusal) => Fate::Refused(refusal),
        };
        self.history.decide(id, fate);
        self.outputs.push_back(Output::Verdict(id, author, verdict));
    }

    /// A comment that lost the ranking.
    pub(super) fn lose(&mut self, id: CommentId) {
        if let Some(author) = self.history.comment(id).map(|comment| comment.author) {
            self.decide(id, author, Err(Refusal::Crowded));
        }
    }

    fn handle_repetition(&mut self, draft: &Draft, fate: Fate) {
        // Somebody else's id is not a repetition: it tells nothing about that comment.
        if self
            .history
            .comment(draft.id)
            .is_some_and(|comment| comment.author != draft.author)
        {
            return self.refuse(draft, Refusal::Unknown);
        }
        match fate {
            Fate::Shown(seq) => {
                self.outputs
                    .push_back(Output::Verdict(draft.id, draft.author, Ok(seq)));
            }
            Fate::Refused(refusal) => self.refuse(draft, refusal),
            // The verdict of the first sending is on its way and goes to everybody who waits for this id.
            Fate::Waiting => {}
        }
    }

    fn refuse(&mut self, draft: &Draft, refusal: Refusal) {
        self.outputs
            .push_back(Output::Verdict(draft.id, draft.author, Err(refusal)));
    }

    fn check(&mut self, draft: &Draft, now: UnixTime) -> Result<(), Refusal> {
        if draft.by_broadcaster {
            return Ok(());
        }
        if self.ladder.level() == Level::L4 {
            return Err(Refusal::ReadOnly);
        }
        let moderator = self.marks.is_moderator(draft.author);
        let slow = self.rules().slow;
        let last = self.last_comment.get(&draft.author);
        if !moderator && last.is_some_and(|last| now.since(*last).magnitude() < slow) {
            return Err(Refusal::Slow);
        }
        if self.forbids(draft.text.as_str()) || self.forbids(draft.name.as_str()) {
            return Err(Refusal::Words);
        }
        let writers = self.marks.writers();
        let admitted = self.marks.admit(draft.author, self.gate, now);
        if self.marks.writers() != writers {
            self.keep(now);
        }
        admitted
    }

    fn stamp(&self, draft: Draft, now: UnixTime) -> Comment {
        let edge = self.live_edge.unwrap_or(now);
        let oldest = UnixTime::from_nanos(
            edge.as_nanos()
                .saturating_sub(Self::MEDIA_AGE_MAX.as_nanos()),
        );
        let media = draft.media.unwrap_or(edge).clamp(oldest, edge);
        let Draft {
            id,
            author,
            name,
            text,
            by_broadcaster,
            ..
        } = draft;
        Comment {
            id,
            author,
            name,
            text,
            media,
            at: now,
            by_broadcaster,
        }
    }

    fn pass_or_refuse(&mut self, comment: &Comment, passes: bool, now: UnixTime) {
        if passes {
            self.enter(comment, now);
        } else {
            self.decide(comment.id, comment.author, Err(Refusal::Reviewed));
        }
    }

    /// Enters the race for the next beat; moderators see it whether it wins or not.
    fn enter(&mut self, comment: &Comment, now: UnixTime) {
        // A mute or a block that came during the review counts.
        if self.marks.is_silenced(comment.author, now) && !comment.by_broadcaster {
            return self.decide(comment.id, comment.author, Err(Refusal::Muted));
        }
        let exempt = comment.by_broadcaster || self.marks.is_moderator(comment.author);
        let weight = 2 * u8::from(!self.history.is_known_author(comment.author))
            + u8::from(comment.text.as_str().starts_with('@'));
        let candidate = Candidate {
            id: comment.id,
            author: comment.author,
            weight,
            since: now,
            exempt,
        };
        if let Some(lost) = self.pool.enter(candidate, &mut self.random) {
            self.lose(lost);
        }
        if self.staff > 0 && self.micro_shown.take(self.policy.micro_comments, 1, now) == 1 {
            self.micro.comments.push(comment.clone());
        }
        self.touch(now);
    }
}
