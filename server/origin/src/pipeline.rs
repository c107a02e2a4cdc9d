//! The whole media path of one broadcast. Read this first.
//!
//! ```text
//! publisher ─bytes▶ ingest ─Event▶ (transcode) ─Event▶ packager, one a rendition ─Output▶ LiveWriter ─▶ viewers
//!           a socket task          │ not yet    │ this file, in the task that owns the broadcast │  delivery's shards
//! ```
//!
//! In → Out: one [`Event`] → what it makes of each rendition, on every viewer's way at once; nothing is queued here.
//! Spec: design "One picture", "Segments".

use std::sync::Arc;

use delivery::{Live, LiveConfig, LiveWriter};
use hls::{Boundaries, Output, Packager, PackagerConfig, Selection, WindowConfig};
use media::{BroadcastId, Event, RenditionName, UnixTime};

use crate::session::Start;

/// How a broadcast is packaged and kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineConfig {
    /// How `source` is cut; `audio` follows it.
    pub packager: PackagerConfig,
    /// How much is kept for viewers.
    pub window: WindowConfig,
}

/// The stages between a publisher's events and the objects that viewers read.
pub(crate) struct Pipeline {
    source: Packager,
    audio: Packager,
    writer: LiveWriter,
    position: Start,
}

impl Pipeline {
    /// A pipeline whose first segment is `start`, and what viewers read of it.
    pub(crate) fn new(id: BroadcastId, config: PipelineConfig, start: Start) -> (Self, Arc<Live>) {
        let (writer, live) = LiveWriter::new(
            id,
            LiveConfig {
                window: config.window,
                start,
            },
        );
        let audio = PackagerConfig {
            selection: Selection::AudioOnly,
            boundaries: Boundaries::Follow,
            ..config.packager.clone()
        };
        let (source, audio) = (
            Packager::new(config.packager, start),
            Packager::new(audio, start),
        );
        (
            Self {
                source,
                audio,
                writer,
                position: start,
            },
            live,
        )
    }

    /// Takes one event through all stages.
    pub(crate) fn handle(&mut self, event: &Event, now: UnixTime) {
        self.source.handle_event(event, now);
        self.deliver_source();
        self.audio.handle_event(event, now);
        self.deliver_audio();
    }

    /// Ends the broadcast: open segments are closed, playlists say that it is over. Returns the last position.
    pub(crate) fn finish(mut self) -> Start {
        self.source.finish();
        self.deliver_source();
        self.audio.finish();
        self.deliver_audio();
        self.writer.finish();
        self.position
    }

    fn deliver_source(&mut self) {
        while let Some(output) = self.source.poll_output() {
            if let Output::SegmentStart { cut, .. } = &output {
                self.audio.cut_at(*cut);
            }
            self.position = beyond(self.position, &output);
            self.writer.apply(RenditionName::Source, &output);
        }
    }

    fn deliver_audio(&mut self) {
        while let Some(output) = self.audio.poll_output() {
            self.writer.apply(RenditionName::Audio, &output);
        }
    }

    /// The greatest epoch that was announced, and the first media sequence number that no segment has.
    pub(crate) fn position(&self) -> Start {
        self.position
    }
}

/// The position after one more output of `source`.
fn beyond(position: Start, output: &Output) -> Start {
    match output {
        Output::SegmentStart {
            id, discontinuity, ..
        } => Start {
            epoch: position.epoch.max(id.epoch),
            msn: position.msn.max(id.msn.next()),
            discontinuity_sequence: position.discontinuity_sequence + u64::from(*discontinuity),
        },
        Output::Interrupted { next, .. } => Start {
            epoch: position.epoch.max(next.epoch),
            ..position
        },
        _ => position,
    }
}
