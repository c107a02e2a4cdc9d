//! The packagers of a broadcast's transcoded renditions: they follow `source`, so that the same MSN has the same PTS.
//!
//! In → Out: `source`'s cuts and what the transcoder says → outputs for the live windows. A rung may begin in the middle
//! of a broadcast, at the next segment of `source`; one whose encoder was lost leaves, what is open of it is aborted,
//! and it comes back with the numbers that `source` has then.
//! Spec: RFC 8216bis, "Multivariant Playlist" (variants have the same MSN for the same content).

use std::collections::{BTreeMap, VecDeque};

use delivery::LiveWriter;
use hls::{Boundaries, Cut, Packager, PackagerConfig};
use media::{AccessUnit, Duration, Event, RenditionName, TrackId, UnixTime};
use transcode::RungOutput;

use crate::session::Start;

/// Segments of `source` that a rung may begin at although they have begun: the encoder is a little behind.
const CUTS_KEPT: usize = 3;
/// Cuts kept for one change that the transcoder has not settled: some seconds.
const LATER_MAX: usize = 16;
/// Tracks, and more sound than comes before the first picture.
const EARLY_MAX: usize = 64;
/// Stamps of the same picture differ by less than this.
const SAME_PICTURE: Duration = Duration::from_millis(2);

/// See the module.
pub(crate) struct Rungs {
    config: PackagerConfig,
    packagers: BTreeMap<RenditionName, Packager>,
    /// Rungs whose first picture is awaited: their tracks, and sound from before it.
    starting: BTreeMap<RenditionName, Vec<Event>>,
    /// The last cuts of `source`, with the discontinuities before each.
    cuts: VecDeque<(Cut, u64)>,
    /// For each change of tracks and end of a session that `source` has behind it and the transcoder not: the cuts
    /// after it.
    later: VecDeque<VecDeque<(Cut, u64)>>,
}

impl Rungs {
    /// None yet; they will be cut like `source`, whose configuration this is.
    pub(crate) fn new(source: &PackagerConfig) -> Self {
        Self {
            config: PackagerConfig {
                boundaries: Boundaries::Follow,
                ..source.clone()
            },
            packagers: BTreeMap::new(),
            starting: BTreeMap::new(),
            cuts: VecDeque::new(),
            later: VecDeque::new(),
        }
    }

    /// The transcoder was told of other tracks or of the end of a session. What rungs bring until it has settled is of
    /// before: it must not be cut where what comes after is, whose shape is another or whose times begin anew.
    pub(crate) fn await_settled(&mut self) {
        self.later.push_back(VecDeque::new());
    }

    fn settle(&mut self) {
        self.cuts.clear();
        for (cut, before) in self.later.pop_front().unwrap_or_default() {
            self.follow(cut, before);
        }
    }

    /// A segment of `source` begins; `before` counts the discontinuities before it.
    pub(crate) fn cut_at(&mut self, cut: Cut, before: u64) {
        let Some(later) = self.later.back_mut() else {
            self.follow(cut, before);
            return;
        };
        later.push_back((cut, before));
        if later.len() > LATER_MAX {
            later.pop_front();
        }
    }

    fn follow(&mut self, cut: Cut, before: u64) {
        self.cuts.push_back((cut, before));
        if self.cuts.len() > CUTS_KEPT {
            self.cuts.pop_front();
        }
        for packager in self.packagers.values_mut() {
            packager.cut_at(cut);
        }
    }

    /// Takes what the transcoder says. `position` is `source`'s.
    pub(crate) fn handle(
        &mut self,
        said: RungOutput,
        position: Start,
        writer: &mut LiveWriter,
        now: UnixTime,
    ) {
        match said {
            RungOutput::Offered { rungs, lost } => {
                let gone: Vec<_> = self
                    .packagers
                    .keys()
                    .filter(|name| rungs.iter().all(|rung| rung.name != **name))
                    .copied()
                    .collect();
                writer.offer(rungs, lost);
                for name in gone {
                    self.remove(name, writer);
                }
            }
            RungOutput::Interrupted(name) => self.remove(name, writer),
            RungOutput::Settled => self.settle(),
            RungOutput::Event(name, event) => {
                if self.packagers.contains_key(&name) {
                    self.feed(name, &event, writer, now);
                } else if let Event::Tracks(_) = event {
                    self.starting.insert(name, vec![event]);
                } else if let Event::Unit(unit) = &event {
                    self.start_with(name, unit, position, writer, now);
                }
            }
        }
    }

    /// Ends every rung at its last whole chunk.
    pub(crate) fn finish(&mut self, writer: &mut LiveWriter) {
        for (name, mut packager) in std::mem::take(&mut self.packagers) {
            packager.finish();
            deliver(name, &mut packager, writer);
        }
    }

    /// Takes a unit of a rung that has not begun; its first key frame begins it.
    fn start_with(
        &mut self,
        name: RenditionName,
        unit: &AccessUnit,
        position: Start,
        writer: &mut LiveWriter,
        now: UnixTime,
    ) {
        let Some(before) = self.starting.get_mut(&name) else {
            return;
        };
        let is_picture = unit.track == TrackId::VIDEO;
        let begins = is_picture && unit.random_access;
        if begins || !is_picture && before.len() < EARLY_MAX {
            before.push(Event::Unit(unit.clone()));
        }
        if begins {
            let events = std::mem::take(before);
            self.starting.remove(&name);
            self.begin(name, unit, position, writer);
            for event in events {
                self.feed(name, &event, writer, now);
            }
        }
    }

    /// A rung begins at the segment of `source` that begins with this picture, or at the next.
    fn begin(
        &mut self,
        name: RenditionName,
        first: &AccessUnit,
        position: Start,
        writer: &mut LiveWriter,
    ) {
        let reached = |(cut, _): &&(Cut, u64)| cut.pts + SAME_PICTURE >= first.pts;
        let start = match self.cuts.iter().find(reached) {
            Some((cut, before)) => Start {
                epoch: cut.id.epoch,
                msn: cut.id.msn,
                discontinuity_sequence: *before,
            },
            // It has come too late for its session, and the numbers are those of the next.
            None if !self.later.is_empty() => return,
            None => position,
        };
        let mut packager = Packager::new(self.config.clone(), start);
        for (cut, _) in self.cuts.iter().filter(reached) {
            packager.cut_at(*cut);
        }
        writer.begin(name, start);
        self.packagers.insert(name, packager);
    }

    fn feed(&mut self, name: RenditionName, event: &Event, writer: &mut LiveWriter, now: UnixTime) {
        if let Some(packager) = self.packagers.get_mut(&name) {
            packager.handle_event(event, now);
            deliver(name, packager, writer);
        }
    }

    fn remove(&mut self, name: RenditionName, writer: &mut LiveWriter) {
        self.starting.remove(&name);
        if self.packagers.remove(&name).is_some() {
            writer.remove(name);
        }
    }
}

fn deliver(name: RenditionName, packager: &mut Packager, writer: &mut LiveWriter) {
    while let Some(output) = packager.poll_output() {
        writer.apply(name, &output);
    }
}
