//! The flash jury: a report draws a few random viewers, who decide within seconds.
//!
//! In → Out: a report, votes, time → jurors, then a [`Finding`].
//! Neither the reporter nor the author sits; viewers from the reporter's network only if others do not suffice. Settled
//! viewers' votes count double. "Not sure" counts as turnout for neither side; a tie clears the author. One author stands
//! before one jury at a time, a comment before one jury ever, and the number of juries is bounded.
//! Spec: `docs/ix.md`, "Flash jury".

use std::collections::BTreeMap;

use media::UnixTime;

use crate::presence::Presence;
use crate::rules::JuryPolicy;
use crate::{CommentId, JuryId, Random, ViewerId};

/// What a juror says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// Abuse or spam.
    Abuse,
    /// Looks fine.
    Fine,
    /// Not sure.
    Unsure,
}

/// What a jury found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The author is muted, for the first time.
    Mute,
    /// The author is muted for the rest of the broadcast.
    MuteForGood,
    /// Nothing happens.
    Cleared,
    /// Too few votes.
    NoQuorum,
}

#[derive(Clone, Debug)]
pub(crate) struct Jury {
    pub(crate) id: JuryId,
    pub(crate) comment: CommentId,
    pub(crate) author: ViewerId,
    pub(crate) jurors: Vec<(ViewerId, u32, Option<Vote>)>,
    pub(crate) until: UnixTime,
}

/// A jury that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) id: JuryId,
    pub(crate) comment: CommentId,
    pub(crate) author: ViewerId,
    pub(crate) finding: Finding,
}

/// Why a report draws no jury. Moderators hear of the report all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoJury {
    /// This reporter has just reported.
    Reporter,
    /// This author or comment stands, or has just stood, before a jury.
    Pending,
    /// Too many juries, or too few viewers to draw from.
    Juries,
    /// Switched off.
    Off,
}

/// All juries of one room.
#[derive(Debug)]
pub(crate) struct Juries {
    open: Vec<Jury>,
    next: u32,
    /// When authors last stood before a jury, and how often they were muted; bounded.
    authors: BTreeMap<ViewerId, (UnixTime, u32)>,
    /// When viewers last reported; bounded.
    reporters: BTreeMap<ViewerId, UnixTime>,
    judged: BTreeMap<CommentId, UnixTime>,
    max: usize,
}

impl Juries {
    pub(crate) fn new(max: usize) -> Self {
        let (authors, reporters, judged) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            open: Vec::new(),
            next: 1,
            authors,
            reporters,
            judged,
            max: max.max(1),
        }
    }

    /// Whom juries have muted, and how often: the second time is for good.
    pub(crate) fn judged(&self) -> Vec<(ViewerId, u32)> {
        let muted = self.authors.iter().filter(|(_, (_, mutes))| *mutes > 0);
        muted
            .map(|(viewer, (_, mutes))| (*viewer, *mutes))
            .collect()
    }

    /// Goes on from before; what is beyond the bound is forgotten.
    pub(crate) fn restore(&mut self, judged: Vec<(ViewerId, u32)>) {
        let long_ago = UnixTime::default();
        let authors = judged.into_iter().take(self.max);
        self.authors = authors
            .map(|(viewer, mutes)| (viewer, (long_ago, mutes)))
            .collect();
    }

    pub(crate) fn open(&self) -> &[Jury] {
        &self.open
    }

    pub(crate) fn next_end(&self) -> Option<UnixTime> {
        self.open.iter().map(|jury| jury.until).min()
    }

    /// A report: draws a jury or says why not.
    pub(crate) fn handle_report(
        &mut self,
        report: Report<'_>,
        random: &mut Random,
        now: UnixTime,
    ) -> Result<&Jury, NoJury> {
        let policy = report.policy;
        if !policy.enabled {
            return Err(NoJury::Off);
        }
        if self
            .reporters
            .get(&report.reporter)
            .is_some_and(|last| now.since(*last).magnitude() < policy.pause)
        {
            return Err(NoJury::Reporter);
        }
        remember(&mut self.reporters, report.reporter, now, self.max);
        let recent = self
            .authors
            .get(&report.author)
            .is_some_and(|(last, _)| now.since(*last).magnitude() < policy.pause);
        let sitting = self.open.iter().any(|jury| jury.author == report.author);
        if recent || sitting || self.judged.contains_key(&report.comment) {
            return Err(NoJury::Pending);
        }
        if self.open.len() >= policy.open_max {
            return Err(NoJury::Juries);
        }
        let jurors = draw(&report, random, now);
        if jurors.len() < policy.size_min {
            return Err(NoJury::Juries);
        }
        remember(&mut self.judged, report.comment, now, self.max);
        let jury = Jury {
            id: JuryId(self.next),
            comment: report.comment,
            author: report.author,
            jurors,
            until: now + policy.time,
        };
        self.next = self.next.saturating_add(1);
        self.open.push(jury);
        self.open.last().ok_or(NoJury::Juries)
    }

    /// A vote; false if this viewer is not asked or has voted.
    pub(crate) fn handle_vote(&mut self, juror: ViewerId, jury: JuryId, vote: Vote) -> bool {
        let mut open = self
            .open
            .iter_mut()
            .filter(|open| open.id == jury)
            .flat_map(|open| open.jurors.iter_mut());
        match open.find(|(viewer, _, cast)| *viewer == juror && cast.is_none()) {
            Some((_, _, cast)) => {
                *cast = Some(vote);
                true
            }
            None => false,
        }
    }

    /// Juries whose time is over or whose jurors have all voted.
    pub(crate) fn close(&mut self, policy: &JuryPolicy, now: UnixTime) -> Vec<Closed> {
        let ended = |jury: &Jury| {
            jury.until <= now || jury.jurors.iter().all(|(_, _, vote)| vote.is_some())
        };
        let (over, open) = std::mem::take(&mut self.open)
            .into_iter()
            .partition::<Vec<_>, _>(ended);
        self.open = open;
        over.iter()
            .map(|jury| self.conclude(jury, policy, now))
            .collect()
    }

    fn conclude(&mut self, jury: &Jury, policy: &JuryPolicy, now: UnixTime) -> Closed {
        let votes = jury
            .jurors
            .iter()
            .filter_map(|(_, weight, vote)| vote.map(|vote| (*weight, vote)));
        let (mut turnout, mut abuse, mut fine) = (0, 0, 0);
        for (weight, vote) in votes {
            turnout += 1;
            match vote {
                Vote::Abuse => abuse += weight,
                Vote::Fine => fine += weight,
                Vote::Unsure => {}
            }
        }
        let mutes = self
            .authors
            .get(&jury.author)
            .map_or(0, |(_, mutes)| *mutes);
        let finding = match (turnout >= policy.turnout_min, abuse > fine, mutes) {
            (false, _, _) => Finding::NoQuorum,
            (true, false, _) => Finding::Cleared,
            (true, true, 0) => Finding::Mute,
            (true, true, _) => Finding::MuteForGood,
        };
        let muted = matches!(finding, Finding::Mute | Finding::MuteForGood);
        if self.authors.len() >= self.max && !self.authors.contains_key(&jury.author) {
            // Forget the author who stood longest ago, but rather one without a mute.
            let oldest = self
                .authors
                .iter()
                .min_by_key(|(_, (last, mutes))| (*mutes > 0, *last))
                .map(|(viewer, _)| *viewer);
            oldest.map(|viewer| self.authors.remove(&viewer));
        }
        self.authors
            .insert(jury.author, (now, mutes + u32::from(muted)));
        Closed {
            id: jury.id,
            comment: jury.comment,
            author: jury.author,
            finding,
        }
    }
}

/// A report and whom a jury can be drawn from.
#[derive(Clone, Copy)]
pub(crate) struct Report<'a> {
    pub(crate) reporter: ViewerId,
    pub(crate) author: ViewerId,
    pub(crate) comment: CommentId,
    pub(crate) presence: &'a Presence,
    pub(crate) policy: &'a JuryPolicy,
    /// Viewers who do not sit: opted out, muted, blocked.
    pub(crate) excluded: &'a dyn Fn(ViewerId) -> bool,
}

fn draw(
    report: &Report<'_>,
    random: &mut Random,
    now: UnixTime,
) -> Vec<(ViewerId, u32, Option<Vote>)> {
    let network = report
        .presence
        .seen(report.reporter)
        .map(|seen| seen.prefix);
    let eligible = report.presence.iter().filter(|(viewer, _)| {
        *viewer != report.reporter && *viewer != report.author && !(report.excluded)(*viewer)
    });
    let mut drawn: Vec<(bool, u64, ViewerId, u32)> = eligible
        .map(|(viewer, seen)| {
            let settled = now.since(seen.since).magnitude() >= report.policy.settled;
            (
                Some(seen.prefix) == network,
                random.next_u64(),
                viewer,
                1 + u32::from(settled),
            )
        })
        .collect();
    drawn.sort_unstable();
    drawn.truncate(report.policy.size);
    drawn
        .into_iter()
        .map(|(_, _, viewer, weight)| (viewer, weight, None))
        .collect()
}

/// Inserts and, when full, forgets the oldest.
fn remember<K: Ord + Copy>(map: &mut BTreeMap<K, UnixTime>, key: K, now: UnixTime, max: usize) {
    if map.len() >= max && !map.contains_key(&key) {
        let oldest = map
            .iter()
            .min_by_key(|(_, last)| **last)
            .map(|(key, _)| *key);
        oldest.map(|key| map.remove(&key));
    }
    map.insert(key, now);
}
