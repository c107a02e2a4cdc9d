//! The interaction track's writer: the same growing objects as media, filled by the room's task.
//!
//! In → Out: segments of JSON lines, one line an append → what `/live/{id}/ix/` answers with.
//! It knows nothing of rooms: lines are bytes, and when a segment begins is the room's business.
//! Spec: design "The room".

use std::sync::Arc;

use media::{Msn, SegmentId};

use crate::live::Live;
use crate::track::TrackWriter;

/// The single writer of a broadcast's interaction track. Dropped in mid-segment, it aborts that segment.
#[derive(Debug)]
pub struct InteractionWriter {
    live: Arc<Live>,
    track: TrackWriter,
}

impl InteractionWriter {
    pub(crate) fn new(live: Arc<Live>) -> Self {
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
