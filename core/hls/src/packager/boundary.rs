//! Where segments and chunks begin and end: the half of the packager that numbers and writes.
//!
//! In → Out: decisions of `packager` and cuts of a followed packager → [`Output`]s in their order.
//! A follower takes the number, the epoch, the date and the place on the timeline of each segment from the cut, so all
//! renditions of a broadcast have the same number for the same time.
//!
//! Spec: RFC 8216bis, "EXT-X-DISCONTINUITY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME"; 6.2.4 "Providing Variant Streams".

use formats::container::fmp4::mux as fmp4;
use media::{Duration, SegmentId, Timestamp, UnixTime};

use super::chunk::{Context, Taken};
use super::{Packager, Selection};
use crate::part::{PartBuilder, PartPlan};
use crate::{Cut, Output, Part};

/// The open segment.
#[derive(Debug)]
pub(super) struct Open {
    id: SegmentId,
    /// Session presentation time of its first unit.
    pub(super) start: Timestamp,
    /// How far its media reaches in session decode time.
    end: Timestamp,
    /// How far anything in it reaches in session presentation time.
    end_shown: Timestamp,
    date: UnixTime,
    /// Whether its epoch has a picture track.
    has_picture: bool,
    chunks: u32,
    /// Bytes of access units in it so far.
    pub(super) payload: usize,
    parts: PartBuilder,
    next_part: u32,
    rate: Rate,
}

/// How the open segment ends.
#[derive(Clone, Copy)]
pub(super) enum Closing {
    /// The next begins at `end`; sound before `audio`, if given, still belongs to this one.
    At {
        end: Timestamp,
        audio: Option<Timestamp>,
    },
    /// Nobody knows what comes next: everything that waits leaves now.
    Break,
}

/// A boundary further from the media than this is not believed.
const AWRY: Duration = Duration::from_secs(60);

/// What a segment cost, to choose how many pictures share a chunk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    payload: usize,
    overhead: usize,
    chunks: usize,
    pictures: usize,
}

impl Rate {
    /// How many pictures a chunk needs so that the container stays under 5 % of it.
    pub(super) fn needed(self) -> u64 {
        const OVERHEAD_PERMILLE: usize = 45;
        if self.chunks == 0 || self.pictures == 0 {
            return 1;
        }
        let overhead = self.overhead / self.chunks * 1_000;
        let picture = (self.payload / self.pictures * OVERHEAD_PERMILLE).max(1);
        overhead.div_ceil(picture).max(1) as u64
    }
}

impl Packager {
    /// Begins a segment at this unit by our own decision.
    pub(super) fn start_own(&mut self, first: &Taken) {
        let fresh = self.open.is_none();
        self.close(Closing::At {
            end: first.pts,
            audio: None,
        });
        if self.due.rebase {
            self.timeline.rebase(first.dts, first.pts, first.wall);
        }
        let date = self.timeline.date(self.timeline.map(first.pts), first.wall);
        let id = self.upcoming();
        let Some(session) = &mut self.session else {
            return;
        };
        if fresh {
            session.forget_before(first.dts);
        }
        let audio_pts = if session.has_picture() {
            session.audio_boundary(first.dts)
        } else {
            first.pts
        };
        let cut = Cut {
            id,
            discontinuity: self.init.is_some() && (self.due.init || self.due.discontinuity),
            program_date_time: date,
            pts: first.pts,
            audio_pts,
            shift: self.timeline.shift(),
        };
        self.start(cut, first.pts, first.dts);
    }

    /// Begins the segments of all cuts that are due.
    pub(super) fn follow_due(&mut self, is_due: impl Fn(&Cut) -> bool) {
        while let Some(cut) = self.cuts.pop_front_if(|cut| is_due(cut)) {
            // Before our first segment there is nothing to keep in step: the newest will do.
            if self.open.is_some() || !self.cuts.front().is_some_and(&is_due) {
                self.follow(cut);
            }
        }
    }

    /// Carries out the oldest cut although nothing came for it.
    pub(super) fn skip_cut(&mut self) {
        if let Some(cut) = self.cuts.pop_front()
            && self.open.is_some()
        {
            self.follow(cut);
        }
    }

    /// Carries out all cuts, so that no number is left out, and leaves no segment open.
    pub(super) fn skip_cuts(&mut self) {
        let following = self.plan.is_some();
        while let Some(cut) = self.cuts.pop_front() {
            if following {
                self.follow(cut);
            }
        }
        self.close(Closing::Break);
    }

    fn follow(&mut self, cut: Cut) {
        let renewed = self.init != Some(cut.id.epoch);
        // Our tracks changed and those of the followed did not: there is no name yet under which it could be told.
        let untellable = self.due.init && self.init.is_some() && !renewed;
        if cut.id.msn < self.next.msn || untellable || self.session.is_none() {
            return;
        }
        let start = if self.config.selection == Selection::AudioOnly {
            cut.audio_pts
        } else {
            cut.pts
        };
        let goes_on = self.open.is_some() && cut.shift == self.timeline.shift() && !self.due.rebase;
        self.close(if goes_on {
            Closing::At {
                end: start,
                audio: Some(cut.audio_pts),
            }
        } else {
            Closing::Break
        });
        if !goes_on && let Some(session) = &mut self.session {
            session.forget_before(cut.audio_pts);
        }
        self.timeline.adopt(cut.shift);
        self.due.init = renewed;
        // The cut that began this epoch may have been passed over, having come before anything of ours.
        let broken = self.due.init || self.due.discontinuity;
        let discontinuity = cut.discontinuity || (self.init.is_some() && broken);
        self.start(
            Cut {
                discontinuity,
                ..cut
            },
            start,
            start,
        );
    }

    fn start(&mut self, cut: Cut, start: Timestamp, end: Timestamp) {
        let tracks = self.session.as_ref().map(super::Session::present);
        if let Some(tracks) = tracks.filter(|_| self.due.init || self.init.is_none()) {
            self.writer.set_tracks(&tracks);
            // Without tracks or with a configuration that nobody can mean there is nothing to announce.
            let Ok(bytes) = fmp4::init_section(&tracks) else {
                return;
            };
            self.outputs.push_back(Output::Init {
                epoch: cut.id.epoch,
                bytes,
                tracks,
            });
            self.init = Some(cut.id.epoch);
        }
        self.writer.start_segment();
        self.due = super::Due::default();
        self.next = SegmentId {
            epoch: cut.id.epoch,
            msn: cut.id.msn.next(),
        };
        let plan = self.part_plan();
        self.plan = Some(plan);
        let picture = self
            .session
            .as_ref()
            .is_some_and(super::Session::has_picture);
        self.outputs.push_back(Output::SegmentStart {
            id: cut.id,
            discontinuity: cut.discontinuity,
            program_date_time: cut.program_date_time,
            part_target: plan.target,
            frame_duration: self
                .leading()
                .filter(|_| picture)
                .and_then(super::Lane::known),
            cut,
        });
        self.open = Some(Open {
            id: cut.id,
            start,
            end,
            end_shown: start,
            date: cut.program_date_time,
            has_picture: picture,
            chunks: 0,
            payload: 0,
            parts: PartBuilder::new(plan),
            next_part: 0,
            rate: Rate::default(),
        });
    }

    fn part_plan(&mut self) -> PartPlan {
        /// Stamps in whole milliseconds are not jitter.
        const STEADY: Duration = Duration::from_nanos(1_500_000);
        let chunk = self.chunk_length();
        let session = self.session.as_mut();
        let jitter = session.map_or(Duration::ZERO, super::Session::take_jitter);
        let jitter = if jitter > STEADY {
            jitter
        } else {
            Duration::ZERO
        };
        PartPlan::new(self.part_length(), chunk, jitter).settle(self.plan)
    }

    /// Ends the open segment at its last whole chunk.
    pub(super) fn close(&mut self, closing: Closing) {
        if self.open.is_none() {
            return;
        }
        match closing {
            Closing::At { audio: None, .. } => {}
            Closing::At { audio, .. } => self.release_sound(audio),
            Closing::Break => self.release_sound(None),
        }
        self.flush();
        let Some(mut open) = self.open.take() else {
            return;
        };
        if let Some(part) = open.parts.flush() {
            self.put_part(&mut open, part);
        }
        let natural = open
            .end_shown
            .since(open.start)
            .to_duration()
            .unwrap_or(Duration::ZERO);
        let duration = match closing {
            Closing::At { end, .. } if end.since(open.end_shown).magnitude() <= AWRY => {
                end.since(open.start).to_duration().unwrap_or(natural)
            }
            _ => natural,
        };
        if open.rate.pictures > 0 {
            self.rate = open.rate;
        }
        self.outputs.push_back(Output::SegmentEnd {
            id: open.id,
            duration,
        });
    }

    /// Lets what is pending leave as one chunk.
    pub(super) fn flush(&mut self) {
        let Some(session) = &mut self.session else {
            return;
        };
        let Some(mut open) = self.open.take() else {
            self.pending = super::Pending::default();
            return;
        };
        let shift = self.timeline.shift();
        let context = Context {
            has_picture: open.has_picture,
            video: session.video.as_mut(),
            audio: session.audio.as_mut(),
            shift,
            date: (open.chunks == 0).then_some(open.date),
        };
        if let Some(chunk) = self.writer.write(&mut self.pending, context) {
            if open.chunks == 0 && chunk.first.0.since(open.end).magnitude() > AWRY {
                (open.end, open.start) = chunk.first;
                open.end_shown = open.start;
            }
            let end = open.end.max(chunk.end);
            let duration = end.since(open.end).to_duration().unwrap_or(Duration::ZERO);
            let [before, completed] = open.parts.add(duration, chunk.independent);
            if let Some(part) = before {
                self.put_part(&mut open, part);
            }
            open.end = end;
            open.end_shown = open.end_shown.max(chunk.end_shown);
            open.chunks += 1;
            open.payload += chunk.payload;
            open.rate.chunks += 1;
            open.rate.payload += chunk.payload;
            open.rate.overhead += chunk.bytes.len().saturating_sub(chunk.payload);
            open.rate.pictures += chunk.pictures;
            self.timeline
                .reach(self.timeline.map(open.end.max(open.end_shown)));
            self.outputs.push_back(Output::Chunk {
                segment: open.id,
                bytes: chunk.bytes,
                ts: chunk.ts,
                duration,
                independent: chunk.independent,
            });
            if let Some(part) = completed {
                self.put_part(&mut open, part);
            }
        }
        self.open = Some(open);
    }

    fn put_part(&mut self, open: &mut Open, part: Part) {
        let Part {
            chunks,
            duration,
            independent,
        } = part;
        self.outputs.push_back(Output::Part {
            segment: open.id,
            part: open.next_part,
            chunks,
            duration,
            independent,
        });
        open.next_part += 1;
    }
}
