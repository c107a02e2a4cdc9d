//! Beats → the lines of `ix` segments, which begin and end with the media's.
//!
//! In → Out: what the broadcast's view says of its open segment; snapshots and beats → lines on all readers' sockets and on disk.
//! While the publisher is away the last segment stays open, so that people can go on talking.
//! Spec: docs/ix.md, "Reading".

use std::collections::VecDeque;
use std::sync::Arc;

use delivery::{InteractionWriter, Live};
use hls::State;
use media::{Msn, RenditionName, SegmentId, UnixTime};
use room::{Beat, CommentId, Marked, Snapshot, wire};

use crate::store::Store;

/// The track of one room.
pub(crate) struct IxTrack {
    writer: InteractionWriter,
    store: Store,
    current: Option<SegmentId>,
    /// In which segment the last comments were shown; bounded.
    shown: VecDeque<(CommentId, SegmentId)>,
}

/// What the media says.
pub(crate) struct MediaNow {
    /// The open segment, if there is one.
    pub(crate) segment: Option<SegmentId>,
    /// The media time of the live edge.
    pub(crate) edge: Option<UnixTime>,
    /// Nothing will follow.
    pub(crate) ended: bool,
}

impl IxTrack {
    /// Segments kept for readers; the media's window is not longer.
    const KEPT: u64 = 16;
    const SHOWN_MAX: usize = 512;

    pub(crate) fn new(live: Arc<Live>, store: Store) -> Self {
        Self {
            writer: InteractionWriter::new(live),
            store,
            current: None,
            shown: VecDeque::new(),
        }
    }

    pub(crate) fn live(&self) -> &Arc<Live> {
        self.writer.live()
    }

    /// Where the media stands.
    pub(crate) fn media(&self) -> MediaNow {
        let Some(view) = self.live().rendition(RenditionName::Source) else {
            return MediaNow {
                segment: None,
                edge: None,
                ended: false,
            };
        };
        let snapshot = view.snapshot();
        let newest = snapshot.current.as_ref().or(snapshot.segments.last());
        MediaNow {
            segment: snapshot.current.as_ref().map(|current| current.id),
            edge: newest.map(|segment| segment.program_date_time + segment.duration),
            ended: snapshot.state == State::Ended,
        }
    }

    /// Begins a segment if it is a new one.
    pub(crate) fn follow(&mut self, segment: SegmentId, snapshot: impl FnOnce() -> Snapshot) {
        if self
            .current
            .is_none_or(|current| current.msn < segment.msn || current.epoch < segment.epoch)
        {
            self.current = Some(segment);
            self.writer.begin(segment);
            let oldest = segment.msn.0.saturating_sub(Self::KEPT);
            self.writer.evict(Msn(oldest));
            self.write(&wire::encode_snapshot(&snapshot()));
        }
    }

    /// A beat on every reader's socket. Before the first segment there is nobody who could read it.
    pub(crate) fn beat(&mut self, beat: &Beat) {
        self.write(&wire::encode_beat(beat));
        let Some(current) = self.current else { return };
        self.shown
            .extend(beat.comments.iter().map(|comment| (comment.id, current)));
        let surplus = self.shown.len().saturating_sub(Self::SHOWN_MAX);
        self.shown.drain(..surplus);
    }

    /// Takes a comment out of what is stored.
    pub(crate) fn redact(&self, comment: CommentId) {
        let place = self.shown.iter().find(|(id, _)| *id == comment);
        if let Some((_, segment)) = place {
            self.store.redact(self.live().id(), *segment, comment);
        }
    }

    /// Keeps who moderates, is blocked or approved.
    pub(crate) fn marked(&self, marked: &Marked) {
        self.store
            .mark(self.live().id(), wire::encode_marked(marked));
    }

    pub(crate) fn audit(&self, line: String) {
        self.store.audit(self.live().id(), line);
    }

    pub(crate) fn finish(mut self) {
        // What was announced is aborted with the writer.
        self.writer.end();
    }

    fn write(&mut self, lines: &[u8]) {
        if let Some(current) = self.current {
            self.writer.append(current, lines);
            self.store.append(self.live().id(), current, lines);
        }
    }
}
