//! The tick: when a room speaks, and what a beat holds.
//!
//! In → Out: the time → beats and micro-beats that are due.
//! Beats stand on a grid of the wall clock, so that the timers of many rooms fall together; a room without anything to say
//! has no timer at all.
//! Spec: `docs/ix.md`, "Beats".

use media::{Duration, UnixTime};

use super::{Joined, Output, Room};
use crate::level::{self, Load};
use crate::{Beat, Level};

impl Room {
    /// When [`Room::handle_timeout`] has to be called; `None` for an idle room.
    pub fn next_timeout(&self) -> Option<UnixTime> {
        let beat = self.pending_since.map(|since| self.beat_due(since));
        let micro = self
            .micro_since
            .map(|since| since + self.policy.micro_every);
        let review = self.reviews.values().map(|(until, _)| *until).min();
        // A coming beat counts viewers anyway.
        let presence = if beat.is_none() {
            self.presence.next_change()
        } else {
            None
        };
        let load = if self.ladder.is_settled() && !self.has_load() {
            None
        } else {
            Some(self.load_since + Self::LOAD_EVERY)
        };
        [beat, micro, review, presence, load, self.juries.next_end()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: UnixTime) {
        self.expire_reviews(now);
        if self.juries.next_end().is_some_and(|end| end <= now) {
            self.close_juries(now);
        }
        // A clock that stepped back must not stop the room.
        if now < self.load_since || now < self.last_beat {
            (self.load_since, self.last_beat) = (now, now);
        }
        if now.since(self.load_since).magnitude() >= Self::LOAD_EVERY {
            self.observe_load(now);
        }
        if self.pending_since.is_none()
            && self
                .presence
                .next_change()
                .is_some_and(|change| change <= now)
        {
            self.count_viewers(now);
        }
        if self
            .micro_since
            .is_some_and(|since| since + self.policy.micro_every <= now || now < since)
        {
            self.emit_micro(now);
        }
        if self
            .pending_since
            .is_some_and(|since| self.beat_due(since) <= now || now < since)
        {
            self.emit_beat(now);
        }
    }

    const LOAD_EVERY: Duration = Duration::from_secs(1);
    const VIEWERS_EVERY: Duration = Duration::from_secs(1);

    /// The first point of the grid after something happened, and one step after the last beat at the earliest.
    fn beat_due(&self, since: UnixTime) -> UnixTime {
        let step = self.rules().beat_every.as_nanos().max(1);
        let next = |time: UnixTime| {
            UnixTime::from_nanos(
                (time.as_nanos() / step)
                    .saturating_add(1)
                    .saturating_mul(step),
            )
        };
        next(since.max(self.last_beat))
    }

    fn has_load(&self) -> bool {
        self.load.comments > 0 || self.load.posts > 0 || self.load.joins > 0
    }

    fn observe_load(&mut self, now: UnixTime) {
        let elapsed = now
            .since(self.load_since)
            .magnitude()
            .as_millis()
            .max(1_000);
        let pressure = self.pressure.take().unwrap_or(self.load.pressure);
        // After a quiet time the load is spread over it, which is what a rate means.
        let load = Load {
            comments: u32::try_from(u64::from(self.load.comments) * 1_000 / elapsed)
                .unwrap_or(u32::MAX),
            posts: self.load.posts.saturating_mul(1_000) / elapsed,
            joins: self.load.joins.saturating_mul(1_000) / elapsed,
            pressure,
        };
        self.ladder.observe(load, &self.policy, now);
        self.load = Load {
            pressure,
            ..Load::default()
        };
        self.load_since = now;
        if self.rules() != self.said_rules || self.ladder.level() != self.said_level {
            self.touch(now);
        }
    }

    fn count_viewers(&mut self, now: UnixTime) {
        let viewers = self.presence.count(now);
        self.heartbeat_one_in =
            level::heartbeat_one_in(viewers.count, self.heartbeat_one_in, &self.policy);
        // An estimate moves all the time: once a second is enough of it.
        let soon = now.since(self.said_viewers).magnitude() < Self::VIEWERS_EVERY;
        if viewers != self.viewers && !(viewers.error > 0 && soon) {
            (self.viewers, self.said_viewers) = (viewers, now);
            self.beat.viewers = Some(viewers);
            self.micro.viewers = Some(viewers);
            self.touch(now);
        }
    }

    fn emit_beat(&mut self, now: UnixTime) {
        self.count_viewers(now);
        self.choose_comments(now);
        let rules = self.rules();
        if rules != self.said_rules {
            (self.said_rules, self.beat.rules, self.micro.rules) =
                (rules, Some(rules), Some(rules));
        }
        if self.ladder.level() != self.said_level {
            self.said_level = self.ladder.level();
            (self.beat.level, self.micro.level) = (Some(self.said_level), Some(self.said_level));
        }
        if self.staff > 0 && (self.micro.rules.is_some() || self.micro.level.is_some()) {
            // Found out only now, when the micro-beat of what led to it may be gone already.
            self.micro_since.get_or_insert(now);
        }
        let next = Beat {
            seq: self.beat.seq + 1,
            ..Beat::default()
        };
        let mut beat = std::mem::replace(&mut self.beat, next);
        beat.at = now;
        beat.hearts_total = self
            .hearts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count));
        beat.comments_total = self.comments_total;
        if self.ladder.level() >= Level::L2 {
            beat.joins.names.clear();
        }
        self.joined = Joined::default();
        self.last_beat = now;
        // Candidates that were not chosen keep the room ticking until they are shown or have lost.
        self.pending_since = if self.pool.is_empty() {
            None
        } else {
            Some(now)
        };
        self.outputs.push_back(Output::Beat(beat));
    }

    fn choose_comments(&mut self, now: UnixTime) {
        let waiting = u32::try_from(self.pool.len()).unwrap_or(u32::MAX);
        let rate = if self.ladder.level() >= Level::L2 {
            self.policy.shown_loaded
        } else {
            self.policy.shown
        };
        let free = self.shown.take(rate, waiting, now);
        let chosen = self.pool.take(free);
        let seq = self.beat.seq;
        for id in chosen {
            let Some(comment) = self.history.comment(id).cloned() else {
                continue;
            };
            self.comments_total = self.comments_total.saturating_add(1);
            self.decide(id, comment.author, Ok(seq));
            self.beat.comments.push(comment);
        }
        for lost in self.pool.expire(self.policy.candidate_wait, now) {
            self.lose(lost);
        }
    }

    fn emit_micro(&mut self, now: UnixTime) {
        self.micro_since = None;
        let mut micro = std::mem::take(&mut self.micro);
        if self.staff == 0 {
            return;
        }
        micro.seq = self.beat.seq;
        micro.at = now;
        micro.hearts_total = self
            .hearts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count));
        micro.comments_total = self.comments_total;
        self.outputs.push_back(Output::Micro(micro));
    }
}
