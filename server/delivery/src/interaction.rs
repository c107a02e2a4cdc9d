//! The interaction track's writer: the same growing objects as media, filled by the room's task.
//!
//! In → Out: segments of JSON lines, one line an append → what `/live/{id}/ix/` answers with.
//! It knows nothing of rooms: lines are bytes, and when a segment begins is the room's business.
//! Spec: design "The room".

use std::fmt::Write as _;
use std::sync::Arc;

use media::{Msn, SegmentId};

use crate::growing::State;
use crate::live::Live;
use crate::track::{TrackView, TrackWriter};

/// The single writer of a broadcast's interaction track. Dropped in mid-segment, it aborts that segment.
#[derive(Debug)]
pub struct InteractionWriter {
    live: Arc<Live>,
    track: TrackWriter,
}

impl InteractionWriter {
    /// The writer of this broadcast's track. A second one replaces what the first has written; the room's task sees to it
    /// that there is one at a time.
    pub fn new(live: Arc<Live>) -> Self {
        Self {
            live,
            track: TrackWriter::default(),
        }
    }

    /// Names the segment to come, so that it and the one after can be asked for. Others that were announced are aborted.
    pub fn announce(&mut self, next: SegmentId) {
        self.track.announce(next);
        self.publish();
    }

    /// Begins a segment and ends the one before. Numbers only grow.
    pub fn begin(&mut self, id: SegmentId) {
        self.track.begin(id);
        self.publish();
    }

    /// Adds a line, with its line end, to the open segment `id`: it is on its way to every viewer before this returns.
    pub fn append(&mut self, id: SegmentId, line: &[u8]) {
        self.track.append(id, line, None);
    }

    /// Ends the open segment; nothing follows at once.
    pub fn end(&mut self) {
        self.track.end();
        self.publish();
    }

    /// Forgets complete segments before this number.
    pub fn evict(&mut self, oldest: Msn) {
        self.track.evict(oldest);
        self.publish();
    }

    /// The broadcast whose track this is.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    fn publish(&self) {
        self.live.set_interaction(self.track.view());
    }
}

impl Drop for InteractionWriter {
    fn drop(&mut self) {
        self.track.abort();
        self.publish();
    }
}

/// The index of an interaction track: which segments there are, and which name comes next.
pub(crate) fn index(view: &TrackView) -> Option<String> {
    let mut text = String::from("{\"v\":1,\"segments\":[");
    let (mut listed, mut current, mut next) = (0, None, None);
    for entry in view.entries() {
        match entry.media.progress().state {
            State::Complete => {}
            State::Open => current = Some(entry.id),
            State::Held => {
                next = next.or(Some(entry.id));
                continue;
            }
            State::Aborted => continue,
        }
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{}\"{}\"",
            if listed == 0 { "" } else { "," },
            entry.id
        );
        listed += 1;
    }
    if listed == 0 && next.is_none() {
        return None;
    }
    text.push(']');
    for (name, id) in [("current", current), ("next", next)] {
        if let Some(id) = id {
            let _ = write!(text, ",\"{name}\":\"{id}\"");
        }
    }
    text.push_str("}\n");
    Some(text)
}

#[cfg(test)]
mod tests {
    use media::{BroadcastId, Epoch};

    use super::*;
    use crate::live::{LiveConfig, LiveWriter};
    use crate::track::Lookup;

    fn id(epoch: u32, msn: u64) -> SegmentId {
        SegmentId {
            epoch: Epoch(epoch),
            msn: Msn(msn),
        }
    }

    fn track() -> (LiveWriter, InteractionWriter) {
        let name = BroadcastId::parse("show").unwrap();
        let (writer, live) = LiveWriter::new(name, LiveConfig::default());
        (writer, InteractionWriter::new(live))
    }

    #[test]
    fn segments_grow_end_with_the_next_and_the_old_ones_go() {
        let (_live, mut writer) = track();
        let live = Arc::clone(writer.live());
        assert_eq!(index(&live.interaction()), None);
        for msn in 0..5 {
            writer.begin(id(1, msn));
            writer.append(id(1, msn), b"{}\n");
            writer.evict(Msn(msn.saturating_sub(2)));
        }
        assert_eq!(
            index(&live.interaction()).unwrap(),
            "{\"v\":1,\"segments\":[\"1.2\",\"1.3\",\"1.4\"],\"current\":\"1.4\",\"next\":\"1.5\"}\n"
        );
        let view = live.interaction();
        let Lookup::Found(entry) = view.lookup(id(1, 3)) else {
            panic!("it is there")
        };
        assert_eq!(
            (entry.media.progress().state, entry.media.len()),
            (State::Complete, 3)
        );
    }

    #[test]
    fn a_new_epoch_takes_over_and_the_end_is_clean() {
        let (_live, mut writer) = track();
        let live = Arc::clone(writer.live());
        writer.begin(id(1, 0));
        writer.append(id(1, 0), b"{}\n");
        writer.begin(id(2, 1));
        writer.append(id(2, 1), b"{}\n");
        writer.end();
        drop(writer);
        assert_eq!(
            index(&live.interaction()).unwrap(),
            "{\"v\":1,\"segments\":[\"1.0\",\"2.1\"]}\n"
        );
    }

    #[test]
    fn a_writer_that_is_lost_leaves_no_torn_segment_behind() {
        let (_live, mut writer) = track();
        let live = Arc::clone(writer.live());
        writer.begin(id(1, 0));
        writer.append(id(1, 0), b"{}\n");
        let view = live.interaction();
        drop(writer);
        assert_eq!(view.entries()[0].media.progress().state, State::Aborted);
    }
}
