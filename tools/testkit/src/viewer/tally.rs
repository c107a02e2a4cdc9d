//! Sums what viewers saw to the numbers that people read.
//!
//! In → Out: [`Fact`]s of any number of viewers → percentiles, counts, a list of faults.
//! Spec: none; our own.

use hdrhistogram::Histogram;
use media::{Delta, Duration};

use super::Fact;

/// The first faults are kept in full; later ones are only counted.
const FAULTS_KEPT: usize = 50;

/// Percentiles of a set of times, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
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

/// Times in microseconds up to a minute; negative ones count as zero.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    #[expect(
        clippy::expect_used,
        reason = "the bounds are constants that the library accepts"
    )]
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000, 3).expect("constant bounds are valid"))
    }
}

impl Times {
    /// Adds one.
    pub fn record(&mut self, time: Delta) {
        let micros = u64::try_from(time.as_nanos() / 1_000).unwrap_or(0);
        self.0.saturating_record(micros.max(1));
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Adds all of another set.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// Reads the set.
    pub fn percentiles(&self) -> Percentiles {
        let millis = |micros: u64| f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0;
        let at = |quantile| millis(self.0.value_at_quantile(quantile));
        if self.0.is_empty() {
            return Percentiles::default();
        }
        Percentiles {
            count: self.0.len(),
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            max: millis(self.0.max()),
        }
    }
}

/// The sums.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// From the start to the first picture that can be shown.
    pub join: Times,
    /// From the instant of a chunk's newest sample to the arrival of its last byte.
    pub lateness: Times,
    /// From the instant that is shown to the instant at which it is shown, by the play-out model.
    pub play_delay: Times,
    /// Bytes of segments, headers of HTTP not counted.
    pub bytes: u64,
    /// Chunks.
    pub chunks: u64,
    /// Complete segments.
    pub segments: u64,
    /// Times that the picture stood still.
    pub stalls: u64,
    /// For how long altogether.
    pub stalled: Duration,
    /// Times that media was skipped to come back to the edge.
    pub jumps: u64,
    /// Holes in a track's decode times.
    pub gaps: u64,
    /// Changes of epoch.
    pub epochs: u64,
    /// Responses cut off before their end.
    pub aborts: u64,
    /// Times that the playlist had to be read again.
    pub resyncs: u64,
    /// Viewers that saw a picture.
    pub joined: u64,
    /// Viewers that saw the end of the broadcast.
    pub ended: u64,
    /// All faults.
    pub fault_count: u64,
    /// The first of them, as text.
    pub faults: Vec<String>,
}

impl Tally {
    /// Adds one fact.
    pub fn record(&mut self, fact: &Fact) {
        match fact {
            Fact::Joined(after) => {
                self.joined += 1;
                self.join.record(delta(*after));
            }
            Fact::Chunk {
                bytes,
                lateness,
                play_delay,
                ..
            } => {
                self.chunks += 1;
                self.bytes += bytes;
                if let Some(time) = lateness {
                    self.lateness.record(*time);
                }
                if let Some(time) = play_delay {
                    self.play_delay.record(*time);
                }
            }
            Fact::Segment(_) => self.segments += 1,
            Fact::Stalled(length) => {
                self.stalls += 1;
                self.stalled += *length;
            }
            Fact::Jumped(_) => self.jumps += 1,
            Fact::Gap { .. } => self.gaps += 1,
            Fact::Epoch { .. } => self.epochs += 1,
            Fact::Aborted(_) => self.aborts += 1,
            Fact::Resync(_) => self.resyncs += 1,
            Fact::Ended => self.ended += 1,
            Fact::Fault(fault) => {
                self.fault_count += 1;
                if self.faults.len() < FAULTS_KEPT {
                    self.faults.push(fault.to_string());
                }
            }
        }
    }

    /// Adds all of another tally.
    pub fn add(&mut self, other: &Self) {
        self.join.add(&other.join);
        self.lateness.add(&other.lateness);
        self.play_delay.add(&other.play_delay);
        self.stalled += other.stalled;
        for (mine, theirs) in [
            (&mut self.bytes, other.bytes),
            (&mut self.chunks, other.chunks),
            (&mut self.segments, other.segments),
            (&mut self.stalls, other.stalls),
            (&mut self.jumps, other.jumps),
            (&mut self.gaps, other.gaps),
            (&mut self.epochs, other.epochs),
            (&mut self.aborts, other.aborts),
            (&mut self.resyncs, other.resyncs),
            (&mut self.joined, other.joined),
            (&mut self.ended, other.ended),
            (&mut self.fault_count, other.fault_count),
        ] {
            *mine += theirs;
        }
        let room = FAULTS_KEPT - self.faults.len();
        self.faults.extend(other.faults.iter().take(room).cloned());
    }
}

fn delta(duration: Duration) -> Delta {
    Delta::from_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}
