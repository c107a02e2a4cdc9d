//! The objects of one track of a broadcast (a rendition, or the interaction track): window, live edge, and what is announced.
//!
//! In → Out: begin, append, end from the track's single writer → [`TrackView`], the immutable list that readers look ids up in.
//! The next two segments always exist as held objects, so that a request for them can be answered before they begin.
//! Spec: design "Segments"; RFC 8216, "Removal of segments" (6.2.2: what a playlist listed stays available for its length).

use std::sync::Arc;

use media::{Epoch, Msn, SegmentId};

use crate::growing::{Growing, State};

/// A segment and the forms in which it can be asked for.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub id: SegmentId,
    /// fMP4, or JSON lines on the interaction track.
    pub media: Arc<Growing>,
    /// MPEG-TS; stays held and is aborted at the end if no such bytes come.
    pub ts: Arc<Growing>,
}

/// What a request for a segment finds.
#[derive(Clone, Debug)]
pub enum Lookup<'a> {
    /// Announced, growing or complete.
    Found(&'a Entry),
    /// Was there, or would have been; is not served any more.
    Gone,
    /// Not announced yet, or never to be.
    Unknown,
}

/// The objects of a track at one moment, oldest first, announced ones last.
#[derive(Clone, Debug, Default)]
pub struct TrackView {
    entries: Vec<Entry>,
}

impl TrackView {
    /// All objects, oldest first; the last up to two are held.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Looks a segment up by its name. A known number under another epoch is unknown.
    pub fn lookup(&self, id: SegmentId) -> Lookup<'_> {
        match self
            .entries
            .binary_search_by_key(&id.msn, |entry| entry.id.msn)
        {
            Ok(index) => {
                let entry = &self.entries[index];
                if entry.id == id {
                    Lookup::Found(entry)
                } else {
                    Lookup::Unknown
                }
            }
            Err(0) => match self.entries.first() {
                Some(oldest) if id.epoch <= oldest.id.epoch => Lookup::Gone,
                _ => Lookup::Unknown,
            },
            Err(_) => Lookup::Unknown,
        }
    }

    /// The segment that grows now.
    pub fn current(&self) -> Option<&Entry> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.media.progress().state == State::Open)
    }

    /// Viewers of the segment that grows, or of the one awaited where none does. Who also waits for the next counts once.
    pub fn readers(&self) -> usize {
        let held = || {
            self.entries
                .iter()
                .find(|entry| entry.media.progress().state == State::Held)
        };
        let entry = self.current().or_else(held);
        entry.map_or(0, |entry| entry.media.readers() + entry.ts.readers())
    }
}

/// The single writer of a track's objects.
#[derive(Debug, Default)]
pub(crate) struct TrackWriter {
    view: TrackView,
    next: Option<SegmentId>,
}

impl TrackWriter {
    /// The view to publish.
    pub(crate) fn view(&self) -> TrackView {
        self.view.clone()
    }

    /// Announces the segments of an epoch, which begin after everything known. Held ones of an older epoch are aborted.
    pub(crate) fn announce_epoch(&mut self, epoch: Epoch) {
        match self.next {
            Some(next) if next.epoch == epoch => {}
            Some(next) => self.announce(SegmentId { epoch, ..next }),
            None => self.announce(SegmentId { epoch, msn: Msn(0) }),
        }
    }

    /// Names the next segment. Whatever else was announced will not come and is aborted.
    pub(crate) fn announce(&mut self, id: SegmentId) {
        if self.next != Some(id) {
            self.release();
        }
        self.next = Some(id);
        self.hold();
    }

    /// A segment begins: its held object opens, and the two after it are announced.
    pub(crate) fn begin(&mut self, id: SegmentId) {
        self.end();
        if !self.view.entries.iter().any(|entry| entry.id == id) {
            self.announce(id);
        }
        if let Some(entry) = self.entry_mut(id) {
            entry.media.open();
        }
        self.next = Some(SegmentId {
            msn: id.msn.next(),
            ..id
        });
        self.hold();
    }

    /// Adds a chunk to the named segment.
    pub(crate) fn append(&mut self, id: SegmentId, bytes: &[u8], ts: Option<&[u8]>) {
        if let Some(entry) = self.entry_mut(id) {
            entry.media.append(bytes);
            if let Some(ts) = ts {
                entry.ts.append(ts);
            }
        }
    }

    /// Completes the segment that grows, if any.
    pub(crate) fn end(&mut self) {
        for entry in self
            .view
            .entries
            .iter()
            .filter(|entry| entry.media.progress().state == State::Open)
        {
            entry.media.complete();
            entry.ts.complete();
        }
    }

    /// Aborts what is announced: it will not come.
    pub(crate) fn release(&mut self) {
        self.view.entries.retain(|entry| {
            let held = entry.media.progress().state == State::Held;
            if held {
                entry.media.abort();
                entry.ts.abort();
            }
            !held
        });
    }

    /// Aborts everything that is not complete.
    pub(crate) fn abort(&mut self) {
        self.release();
        for entry in &self.view.entries {
            entry.media.abort();
            entry.ts.abort();
        }
    }

    /// Viewers of the segment that grows.
    pub(crate) fn readers(&self) -> usize {
        self.view.readers()
    }

    /// The name of the oldest segment that is kept.
    pub(crate) fn oldest(&self) -> Option<SegmentId> {
        self.view.entries.first().map(|entry| entry.id)
    }

    /// Forgets segments before `oldest`. Readers that hold one may finish it.
    pub(crate) fn evict(&mut self, oldest: Msn) {
        self.view
            .entries
            .retain(|entry| entry.id.msn >= oldest || !entry.media.progress().is_final());
    }

    fn hold(&mut self) {
        let Some(mut id) = self.next else { return };
        for _ in 0..AHEAD {
            if self
                .view
                .entries
                .last()
                .is_none_or(|last| last.id.msn < id.msn)
            {
                self.view.entries.push(Entry {
                    id,
                    media: Growing::new(),
                    ts: Growing::new(),
                });
            }
            id.msn = id.msn.next();
        }
    }

    fn entry_mut(&mut self, id: SegmentId) -> Option<&mut Entry> {
        self.view
            .entries
            .iter_mut()
            .rev()
            .find(|entry| entry.id == id)
    }
}

/// How many segments can be asked for before they begin.
pub const AHEAD: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(epoch: u32, msn: u64) -> SegmentId {
        SegmentId {
            epoch: Epoch(epoch),
            msn: Msn(msn),
        }
    }

    fn names(writer: &TrackWriter) -> Vec<(String, State)> {
        writer
            .view
            .entries
            .iter()
            .map(|entry| (entry.id.to_string(), entry.media.progress().state))
            .collect()
    }

    fn check(writer: &TrackWriter, expect: &[(&str, State)]) {
        let expect: Vec<_> = expect
            .iter()
            .map(|&(name, state)| (name.to_owned(), state))
            .collect();
        assert_eq!(names(writer), expect);
    }

    #[test]
    fn the_next_two_segments_are_announced() {
        let mut writer = TrackWriter::default();
        writer.announce_epoch(Epoch(1));
        check(&writer, &[("1.0", State::Held), ("1.1", State::Held)]);
        writer.begin(id(1, 0));
        check(
            &writer,
            &[
                ("1.0", State::Open),
                ("1.1", State::Held),
                ("1.2", State::Held),
            ],
        );
        writer.append(id(1, 0), b"x", None);
        writer.begin(id(1, 1));
        check(
            &writer,
            &[
                ("1.0", State::Complete),
                ("1.1", State::Open),
                ("1.2", State::Held),
                ("1.3", State::Held),
            ],
        );
    }

    #[test]
    fn a_new_epoch_aborts_what_the_old_one_announced() {
        let mut writer = TrackWriter::default();
        writer.begin(id(1, 0));
        let held = Arc::clone(&writer.view.entries[1].media);
        writer.end();
        writer.announce_epoch(Epoch(2));
        assert_eq!(held.progress().state, State::Aborted);
        check(
            &writer,
            &[
                ("1.0", State::Complete),
                ("2.1", State::Held),
                ("2.2", State::Held),
            ],
        );
        let view = writer.view();
        assert!(matches!(view.lookup(id(1, 1)), Lookup::Unknown));
        assert!(matches!(view.lookup(id(2, 1)), Lookup::Found(_)));
        assert!(matches!(view.lookup(id(2, 3)), Lookup::Unknown));
    }

    #[test]
    fn evicted_segments_are_gone_and_other_epochs_unknown() {
        let mut writer = TrackWriter::default();
        for msn in 0..5 {
            writer.begin(id(1, msn));
            writer.append(id(1, msn), b"x", None);
        }
        writer.evict(Msn(3));
        let view = writer.view();
        assert!(matches!(view.lookup(id(1, 2)), Lookup::Gone));
        assert!(matches!(view.lookup(id(2, 2)), Lookup::Unknown));
        assert!(matches!(view.lookup(id(1, 3)), Lookup::Found(_)));
        assert!(matches!(view.lookup(id(7, 3)), Lookup::Unknown));
    }

    #[test]
    fn numbers_that_the_writer_skips_leave_no_held_object_behind() {
        let mut writer = TrackWriter::default();
        writer.begin(id(1, 0));
        writer.append(id(1, 0), b"x", None);
        writer.begin(id(1, 5));
        check(
            &writer,
            &[
                ("1.0", State::Complete),
                ("1.5", State::Open),
                ("1.6", State::Held),
                ("1.7", State::Held),
            ],
        );
    }
}
