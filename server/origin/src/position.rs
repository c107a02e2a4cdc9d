//! How far the numbers of a broadcast have run, so that nothing is named twice.
//!
//! In → Out: the packager's outputs → the greatest epoch announced and the first number that no segment has; where a
//! successor of the same name begins.
//! Spec: design "Segments" (one URL, one body, for ever); RFC 8216bis, "EXT-X-MEDIA-SEQUENCE".

use hls::{Output, Start};
use media::Msn;

/// The greatest epoch that was announced, the first media sequence number that no segment has, the discontinuities so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(Start);

impl Position {
    /// Before the first segment, which will be `start`.
    pub(crate) fn new(start: Start) -> Self {
        Self(start)
    }

    /// Takes note of one more output of `source`; other renditions share its numbers.
    pub(crate) fn advance(&mut self, output: &Output) {
        let at = &mut self.0;
        match output {
            Output::SegmentStart {
                id, discontinuity, ..
            } => {
                at.epoch = at.epoch.max(id.epoch);
                at.msn = at.msn.max(id.msn.next());
                at.discontinuity_sequence += u64::from(*discontinuity);
            }
            Output::Interrupted { next, .. } => at.epoch = at.epoch.max(next.epoch),
            _ => {}
        }
    }

    /// Where the numbers of the next broadcast of the same name begin.
    pub(crate) fn successor(self) -> Start {
        Start {
            epoch: self.0.epoch.next(),
            ..self.0
        }
    }

    /// The numbers themselves.
    pub(crate) fn numbers(self) -> Start {
        self.0
    }

    /// The first media sequence number that no segment has.
    pub(crate) fn msn(self) -> Msn {
        self.0.msn
    }
}
