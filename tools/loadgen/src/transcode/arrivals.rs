//! When the chunks of a rendition came, and how much later a rung's pictures came than the source's.
//!
//! In → Out: the facts of one reader for each rendition → added delay, bytes, share of the container.
//! Pictures are compared by their place on the broadcast's timeline, which all renditions share. A picture counts as there
//! when the last byte of its chunk is: what waits in a rung's chunk for its neighbours is inside.
//! Spec: docs/glossary.md ("chunk"); design "Numbers to reach" (renditions).

use media::{Duration, Timestamp, UnixTime};
use testkit::viewer::{ChunkMedia, Fact, Times};

/// Rungs keep the source's times to the millisecond.
const ROUNDING: Duration = Duration::from_millis(2);

/// A chunk and when it was whole.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    media: ChunkMedia,
    at: UnixTime,
}

/// What one reader got of a rendition.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals {
    /// In the order of their media times.
    chunks: Vec<Arrival>,
    bytes: u64,
    payload: u64,
    /// Everything else that was seen: holes, cuts, broken promises.
    pub(super) surprises: Vec<String>,
}

impl Arrivals {
    /// Takes the next fact.
    pub(super) fn record(&mut self, fact: &Fact) {
        match fact {
            Fact::Chunk {
                bytes,
                payload,
                at,
                media,
                ..
            } => {
                self.bytes += bytes;
                self.payload += payload;
                let chunk = media.map(|media| Arrival { media, at: *at });
                self.chunks.extend(chunk);
            }
            Fact::Joined(_) | Fact::Segment(_) | Fact::Stalled(_) | Fact::Jumped(_) => {}
            other => self.surprises.push(format!("{other:?}")),
        }
    }

    /// Forgets what came so far.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many chunks came.
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Bytes of segments.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Share of the bytes that are not samples, in per cent.
    pub(super) fn overhead(&self) -> f64 {
        percent(self.bytes - self.payload, self.bytes)
    }

    /// When the first chunk came.
    pub(super) fn first(&mut self) -> Option<UnixTime> {
        self.chunks.first().map(|chunk| chunk.at)
    }

    /// How much later each picture that ends a chunk of `source` was here; pictures that never came here are left out.
    pub(super) fn later_than(&self, source: &Self) -> Times {
        let mut times = Times::default();
        for picture in &source.chunks {
            let here = self
                .chunks
                .partition_point(|chunk| chunk.media.begin <= picture.media.last + ROUNDING);
            let Some(chunk) = here.checked_sub(1).and_then(|place| self.chunks.get(place)) else {
                continue;
            };
            if chunk.media.last + ROUNDING >= picture.media.last {
                times.record(chunk.at.since(picture.at));
            }
        }
        times
    }

    /// From the first to the last chunk's media time, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        let (first, last) = (self.chunks.first(), self.chunks.last());
        first.zip(last).map_or(0.0, |(first, last)| {
            let span = last.media.last.since(first.media.begin).magnitude();
            std::time::Duration::from(span).as_secs_f64()
        })
    }

    /// Where the newest chunk is.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.chunks.last().map(|chunk| chunk.media.last)
    }
}

#[expect(clippy::cast_precision_loss, reason = "for printing")]
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks as (first picture, last picture, arrival), all in milliseconds.
    fn arrivals(chunks: &[(i64, i64, u64)]) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for (begin, last, at) in chunks {
            arrivals.record(&Fact::Chunk {
                bytes: 100,
                payload: 96,
                at: UnixTime::from_millis(*at),
                media: Some(ChunkMedia {
                    begin: Timestamp::from_millis(*begin),
                    last: Timestamp::from_millis(*last),
                }),
                lateness: None,
                play_delay: None,
            });
        }
        arrivals
    }

    #[test]
    fn a_picture_that_waits_for_its_neighbour_is_as_late_as_the_chunk() {
        let source = arrivals(&[(0, 0, 1_000), (33, 33, 1_033), (67, 67, 1_067)]);
        let rung = arrivals(&[(0, 33, 1_043), (67, 100, 1_110)]);
        let later = rung.later_than(&source).percentiles();
        // 43, 10 and 43 ms.
        assert_eq!(later.count, 3);
        assert!((later.p50 - 43.0).abs() < 0.1 && later.max < 44.0);
    }

    #[test]
    fn pictures_that_never_came_are_not_counted() {
        let source = arrivals(&[(0, 0, 1_000), (33, 33, 1_033), (2_000, 2_000, 3_000)]);
        let rung = arrivals(&[(33, 33, 1_040)]);
        assert_eq!(rung.later_than(&source).percentiles().count, 1);
    }

    #[test]
    fn the_container_is_what_is_not_samples() {
        assert!((arrivals(&[(0, 0, 0), (33, 33, 33)]).overhead() - 4.0).abs() < 1e-9);
        assert!(Arrivals::default().overhead() < 1e-9);
    }
}
