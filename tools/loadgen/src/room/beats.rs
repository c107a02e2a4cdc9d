//! Finds marked taps in beats: those in the colours that nobody else taps in.
//!
//! In → Out: lines of the track or messages of the socket, in any pieces → the instants at which the taps in them were made.
//! Spec: docs/ix.md, "Beat line".

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use media::UnixTime;
use testkit::viewer::Times;

use crate::clock::Clock;
use crate::light::Watch;

/// Colours 0–3 are for marked taps.
pub const MARKS: usize = 4;

/// When the last marked tap of each colour was made.
#[derive(Debug, Default)]
pub struct Marks([AtomicU64; MARKS]);

impl Marks {
    /// A tap is made now.
    pub fn sent(&self, colour: usize, now: UnixTime) {
        if let Some(mark) = self.0.get(colour) {
            mark.store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    /// The instants of the marked taps in a beat or a micro-beat; nothing for any other line.
    pub fn found(&self, line: &str) -> Vec<UnixTime> {
        if !(line.starts_with("{\"k\":\"b\"") || line.starts_with("{\"k\":\"m\"")) {
            return Vec::new();
        }
        let counts = line.split_once("\"hearts\":[").map_or("", |(_, rest)| rest);
        let counts = counts.split([',', ']']).take(MARKS);
        let marked = counts
            .zip(&self.0)
            .filter(|(count, _)| !matches!(*count, "0" | ""));
        marked
            .map(|(_, mark)| mark.load(Ordering::Relaxed))
            .filter(|sent| *sent > 0)
            .map(UnixTime::from_nanos)
            .collect()
    }
}

/// A reader of the track that is woken for each beat.
#[derive(Debug)]
pub struct Beats {
    clock: Clock,
    marks: Arc<Marks>,
    /// Lines that are not whole yet, one a connection.
    tails: [Vec<u8>; 2],
    /// From a marked tap to here.
    pub lateness: Times,
}

impl Beats {
    /// Nothing found yet.
    pub fn new(clock: Clock, marks: Arc<Marks>) -> Self {
        Self {
            clock,
            marks,
            tails: [Vec::new(), Vec::new()],
            lateness: Times::default(),
        }
    }
}

impl Watch for Beats {
    fn body(&mut self, lane: usize, bytes: &[u8]) {
        let now = self.clock.now();
        let tail = &mut self.tails[lane];
        tail.extend_from_slice(bytes);
        while let Some(end) = tail.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = tail.drain(..=end).collect();
            for sent in self.marks.found(&String::from_utf8_lossy(&line)) {
                self.lateness.record(now.since(sent));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use media::Delta;

    use super::*;

    #[test]
    fn a_marked_tap_is_found_once_however_its_line_is_cut() {
        let marks = Arc::new(Marks::default());
        let clock = Clock::new(Delta::ZERO);
        marks.sent(2, clock.now());
        let text = "{\"k\":\"s\",\"v\":1,\"hearts\":[0,0,5,0]}\n{\"k\":\"b\",\"seq\":4,\"at\":1,\"hearts\":[0,0,1,0,7]}\n{\"k\":\"b\",\"seq\":5,\"at\":1}\n";
        for step in 1..text.len() {
            let mut beats = Beats::new(clock, Arc::clone(&marks));
            for piece in text.as_bytes().chunks(step) {
                beats.body(0, piece);
            }
            assert_eq!(beats.lateness.percentiles().count, 1, "{step}");
        }
    }
}
