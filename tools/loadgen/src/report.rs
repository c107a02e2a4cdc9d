//! The numbers of a run as JSON and as text.
//!
//! In → Out: a [`Tally`] → [`Report`].
//! Spec: none; our own.

use serde::Serialize;
use testkit::viewer::{Percentiles, Tally};

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// Half are not above.
    pub p50: f64,
    /// 95 % are not above.
    pub p95: f64,
    /// 99 % are not above.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl From<Percentiles> for Times {
    fn from(from: Percentiles) -> Self {
        Self {
            count: from.count,
            p50: from.p50,
            p95: from.p95,
            p99: from.p99,
            max: from.max,
        }
    }
}

/// What viewers got.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Viewers that saw a picture.
    pub joined: u64,
    /// From the start to the first picture that can be shown.
    pub join_ms: Times,
    /// From the instant of a chunk's newest sample to the arrival of its last byte.
    pub lateness_ms: Times,
    /// From the instant that is shown to the instant at which it is shown, by the play-out model.
    pub play_delay_ms: Times,
    /// Times that the picture stood still.
    pub stalls: u64,
    /// For how long altogether.
    pub stalled_ms: u64,
    /// Times that media was skipped to come back to the edge.
    pub jumps: u64,
    /// Holes in decode times.
    pub gaps: u64,
    /// Changes of epoch.
    pub epochs: u64,
    /// Responses that were cut off.
    pub aborts: u64,
    /// Times that the playlist had to be read again.
    pub resyncs: u64,
    /// Complete segments.
    pub segments: u64,
    /// Chunks.
    pub chunks: u64,
    /// Bytes of segments.
    pub bytes: u64,
    /// Viewers that saw the end of the broadcast.
    pub ended: u64,
    /// Conformance errors.
    pub fault_count: u64,
    /// The first of them.
    pub faults: Vec<String>,
}

impl From<&Tally> for Report {
    fn from(tally: &Tally) -> Self {
        Self {
            joined: tally.joined,
            join_ms: tally.join.percentiles().into(),
            lateness_ms: tally.lateness.percentiles().into(),
            play_delay_ms: tally.play_delay.percentiles().into(),
            stalls: tally.stalls,
            stalled_ms: tally.stalled.as_millis(),
            jumps: tally.jumps,
            gaps: tally.gaps,
            epochs: tally.epochs,
            aborts: tally.aborts,
            resyncs: tally.resyncs,
            segments: tally.segments,
            chunks: tally.chunks,
            bytes: tally.bytes,
            ended: tally.ended,
            fault_count: tally.fault_count,
            faults: tally.faults.clone(),
        }
    }
}

impl Report {
    /// Lines for people.
    pub fn text(&self) -> String {
        let times = |times: &Times| {
            format!(
                "p50 {:.1}  p95 {:.1}  p99 {:.1}  max {:.1} ms",
                times.p50, times.p95, times.p99, times.max
            )
        };
        let mut lines = vec![
            format!("joined        {}  ({})", self.joined, times(&self.join_ms)),
            format!(
                "lateness      {}  over {} chunks",
                times(&self.lateness_ms),
                self.lateness_ms.count
            ),
            format!("play delay    {}", times(&self.play_delay_ms)),
            format!(
                "stalls        {}, {} ms altogether; {} jumps",
                self.stalls, self.stalled_ms, self.jumps
            ),
            format!(
                "received      {} bytes, {} chunks, {} segments",
                self.bytes, self.chunks, self.segments
            ),
            format!(
                "surprises     {} epochs, {} cut responses, {} resyncs, {} gaps",
                self.epochs, self.aborts, self.resyncs, self.gaps
            ),
            format!("conformance   {} errors", self.fault_count),
        ];
        lines.extend(self.faults.iter().map(|fault| format!("  {fault}")));
        lines.join("\n")
    }
}
