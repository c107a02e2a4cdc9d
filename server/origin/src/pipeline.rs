//! The whole media path of one broadcast. Read this first.
//!
//! ```text
//! publisher ─bytes▶ ingest ─Event▶ packagers of source and audio ─Output▶ LiveWriter ─▶ viewers
//!           a socket task    │                this file, in the task that owns the broadcast │ delivery's shards
//!                            └▶ transcode ─Event▶ rungs: packagers that follow source ─Output▶ ┘
//!                               processes   │     this file again, as pictures come back
//! ```
//!
//! In → Out: one [`Event`] → what it makes of each rendition, on every viewer's way at once; nothing is queued here.
//! Spec: design "One picture", "Segments".

use std::sync::Arc;

use delivery::{Live, LiveWriter};
use hls::{Output, Packager};
use media::{BroadcastId, Event, RenditionName, UnixTime};
use transcode::RungOutput;

use crate::position::Position;
use crate::rungs::Rungs;
use crate::session::Start;
use crate::settings::PipelineConfig;

/// The stages between a publisher's events and the objects that viewers read.
pub(crate) struct Pipeline {
    source: Packager,
    audio: Packager,
    rungs: Rungs,
    writer: LiveWriter,
    position: Position,
}

impl Pipeline {
    /// A pipeline whose first segment is `start`, and what viewers read of it.
    pub(crate) fn new(id: BroadcastId, config: PipelineConfig, start: Start) -> (Self, Arc<Live>) {
        let (writer, live) = LiveWriter::new(id, config.live(start));
        let audio = Packager::new(config.audio(), start);
        let rungs = Rungs::new(&config.packager);
        let source = Packager::new(config.packager, start);
        let position = Position::new(start);
        let pipeline = Self {
            source,
            audio,
            rungs,
            writer,
            position,
        };
        (pipeline, live)
    }

    /// Takes one event through all stages.
    pub(crate) fn handle(&mut self, event: &Event, now: UnixTime) {
        self.source.handle_event(event, now);
        self.deliver_source();
        self.audio.handle_event(event, now);
        self.deliver_audio();
    }

    /// The transcoder was told of other tracks or of an end; it will say when all before that is said.
    pub(crate) fn await_rungs(&mut self) {
        self.rungs.await_settled();
    }

    /// Takes what the transcoder says through the rungs' stages.
    pub(crate) fn handle_rung(&mut self, said: RungOutput, now: UnixTime) {
        let source = self.position.numbers();
        self.rungs.handle(said, source, &mut self.writer, now);
    }

    /// Ends the broadcast: open segments are closed, playlists say that it is over.
    pub(crate) fn finish(mut self) -> Position {
        self.source.finish();
        self.deliver_source();
        self.audio.finish();
        self.deliver_audio();
        self.rungs.finish(&mut self.writer);
        self.writer.finish();
        self.position
    }

    /// The picture decides where segments begin; the sound's packager is told before it gets the same event.
    fn deliver_source(&mut self) {
        while let Some(output) = self.source.poll_output() {
            if let Output::SegmentStart { cut, .. } = &output {
                self.audio.cut_at(*cut);
                self.rungs
                    .cut_at(*cut, self.position.numbers().discontinuity_sequence);
            }
            self.position.advance(&output);
            self.writer.apply(RenditionName::Source, &output);
        }
    }

    fn deliver_audio(&mut self) {
        while let Some(output) = self.audio.poll_output() {
            self.writer.apply(RenditionName::Audio, &output);
        }
    }

    /// How far the numbers have run.
    pub(crate) fn position(&self) -> Position {
        self.position
    }
}
