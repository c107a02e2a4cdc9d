//! The room: the single writer of everything that viewers see of each other.
//!
//! In → Out: [`Input`]s with the time → [`Output`]s: one beat a tick, micro-beats for those who moderate, verdicts for
//! authors, review questions, audit entries. Without input there is nothing to do and [`Room::next_timeout`] is `None`.
//! Spec: `docs/ix.md`; design "The room".

mod comment;
mod tick;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use media::{Duration, UnixTime};

use crate::bucket::Bucket;
use crate::forbidden::Forbidden;
use crate::history::{Fate, History};
use crate::intake::Contribution;
use crate::jury::{Closed, Juries, NoJury, Report};
use crate::level::{self, Ladder, Load};
use crate::moderation::Marks;
use crate::pool::Pool;
use crate::presence::Presence;
use crate::{
    Action, Actor, AuditEntry, Beat, Comment, CommentId, CommentText, Finding, Gate, JuryId,
    JuryNotice, Level, Marked, ModerationError, MuteNotice, Name, Policy, Random, Refusal, Rules,
    Snapshot, ViewerId, Viewers, Vote, Word,
};

/// A comment on its way in; its text has been checked, its author's rate too.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Chosen by the author's page.
    pub id: CommentId,
    /// Who wrote it.
    pub author: ViewerId,
    /// The author's display name.
    pub name: Name,
    /// The text.
    pub text: CommentText,
    /// The media time that the author says it was looking at; clamped here.
    pub media: Option<UnixTime>,
    /// Written by whoever holds the stream key.
    pub by_broadcaster: bool,
}

/// What happens to a room.
#[derive(Clone, Debug)]
pub enum Input {
    /// Sums from a collector.
    Collected(Contribution),
    /// A comment. Its author gets exactly one [`Output::Verdict`] for each time it is sent.
    Comment(Draft),
    /// The media's live edge has moved.
    LiveEdge(UnixTime),
    /// Somebody moderates.
    Moderate(Actor, Action),
    /// A viewer does or does not sit in juries.
    JuryDuty(ViewerId, bool),
    /// How busy the process is, 0–1,000. Of the reports of one second the least counts, and only when the next second's is as bad;
    /// without a report the last one stays true.
    Pressure(u16),
    /// A viewer reports a comment.
    Report(ViewerId, CommentId),
    /// The review hook's answer: true lets the comment pass.
    Reviewed(CommentId, bool),
    /// So many broadcasters and moderators are connected; micro-beats are made only for them.
    Staff(u32),
    /// A juror votes.
    Vote(ViewerId, JuryId, Vote),
}

/// What a room wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A line of the audit log.
    Audit(AuditEntry),
    /// A beat for everybody.
    Beat(Beat),
    /// Who moderates, is muted, blocked or let in, or what is forbidden has changed: keep this.
    Marked(Marked),
    /// A jury has ended.
    JuryEnded(JuryId, Finding),
    /// What happened since the last micro-beat, for broadcaster and moderators; its `seq` is that of the coming beat.
    Micro(Beat),
    /// A moderation action was not done.
    NotDone(Actor, Action, ModerationError),
    /// A viewer reported this comment; for moderators.
    Reported(Comment),
    /// Ask the review hook; the answer comes as [`Input::Reviewed`].
    Review(Comment),
    /// Take this comment out of what is stored.
    Redact(CommentId),
    /// What became of a comment: the number of its beat, or why not.
    Verdict(CommentId, ViewerId, Result<u64, Refusal>),
    /// What broadcaster and moderators have forbidden has changed; for them.
    Words {
        /// The room's own list.
        words: Vec<Word>,
        /// How many words the operator has listed.
        listed: usize,
    },
}

/// How a room begins.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Larger than that of any owner before.
    pub epoch: u32,
    /// For the draws.
    pub seed: u64,
    /// What is known from before: totals, number and last comments go on from it.
    pub snapshot: Option<Snapshot>,
    /// Moderators and others who were marked before.
    pub marked: Marked,
}

/// One room. Owned by one task.
#[derive(Debug)]
pub struct Room {
    policy: Policy,
    epoch: u32,
    random: Random,
    presence: Presence,
    marks: Marks,
    history: History,
    pool: Pool,
    forbidden: Forbidden,
    /// Whether broadcaster and moderators have been told of words.
    words_told: bool,
    juries: Juries,
    ladder: Ladder,
    shown: Bucket,
    micro_shown: Bucket,
    /// Comments at the review hook, and until when.
    reviews: BTreeMap<CommentId, (UnixTime, bool)>,
    /// When authors last commented, for slow mode; bounded like marks.
    last_comment: BTreeMap<ViewerId, UnixTime>,
    no_duty: BTreeSet<ViewerId>,
    live_edge: Option<UnixTime>,
    gate: Gate,
    slow: Duration,
    heartbeat_one_in: u32,
    hearts: [u64; crate::Colour::COUNT],
    comments_total: u64,
    viewers: Viewers,
    pinned: Option<Comment>,
    /// The coming beat.
    beat: Beat,
    joined: Joined,
    /// The coming micro-beat.
    micro: Beat,
    micro_since: Option<UnixTime>,
    staff: u32,
    /// Since when the coming beat has something to say.
    pending_since: Option<UnixTime>,
    last_beat: UnixTime,
    load: Load,
    /// The least pressure that was reported since `load_since`.
    pressure: Option<u16>,
    load_since: UnixTime,
    said_rules: Rules,
    said_level: Level,
    said_viewers: UnixTime,
    outputs: VecDeque<Output>,
}

/// Joins since the last beat: a count and a fair sample of names.
#[derive(Debug, Default)]
struct Joined {
    named: u64,
}

impl Room {
    /// Opens a room; it says nothing until something happens.
    pub fn new(policy: Policy, start: Start, now: UnixTime) -> Self {
        let mut room = Self {
            epoch: start.epoch,
            random: Random::new(start.seed),
            presence: Presence::new(policy.present_max, policy.heartbeat_every),
            marks: Marks::new(policy.marked_max),
            history: History::new(policy.history_max),
            pool: Pool::new(policy.candidates_max),
            forbidden: Forbidden::default(),
            words_told: false,
            juries: Juries::new(policy.marked_max),
            ladder: Ladder::new(UnixTime::default()),
            shown: Bucket::full(policy.shown, now),
            micro_shown: Bucket::full(policy.micro_comments, now),
            reviews: BTreeMap::new(),
            last_comment: BTreeMap::new(),
            no_duty: BTreeSet::new(),
            live_edge: None,
            gate: Gate::All,
            slow: Duration::ZERO,
            heartbeat_one_in: 1,
            hearts: [0; crate::Colour::COUNT],
            comments_total: 0,
            viewers: Viewers::default(),
            pinned: None,
            beat: Beat {
                seq: 1,
                ..Beat::default()
            },
            joined: Joined::default(),
            micro: Beat::default(),
            micro_since: None,
            staff: 0,
            pending_since: None,
            last_beat: UnixTime::default(),
            load: Load::default(),
            pressure: None,
            load_since: now,
            said_rules: Rules::of(&policy),
            said_level: Level::L0,
            said_viewers: UnixTime::default(),
            outputs: VecDeque::new(),
            policy,
        };
        let mut marked = start.marked;
        room.forbidden.restore(std::mem::take(&mut marked.words));
        room.juries.restore(std::mem::take(&mut marked.judged));
        room.marks.restore(marked);
        if let Some(snapshot) = start.snapshot {
            room.restore(snapshot, now);
        }
        room
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: UnixTime) {
        match input {
            Input::Collected(contribution) => self.handle_contribution(&contribution, now),
            Input::Comment(draft) => self.handle_comment(draft, now),
            Input::LiveEdge(edge) => {
                self.live_edge = Some(self.live_edge.map_or(edge, |before| before.max(edge)));
            }
            Input::Moderate(actor, action) => self.handle_moderation(actor, action, now),
            Input::JuryDuty(viewer, true) => drop(self.no_duty.take(&viewer)),
            Input::JuryDuty(viewer, false) if self.no_duty.len() < self.policy.marked_max => {
                self.no_duty.insert(viewer);
            }
            Input::JuryDuty(_, false) => {}
            Input::Pressure(pressure) => {
                let pressure = pressure.min(1_000);
                self.pressure = Some(self.pressure.map_or(pressure, |least| least.min(pressure)));
            }
            Input::Report(reporter, comment) => self.handle_report(reporter, comment, now),
            Input::Reviewed(comment, passes) => self.handle_review(comment, passes, now),
            Input::Staff(count) => {
                if self.staff == 0 {
                    // What nobody was there to see is not told late.
                    (self.micro, self.micro_since) = (Beat::default(), None);
                }
                self.staff = count;
            }
            Input::Vote(juror, jury, vote) => {
                self.juries.handle_vote(juror, jury, vote);
                self.close_juries(now);
            }
        }
        self.handle_timeout(now);
    }

    /// What there is to do; call until `None` after each input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Everything that a page needs to begin with, as of the last beat.
    pub fn snapshot(&self, now: UnixTime) -> Snapshot {
        Snapshot {
            epoch: self.epoch,
            seq: self.beat.seq - 1,
            at: now,
            hearts: std::array::from_fn(|colour| {
                self.hearts[colour].saturating_sub(self.beat.hearts[colour])
            }),
            comments_total: self.comments_total,
            viewers: self.viewers,
            rules: self.said_rules,
            level: self.said_level,
            pinned: self.pinned.clone(),
            last: self.last_comments(),
            muted: self.marks.notices(Self::SNAPSHOT_MUTES, now),
            juries: self.jury_notices(),
        }
    }

    /// What broadcaster and moderators begin with: as [`Room::snapshot`], with all hearts that no micro-beat is going to bring.
    pub fn staff_snapshot(&self, now: UnixTime) -> Snapshot {
        Snapshot {
            hearts: std::array::from_fn(|colour| {
                self.hearts[colour].saturating_sub(self.micro.hearts[colour])
            }),
            ..self.snapshot(now)
        }
    }

    /// Whether the broadcaster has named this viewer a moderator.
    pub fn is_moderator(&self, viewer: ViewerId) -> bool {
        self.marks.is_moderator(viewer)
    }

    /// The newest comments that fit, so that a flooded room does not repeat itself at length in each segment.
    fn last_comments(&self) -> Vec<Comment> {
        let bytes_max = if self.ladder.level() == Level::L0 {
            Self::LAST_BYTES
        } else {
            Self::LAST_BYTES_LOADED
        };
        let mut last = self.history.last(self.policy.snapshot_comments);
        let mut bytes = 0;
        let fits = |comment: &&Comment| {
            bytes +=
                comment.text.as_str().len() + comment.name.as_str().len() + Self::COMMENT_BYTES;
            bytes <= bytes_max
        };
        let kept = last.iter().rev().take_while(fits).count().max(1);
        last.split_off(last.len().saturating_sub(kept))
    }

    /// What the last comments of a snapshot may take on the wire.
    const LAST_BYTES: usize = 640;
    /// The same when the room cuts back.
    const LAST_BYTES_LOADED: usize = 200;
    /// What a comment takes on the wire beside its text and name.
    const COMMENT_BYTES: usize = 88;

    /// The largest number of comments, candidates or reviews held at this moment; for tests of the bounds.
    pub fn held(&self) -> usize {
        self.history
            .len()
            .max(self.pool.len())
            .max(self.reviews.len())
    }

    const SNAPSHOT_MUTES: usize = 32;

    fn restore(&mut self, snapshot: Snapshot, now: UnixTime) {
        self.hearts = snapshot.hearts;
        self.comments_total = snapshot.comments_total;
        self.beat.seq = snapshot.seq.saturating_add(1);
        self.epoch = self.epoch.max(snapshot.epoch.saturating_add(1));
        self.gate = snapshot.rules.gate;
        self.slow = snapshot.rules.slow;
        // The operator's configuration may have changed meanwhile: what it does not allow stays off.
        self.policy.jury.enabled &= snapshot.rules.juries;
        self.said_rules = self.rules();
        self.pinned = snapshot.pinned;
        for comment in snapshot.last {
            self.history.remember(comment, Fate::Shown(snapshot.seq));
        }
        for notice in snapshot.muted {
            // A snapshot says of a blocked viewer that it is muted: a block that is taken back must leave nothing behind.
            if self.marks.is_blocked(notice.viewer) {
                continue;
            }
            // A full list cannot happen: a snapshot names far fewer than the bound.
            let _ = match notice.until {
                Some(until) => {
                    let left = until.since(now).to_duration().unwrap_or(Duration::ZERO);
                    self.marks.apply(Action::Mute(notice.viewer, left), now)
                }
                None => self.marks.mute_for_good(notice.viewer),
            };
        }
    }

    fn handle_contribution(&mut self, contribution: &Contribution, now: UnixTime) {
        for (colour, count) in contribution.hearts.iter().enumerate() {
            self.hearts[colour] = self.hearts[colour].saturating_add(*count);
            self.beat.hearts[colour] = self.beat.hearts[colour].saturating_add(*count);
            self.micro.hearts[colour] = self.micro.hearts[colour].saturating_add(*count);
        }
        if contribution.hearts.iter().any(|count| *count > 0) {
            self.touch(now);
        }
        self.load.posts = self.load.posts.saturating_add(contribution.posts);
        for present in contribution.present.iter().take(Contribution::PRESENT_MAX) {
            self.presence
                .handle_heartbeat(present, &mut self.random, now);
            if present.joined {
                self.handle_join(present.name.as_ref(), u64::from(present.one_in), now);
            }
        }
        if contribution.unnamed > 0 {
            self.presence
                .handle_unnamed(contribution.unnamed, contribution.unnamed_variance, now);
            self.presence.handle_overflow(now);
        }
        if contribution.unnamed_joins > 0 {
            self.handle_join(None, contribution.unnamed_joins, now);
        }
        for viewer in contribution.left.iter().take(Contribution::PRESENT_MAX) {
            self.presence.handle_leave(*viewer);
        }
        if self.presence.count(now) != self.viewers {
            self.touch(now);
        }
    }

    fn handle_join(&mut self, name: Option<&Name>, stands_for: u64, now: UnixTime) {
        self.beat.joins.count = self.beat.joins.count.saturating_add(stands_for);
        self.micro.joins.count = self.micro.joins.count.saturating_add(stands_for);
        self.load.joins = self.load.joins.saturating_add(stands_for);
        self.touch(now);
        let Some(name) = name.filter(|name| !self.forbids(name.as_str())) else {
            return;
        };
        if self.ladder.level() >= Level::L2 {
            return;
        }
        // Reservoir sampling: each named join has the same chance.
        self.joined.named += 1;
        let seat = self
            .random
            .below(usize::try_from(self.joined.named).unwrap_or(usize::MAX));
        if self.beat.joins.names.len() < self.policy.join_names {
            self.beat.joins.names.push(name.clone());
        } else if let Some(place) = self.beat.joins.names.get_mut(seat) {
            *place = name.clone();
        }
        if self.micro.joins.names.len() < self.policy.join_names {
            self.micro.joins.names.push(name.clone());
        }
    }

    fn handle_moderation(&mut self, actor: Actor, action: Action, now: UnixTime) {
        let comment = match action {
            Action::Delete(id) | Action::Pin(id) => self.history.comment(id).cloned(),
            _ => None,
        };
        let known = comment.is_some() || !matches!(action, Action::Delete(_) | Action::Pin(_));
        let allowed = self.marks.may(actor, action).and(if known {
            Ok(())
        } else {
            Err(ModerationError::Unknown)
        });
        let done = allowed
            .and_then(|()| self.marks.apply(action, now))
            .and_then(|()| match action {
                Action::Forbid(word) => self.forbidden.add(word),
                _ => Ok(()),
            });
        if let Err(error) = done {
            self.outputs
                .push_back(Output::NotDone(actor, action, error));
            return;
        }
        match action {
            Action::Block(viewer) => {
                self.remove_all_by(viewer, now);
                self.say_mute(MuteNotice {
                    viewer,
                    until: None,
                });
            }
            Action::Delete(id) => self.remove(id, Refusal::Deleted, now),
            Action::Mute(viewer, time) => self.say_mute(MuteNotice {
                viewer,
                until: Some(now + time),
            }),
            Action::Unblock(viewer) => self.say_mute(MuteNotice {
                viewer,
                until: Some(UnixTime::default()),
            }),
            Action::Pin(_) => self.pin(comment.clone()),
            Action::Unpin => self.pin(None),
            Action::SetGate(gate) => self.gate = gate,
            Action::SetJury(on) => self.policy.jury.enabled = on,
            Action::SetSlow(slow) => {
                self.slow = Duration::from_millis(slow.as_millis().min(Self::SLOW_MAX_MILLIS));
            }
            Action::Forbid(_) => self.tell_words(),
            Action::Permit(word) => {
                self.forbidden.remove(word);
                self.tell_words();
            }
            Action::Appoint(_) | Action::Approve(_) | Action::Dismiss(_) => {}
        }
        if action.is_kept() {
            self.keep(now);
        }
        self.touch(now);
        self.outputs.push_back(Output::Audit(AuditEntry {
            at: now,
            by: actor,
            action,
            comment,
        }));
    }

    const SLOW_MAX_MILLIS: u64 = 600_000;

    /// Asks that everything be kept that is to outlast a restart.
    fn keep(&mut self, now: UnixTime) {
        self.outputs.push_back(Output::Marked(Marked {
            judged: self.juries.judged(),
            words: self.forbidden.words(),
            ..self.marks.to_marked(now)
        }));
    }

    /// Whether a text has a word that the operator or the room forbids.
    fn forbids(&self, text: &str) -> bool {
        self.policy.words.matches(text) || self.forbidden.matches(text)
    }

    fn tell_words(&mut self) {
        self.words_told = true;
        self.outputs.extend(self.words());
    }

    /// What a broadcaster or moderator who comes has to know of forbidden words; `None` while there never was any.
    pub fn words(&self) -> Option<Output> {
        let (words, listed) = (self.forbidden.words(), self.policy.words.len());
        (self.words_told || listed > 0 || !words.is_empty())
            .then_some(Output::Words { words, listed })
    }

    fn say_mute(&mut self, notice: MuteNotice) {
        // The list is bounded by the marks; a beat says at most what fits, the next snapshot says the rest.
        if self.beat.muted.len() < Self::SNAPSHOT_MUTES {
            self.beat.muted.push(notice);
            if self.staff > 0 {
                self.micro.muted.push(notice);
            }
        }
    }

    fn pin(&mut self, comment: Option<Comment>) {
        self.pinned.clone_from(&comment);
        self.beat.pinned = Some(comment.clone());
        self.micro.pinned = Some(comment);
    }

    fn handle_report(&mut self, reporter: ViewerId, id: CommentId, now: UnixTime) {
        let shown = matches!(self.history.fate(id), Some(Fate::Shown(_)));
        let Some(comment) = self
            .history
            .comment(id)
            .filter(|comment| shown && comment.author != reporter)
            .cloned()
        else {
            return;
        };
        let author = comment.author;
        // Whoever moderates is not judged by chance.
        if comment.by_broadcaster
            || self.marks.is_moderator(author)
            || self.marks.is_silenced(author, now)
        {
            return;
        }
        let (no_duty, marks) = (&self.no_duty, &self.marks);
        let excluded =
            |viewer: ViewerId| no_duty.contains(&viewer) || marks.is_silenced(viewer, now);
        let policy = &self.policy.jury;
        let report = Report {
            reporter,
            author,
            comment: id,
            presence: &self.presence,
            policy,
            excluded: &excluded,
        };
        match self.juries.handle_report(report, &mut self.random, now) {
            Ok(jury) => {
                let jurors = jury.jurors.iter().map(|(viewer, _, _)| *viewer).collect();
                let notice = JuryNotice {
                    id: jury.id,
                    jurors,
                    comment: comment.clone(),
                    until: jury.until,
                };
                self.beat.juries.push(notice);
                self.outputs.push_back(Output::Reported(comment));
                self.touch(now);
            }
            // A reporter who has just reported is heard by nobody: a storm of reports costs nothing.
            Err(NoJury::Reporter | NoJury::Pending) => {}
            Err(NoJury::Juries | NoJury::Off) => self.outputs.push_back(Output::Reported(comment)),
        }
    }

    fn close_juries(&mut self, now: UnixTime) {
        for Closed {
            id,
            comment,
            author,
            finding,
        } in self.juries.close(&self.policy.jury, now)
        {
            let (action, until) = match finding {
                Finding::Mute => (
                    Action::Mute(author, self.policy.jury.mute),
                    Some(now + self.policy.jury.mute),
                ),
                Finding::MuteForGood => (Action::Block(author), None),
                Finding::Cleared | Finding::NoQuorum => {
                    self.outputs.push_back(Output::JuryEnded(id, finding));
                    continue;
                }
            };
            let done = if until.is_some() {
                self.marks.apply(action, now)
            } else {
                self.marks.mute_for_good(author)
            };
            if done.is_ok() {
                let words = self.history.comment(comment).cloned();
                self.outputs.push_back(Output::Audit(AuditEntry {
                    at: now,
                    by: Actor::Jury(id),
                    action,
                    comment: words,
                }));
                self.say_mute(MuteNotice {
                    viewer: author,
                    until,
                });
                self.keep(now);
                self.touch(now);
            }
            self.outputs.push_back(Output::JuryEnded(id, finding));
        }
    }

    fn jury_notices(&self) -> Vec<JuryNotice> {
        let open = self.juries.open().iter().filter_map(|jury| {
            let comment = self.history.comment(jury.comment)?.clone();
            let jurors = jury.jurors.iter().map(|(viewer, _, _)| *viewer).collect();
            Some(JuryNotice {
                id: jury.id,
                jurors,
                comment,
                until: jury.until,
            })
        });
        // What a coming beat will say is not yet part of a snapshot.
        open.filter(|notice| !self.beat.juries.iter().any(|coming| coming.id == notice.id))
            .collect()
    }

    /// Something has to be said.
    fn touch(&mut self, now: UnixTime) {
        self.pending_since.get_or_insert(now);
        if self.staff > 0 {
            self.micro_since.get_or_insert(now);
        }
    }

    fn rules(&self) -> Rules {
        let level = self.ladder.level();
        let loaded = level >= Level::L2;
        Rules {
            tap_one_in: self.ladder.tap_one_in(),
            heartbeat_one_in: self.heartbeat_one_in,
            slow: self.slow.max(level::slow(level)),
            gate: if level == Level::L4 {
                Gate::Nobody
            } else {
                self.gate
            },
            beat_every: if loaded {
                self.policy.beat_every_loaded
            } else {
                self.policy.beat_every
            },
            tap_every: if level >= Level::L2 {
                self.policy.tap_every_loaded
            } else {
                self.policy.tap_every
            },
            ..Rules::of(&self.policy)
        }
    }
}

impl Rules {
    /// The rules of a quiet room.
    pub fn of(policy: &Policy) -> Self {
        Self {
            tap_every: policy.tap_every,
            tap_one_in: 1,
            heartbeat_every: policy.heartbeat_every,
            heartbeat_one_in: 1,
            slow: Duration::ZERO,
            gate: Gate::All,
            beat_every: policy.beat_every,
            reconnect_jitter: Duration::from_secs(5),
            juries: policy.jury.enabled,
        }
    }
}
