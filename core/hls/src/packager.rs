//! One rendition's access units become init sections, segments, chunks and parts.
//!
//! In → Out: [`Event`]s in decode order → [`Output`]s. Nothing waits: a picture leaves with the event that brought it.
//! A segment ends at the random access point nearest to the target, at the end of a session, when the tracks change,
//! when media time jumps, or at the hard limits. A new session and changed tracks begin a new epoch, so that one URL
//! has one body for ever. What is held is bounded by [`PackagerConfig`] and constants, whatever the events say.
//!
//! Spec: ISO/IEC 23000-19 (CMAF); RFC 8216bis, "Partial Segments"; design "Segments".

mod boundary;
mod chunk;
mod hole;
mod lane;
mod session;

use std::collections::VecDeque;

use formats::container::mpegts::mux as mpegts;
use media::{
    AccessUnit, Delta, Duration, Epoch, Event, SegmentId, Timestamp, Track, TrackKind, UnixTime,
};

use self::boundary::{Closing, Open, Rate};
use self::chunk::{Pending, Taken, Writer};
use self::lane::{Lane, Verdict};
use self::session::Session;
use crate::part::{self, PartPlan};
use crate::timeline::Timeline;
use crate::{Cut, Output, Start};

/// Which of a broadcast's tracks a rendition carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Picture and sound.
    #[default]
    All,
    /// Sound alone.
    AudioOnly,
}

/// Who decides where segments begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundaries {
    /// This packager, at random access points.
    #[default]
    Own,
    /// Another packager; see [`Packager::cut_at`].
    Follow,
}

/// Whether the same access units are also made into MPEG-TS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TsForm {
    /// Yes.
    #[default]
    Made,
    /// No: saves the copy of each access unit.
    Omitted,
}

/// How a packager cuts. `Default` is what viewers of a live broadcast want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagerConfig {
    /// Which tracks are taken.
    pub selection: Selection,
    /// Who decides where segments begin.
    pub boundaries: Boundaries,
    /// Whether MPEG-TS is made.
    pub ts: TsForm,
    /// A segment ends at the random access point nearest to this length.
    pub segment_target: Duration,
    /// A segment ends at this length whatever comes.
    pub segment_max: Duration,
    /// A segment ends before it would pass this many bytes.
    pub segment_bytes_max: usize,
    /// Access units are joined to chunks of this length; `None`: one picture a chunk where overhead allows.
    pub chunk: Option<Duration>,
    /// Parts are made of as many access units as come nearest to this length.
    pub part_target: Duration,
}

impl Default for PackagerConfig {
    fn default() -> Self {
        Self {
            selection: Selection::All,
            boundaries: Boundaries::Own,
            ts: TsForm::Made,
            segment_target: Duration::from_secs(2),
            segment_max: Duration::from_secs(16),
            segment_bytes_max: 64 << 20,
            chunk: None,
            part_target: Duration::from_millis(150),
        }
    }
}

/// Cuts one rendition of one broadcast. Feed it every event of every session, in order.
#[derive(Debug)]
pub struct Packager {
    config: PackagerConfig,
    session: Option<Session>,
    timeline: Timeline,
    writer: Writer,
    open: Option<Open>,
    pending: Pending,
    /// The name of the next segment if nothing changes.
    next: SegmentId,
    /// The epoch whose init section came out last.
    init: Option<Epoch>,
    due: Due,
    /// Boundaries of the followed packager that were not reached yet, oldest first.
    cuts: VecDeque<Cut>,
    plan: Option<PartPlan>,
    /// What the segment before this one cost.
    rate: Rate,
    outputs: VecDeque<Output>,
    finished: bool,
}

/// What the next segment must begin with, beside what every segment begins with.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    init: bool,
    discontinuity: bool,
    rebase: bool,
}

/// Cuts that a follower has not reached; beyond that the oldest is carried out without media.
const CUTS_MAX: usize = 2;
/// Sound goes on alone when no picture comes for this long, at the beginning and later.
const PICTURE_WAIT: Duration = Duration::from_secs(2);
const PICTURE_GONE: Duration = Duration::from_secs(5);
const PENDING_BYTES_MAX: usize = 8 << 20;
/// That many sounds share a chunk, at most, and fill a part if it can hold them: with fewer the container is more than a
/// twentieth of what is sent.
const SOUNDS: u64 = 8;

impl Packager {
    /// A packager whose first segment is `start`.
    pub fn new(config: PackagerConfig, start: Start) -> Self {
        let ts = (config.ts == TsForm::Made).then(|| mpegts::Mux::new(&[]));
        Self {
            config,
            session: None,
            timeline: Timeline::default(),
            writer: Writer::new(ts),
            open: None,
            pending: Pending::default(),
            next: SegmentId {
                epoch: start.epoch,
                msn: start.msn,
            },
            init: None,
            due: Due::default(),
            cuts: VecDeque::new(),
            plan: None,
            rate: Rate::default(),
            outputs: VecDeque::new(),
            finished: false,
        }
    }

    /// Takes one event; `now` bounds the wall-clock time that units claim. Nothing happens after [`Packager::finish`].
    pub fn handle_event(&mut self, event: &Event, now: UnixTime) {
        if self.finished {
            return;
        }
        match event {
            Event::Tracks(tracks) => self.set_tracks(tracks),
            Event::Unit(unit) => self.handle_unit(unit, now),
            Event::Discontinuity(_) => self.break_time(),
            Event::End(_) => self.end_session(),
        }
    }

    /// [`Boundaries::Follow`] only: a segment of the packager that is followed begins here. Feed each event to the
    /// followed packager first, hand over the cut of each [`Output::SegmentStart`], then feed the event here.
    pub fn cut_at(&mut self, cut: Cut) {
        if self.finished || self.config.boundaries == Boundaries::Own {
            return;
        }
        self.cuts.push_back(cut);
        while self.cuts.len() > CUTS_MAX {
            // Nothing came for a whole segment.
            self.skip_cut();
        }
    }

    /// The next output, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Ends the broadcast: closes the open segment; [`Output::Finished`] is the last output.
    pub fn finish(&mut self) {
        if !self.finished {
            self.close(Closing::Break);
            self.finished = true;
            self.outputs.push_back(Output::Finished);
        }
    }

    fn set_tracks(&mut self, tracks: &[Track]) {
        let following = self.config.boundaries == Boundaries::Follow;
        let Some(mut session) = Session::new(tracks, self.config.selection, following) else {
            self.end_session();
            return;
        };
        if self
            .session
            .as_ref()
            .is_some_and(|current| current.tracks == session.tracks)
        {
            return;
        }
        self.close(Closing::Break);
        match self.session.take() {
            // The same session goes on, and so does its time.
            Some(before) => session.carry_over(before),
            None => self.due.rebase = true,
        }
        self.session = Some(session);
        self.due.init = true;
        self.interrupt(false);
    }

    fn end_session(&mut self) {
        if self.session.is_none() {
            return;
        }
        self.close(Closing::Break);
        self.skip_cuts();
        self.session = None;
        // Whoever comes back begins a new epoch, so the next name is known.
        self.due = Due {
            init: true,
            discontinuity: false,
            rebase: true,
        };
        self.interrupt(true);
    }

    /// Media time broke: what follows is placed by the wall clock, from a random access point on.
    fn break_time(&mut self) {
        self.close(Closing::Break);
        self.skip_cuts();
        let Some(session) = &mut self.session else {
            return;
        };
        // Whether pictures come back with the new time is open, and the next name must be known now.
        self.due.init |= std::mem::take(&mut session.picture_gone);
        session.restart();
        self.due.discontinuity = true;
        self.due.rebase = true;
        self.interrupt(false);
    }

    /// Tells which segment comes next, now that none is open.
    fn interrupt(&mut self, away: bool) {
        if self.init.is_some() || away {
            self.outputs.push_back(Output::Interrupted {
                next: self.upcoming(),
                away,
            });
        }
    }

    /// The name that the next segment will have.
    fn upcoming(&self) -> SegmentId {
        let renewed = self.init.is_some() && self.due.init;
        let epoch = if renewed {
            self.next.epoch.next()
        } else {
            self.next.epoch
        };
        SegmentId {
            epoch,
            msn: self.next.msn,
        }
    }

    fn handle_unit(&mut self, unit: &AccessUnit, now: UnixTime) {
        let Some(session) = &mut self.session else {
            return;
        };
        if session.note_clock(unit) {
            self.move_sound();
            return;
        }
        let front = session.front();
        let lane = session
            .video
            .iter_mut()
            .chain(&mut session.audio)
            .find(|lane| lane.id() == unit.track);
        let Some(lane) = lane else { return };
        let kind = lane.layout.kind;
        let verdict = lane.judge(unit, front);
        if kind == TrackKind::Audio {
            session.note_sound();
        }
        match verdict {
            Verdict::Drop => return,
            Verdict::Jump => self.break_time(),
            Verdict::Take => {}
        }
        if self.pending.bytes + unit.payload.len() > PENDING_BYTES_MAX {
            self.flush();
        }
        match kind {
            TrackKind::Video => self.handle_picture(unit, now),
            TrackKind::Audio => self.handle_sound(unit, now),
        }
    }

    fn handle_picture(&mut self, unit: &AccessUnit, now: UnixTime) {
        let Some(session) = &mut self.session else {
            return;
        };
        let Some(lane) = &mut session.video else {
            return;
        };
        lane.advance(unit);
        // Nothing can be decoded before a random access point.
        if !unit.random_access && (self.open.is_none() || session.picture_gone) {
            return;
        }
        let gop = if unit.random_access {
            lane.mark_random_access(unit.pts)
        } else {
            None
        };
        let mut taken = Taken::new(unit, lane, now);
        if self.open.is_none() || session.picture_gone {
            lane.cover.forget();
        }
        lane.cover.close_hole(&mut taken);
        if unit.random_access {
            self.flush();
        }
        match self.config.boundaries {
            Boundaries::Follow => {
                let near = Duration::from_nanos(taken.duration.as_nanos() / 2);
                self.follow_due(|cut| unit.random_access && taken.pts + near >= cut.pts);
            }
            Boundaries::Own => self.cut_at_picture(&taken, gop),
        }
        if self.open.is_none() || !self.timeline.admit(TrackKind::Video, taken.dts) {
            return;
        }
        let end = taken.end();
        self.pending.push(TrackKind::Video, taken);
        if self.is_chunk() {
            self.gather_sound(end);
            self.flush();
        }
    }

    /// Begins a segment at this picture if one is due.
    fn cut_at_picture(&mut self, taken: &Taken, gop: Option<Duration>) {
        if let Some(session) = &mut self.session
            && session.picture_gone
        {
            // Only random access points come this far: the picture is back.
            session.picture_gone = false;
            self.due.init = true;
            self.start_own(taken);
            return;
        }
        let Some(open) = &self.open else {
            self.start_own(taken);
            return;
        };
        let elapsed = taken
            .pts
            .since(open.start)
            .to_duration()
            .unwrap_or(Duration::ZERO);
        // The nearer of this random access point and the next, if that is as far away as the one before.
        let half = Duration::from_nanos(gop.unwrap_or(Duration::ZERO).as_nanos() / 2);
        let near = taken.random_access
            && elapsed > Duration::ZERO
            && elapsed + half >= self.config.segment_target;
        if near || self.is_full(elapsed, taken.payload.len()) {
            self.start_own(taken);
        }
    }

    /// Whether the hard limits end the open segment.
    fn is_full(&self, elapsed: Duration, more: usize) -> bool {
        let bytes = self.open.as_ref().map_or(0, |open| open.payload) + self.pending.bytes + more;
        elapsed >= self.config.segment_max || bytes > self.config.segment_bytes_max
    }

    fn handle_sound(&mut self, unit: &AccessUnit, now: UnixTime) {
        let Some(session) = &mut self.session else {
            return;
        };
        let Some(lane) = &mut session.audio else {
            return;
        };
        lane.advance(unit);
        let taken = Taken::new(unit, lane, now);
        session.hold(taken);
        self.move_sound();
    }

    /// Lets sound leave that need not wait any more.
    fn move_sound(&mut self) {
        let ahead = self.chunk_length().times(2);
        let open = self.open.is_some();
        let own = self.config.boundaries == Boundaries::Own;
        let Some(session) = &mut self.session else {
            return;
        };
        if !session.has_picture() {
            let limit = match session.take_clock() {
                _ if session.runs_ahead(ahead) => None,
                session::Clock::None => None,
                session::Clock::At(dts) => Some(dts),
                session::Clock::Unchanged => return,
            };
            while let Some(taken) = self
                .session
                .as_mut()
                .and_then(|session| session.release(limit))
            {
                self.add_sound(taken);
            }
            return;
        }
        let wait = if open { PICTURE_GONE } else { PICTURE_WAIT };
        if own && session.picture_missing() > wait {
            let end = session.first_held().map(|first| first.pts);
            session.picture_gone = true;
            self.close(end.map_or(Closing::Break, |end| Closing::At { end, audio: None }));
            self.due.init = true;
            self.interrupt(false);
            self.move_sound();
        } else if open && session.runs_ahead(ahead) {
            self.leave_without_picture();
        }
    }

    /// Sound in a rendition, or at a time, without pictures: segments are cut by time.
    fn add_sound(&mut self, taken: Taken) {
        // From before the very first unit of the broadcast, where media time begins: it has no place.
        if !self.due.rebase && self.timeline.map(taken.dts) < Timestamp::ZERO {
            return;
        }
        if self.config.boundaries == Boundaries::Follow {
            self.follow_due(|cut| taken.pts >= cut.audio_pts);
        } else {
            let elapsed = self.open.as_ref().map(|open| {
                taken
                    .pts
                    .since(open.start)
                    .to_duration()
                    .unwrap_or_default()
            });
            let half = Duration::from_nanos(taken.duration.as_nanos() / 2);
            let ends = elapsed.is_none_or(|elapsed| {
                elapsed + half >= self.config.segment_target
                    || self.is_full(elapsed, taken.payload.len())
            });
            if ends {
                self.start_own(&taken);
            }
        }
        if self.open.is_none() || !self.timeline.admit(TrackKind::Audio, taken.dts) {
            return;
        }
        // A hole in the sound must not hide inside a chunk, where it would look like one long sound.
        let hole = self
            .pending
            .audio
            .last()
            .is_some_and(|last| taken.pts.since(last.end()) > Delta::from_millis(1));
        if hole {
            self.flush();
        }
        self.pending.push(TrackKind::Audio, taken);
        if self.is_chunk() {
            self.flush();
        }
    }

    /// Sound ran ahead of the pictures: it leaves in a chunk of its own.
    fn leave_without_picture(&mut self) {
        let Some(first) = self.session.as_ref().and_then(Session::first_held).cloned() else {
            return;
        };
        let start = self.open.as_ref().map_or(first.pts, |open| open.start);
        let elapsed = first
            .pts
            .since(start)
            .to_duration()
            .unwrap_or(Duration::ZERO);
        if self.config.boundaries == Boundaries::Own && self.is_full(elapsed, 0) {
            self.start_own(&first);
        }
        self.release_sound(self.cuts.front().map(|cut| cut.audio_pts));
        self.flush();
    }

    /// Puts the sound that belongs before `end` beside the pictures of the chunk that is about to leave.
    fn gather_sound(&mut self, end: Timestamp) {
        if let (Some(open), Some(session)) = (&self.open, &mut self.session) {
            session.fill_silence(open.start, end);
        }
        self.release_sound(Some(
            self.cuts.front().map_or(end, |cut| cut.audio_pts.min(end)),
        ));
    }

    fn release_sound(&mut self, limit: Option<Timestamp>) {
        while let Some(taken) = self
            .session
            .as_mut()
            .and_then(|session| session.release(limit))
        {
            // Sound that was late when the session began would overlap what came before.
            if self.timeline.admit(TrackKind::Audio, taken.dts) {
                self.pending.push(TrackKind::Audio, taken);
            }
        }
    }

    /// Whether what is pending is a chunk: one more unit of usual length would make it too long.
    fn is_chunk(&self) -> bool {
        let usual = self.usual().as_nanos();
        (self.pending.length().as_nanos() + usual) * 4 > self.chunk_length().as_nanos() * 4 + usual
    }

    /// The lane whose units make the chunks.
    fn leading(&self) -> Option<&Lane> {
        let session = self.session.as_ref()?;
        if session.has_picture() {
            session.video.as_ref()
        } else {
            session.audio.as_ref()
        }
    }

    fn usual(&self) -> Duration {
        self.leading()
            .map_or(Duration::from_millis(33), Lane::usual)
    }

    /// How long chunks are to be.
    fn chunk_length(&self) -> Duration {
        /// Pictures, at most, that share a chunk.
        const PICTURES: u64 = 4;
        let usual = self.usual();
        if let Some(length) = self.config.chunk {
            return length.max(usual);
        }
        let units = self.part_units(usual);
        usual.times(if self.has_picture() {
            part::joined(units, self.rate.needed(), PICTURES)
        } else {
            part::joined(units, SOUNDS, SOUNDS)
        })
    }

    /// How long parts are to be: a whole number of chunks.
    fn part_length(&self) -> Duration {
        let unit = match self.config.chunk {
            Some(_) => self.chunk_length(),
            None => self.usual(),
        };
        unit.times(self.part_units(unit))
    }

    fn part_units(&self, unit: Duration) -> u64 {
        let target = self.config.part_target;
        if self.has_picture() {
            return part::units(target, unit);
        }
        let most = target + Duration::from_nanos(target.as_nanos() / 3);
        part::units(target.max(unit.times(SOUNDS)).min(most), unit)
    }

    fn has_picture(&self) -> bool {
        self.session.as_ref().is_none_or(Session::has_picture)
    }
}
