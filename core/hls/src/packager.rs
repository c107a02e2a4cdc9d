//! One rendition's access units become init sections, segments, chunks and parts.
//!
//! In → Out: [`Event`]s in decode order → [`Output`]s.
//! Spec: ISO/IEC 23000-19 (CMAF); RFC 8216bis, "Partial Segments"; design "Segments".

use std::collections::VecDeque;

use media::{Duration, Event, UnixTime};

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
    /// Parts are made of as many chunks as come nearest to this length.
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
            part_target: Duration::from_millis(200),
        }
    }
}

/// Cuts one rendition of one broadcast. Feed it every event of every session, in order.
#[derive(Debug)]
pub struct Packager {
    outputs: VecDeque<Output>,
}

impl Packager {
    /// A packager whose first segment is `start`.
    pub fn new(_config: PackagerConfig, _start: Start) -> Self {
        Self {
            outputs: VecDeque::new(),
        }
    }

    /// Takes one event; `now` bounds the wall-clock time that units claim.
    pub fn handle_event(&mut self, _event: &Event, _now: UnixTime) {}

    /// [`Boundaries::Follow`] only: a segment of the packager that is followed begins here.
    pub fn cut_at(&mut self, _cut: Cut) {}

    /// The next output, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Ends the broadcast: closes the open segment; [`Output::Finished`] is the last output.
    pub fn finish(&mut self) {
        self.outputs.push_back(Output::Finished);
    }
}
