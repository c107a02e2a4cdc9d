//! Parts: how many chunks make one, and how long the longest may be.
//!
//! In → Out: the usual length of a chunk → part target; chunks of a segment → complete [`Part`]s.
//! A part ends when the next chunk of usual length would not fit any more, so it is known to be complete at once. The
//! target is chosen for each segment from the frame rate: 200 ms are not a whole number of pictures at 24 per second,
//! and parts of four would be too short, so there the target is five.
//!
//! Spec: RFC 8216bis, "EXT-X-PART-INF", "EXT-X-PART" (no part exceeds the target; all but the last reach 85 % of it).

use std::ops::Range;

use media::Duration;

/// A complete part of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which chunks of the segment make it up, by index from 0.
    pub chunks: Range<u32>,
    /// Not more than the part target of the playlist.
    pub duration: Duration,
    /// Whether it holds an access unit at which a decoder can start.
    pub independent: bool,
}

/// How parts of one segment are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartPlan {
    /// The usual length of a chunk.
    pub(crate) chunk: Duration,
    /// No part is longer; whole milliseconds.
    pub(crate) target: Duration,
}

const MILLI: u64 = 1_000_000;

impl PartPlan {
    /// Plans for parts near `wanted` of chunks near `chunk`, whose beginnings deviate by up to `jitter`.
    pub(crate) fn new(wanted: Duration, chunk: Duration, jitter: Duration) -> Self {
        let length = chunk.as_nanos().max(1);
        let chunks = ((wanted.as_nanos() + length / 2) / length).max(1);
        let regular = chunks.saturating_mul(length);
        // Publishers count milliseconds, so even regular pictures are up to one off. More than 8 % would make regular
        // parts look too short.
        let slack = jitter.as_nanos().min(regular / 12).max(MILLI);
        let target = (regular + slack).div_ceil(MILLI) * MILLI;
        Self {
            chunk,
            target: Duration::from_nanos(target),
        }
    }

    /// Keeps what was said before where it still fits: a playlist's target should not flicker.
    pub(crate) fn settle(self, before: Option<Self>) -> Self {
        match before {
            Some(before)
                if self.target <= before.target
                    && self.target.as_nanos() * 20 >= before.target.as_nanos() * 19 =>
            {
                Self {
                    target: before.target,
                    ..self
                }
            }
            _ => self,
        }
    }
}

/// Collects the chunks of one segment into parts.
#[derive(Debug)]
pub(crate) struct PartBuilder {
    plan: PartPlan,
    first: u32,
    next: u32,
    length: Duration,
    independent: bool,
}

impl PartBuilder {
    pub(crate) const fn new(plan: PartPlan) -> Self {
        Self {
            plan,
            first: 0,
            next: 0,
            length: Duration::ZERO,
            independent: false,
        }
    }

    /// Adds the next chunk. Yields up to two parts: the one that it did not fit into, and the one that it completed.
    pub(crate) fn add(&mut self, duration: Duration, independent: bool) -> [Option<Part>; 2] {
        let overflows = self.length + duration > self.plan.target && self.next > self.first;
        let before = if overflows { self.flush() } else { None };
        self.next += 1;
        self.length += duration;
        self.independent |= independent;
        let full = self.length + self.plan.chunk > self.plan.target;
        let completed = if full { self.flush() } else { None };
        [before, completed]
    }

    /// The part that is under way, complete as it is.
    pub(crate) fn flush(&mut self) -> Option<Part> {
        if self.first == self.next {
            return None;
        }
        // A picture that came late made its chunk longer than any part may claim; the rest is a hole in media time.
        let duration = self.length.min(self.plan.target);
        let part = Part {
            chunks: self.first..self.next,
            duration,
            independent: self.independent,
        };
        *self = Self {
            plan: self.plan,
            first: self.next,
            next: self.next,
            length: Duration::ZERO,
            independent: false,
        };
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts 20 s of pictures whose stamps were rounded to `grid`; yields the target and all parts but the last.
    fn cut(frames: u64, per_seconds: u64, grid: u64) -> (Duration, Vec<Duration>) {
        let nominal = Duration::from_nanos(per_seconds * 1_000_000_000 / frames);
        let at =
            |index: u64| (index * per_seconds * 1_000_000_000 / frames + grid / 2) / grid * grid;
        let plan = PartPlan::new(Duration::from_millis(200), nominal, Duration::ZERO);
        let mut builder = PartBuilder::new(plan);
        let mut parts = Vec::new();
        let mut end = 0;
        for index in 0..frames * 20 / per_seconds {
            let new_end = at(index) + nominal.as_nanos();
            let added = builder.add(
                Duration::from_nanos(new_end.saturating_sub(end)),
                index == 0,
            );
            end = new_end;
            parts.extend(added.into_iter().flatten().map(|part| part.duration));
        }
        (plan.target, parts)
    }

    #[test]
    fn regular_parts_reach_85_percent_and_never_pass_the_target() {
        let rates = [
            (24, 1),
            (25, 1),
            (30_000, 1_001),
            (30, 1),
            (50, 1),
            (60, 1),
            (24_000, 1_001),
            (15, 1),
            (5, 1),
            (120, 1),
        ];
        for (frames, per_seconds) in rates {
            for grid in [1, 1_000_000] {
                let (target, parts) = cut(frames, per_seconds, grid);
                assert!(parts.len() > 15, "{frames}/{per_seconds}: {}", parts.len());
                for part in parts {
                    assert!(
                        part <= target,
                        "{frames}/{per_seconds}: {part:?} of {target:?}"
                    );
                    assert!(
                        part.as_nanos() * 100 >= target.as_nanos() * 85,
                        "{frames}: {part:?} of {target:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn target_fits_whole_pictures() {
        let millis = |frames: u64| {
            let chunk = Duration::from_nanos(1_000_000_000 / frames);
            PartPlan::new(Duration::from_millis(200), chunk, Duration::ZERO)
                .target
                .as_millis()
        };
        assert_eq!(
            [24, 25, 30, 50, 60, 1].map(millis),
            [210, 201, 201, 201, 201, 1_001]
        );
    }

    #[test]
    fn a_late_picture_ends_the_part_before_it() {
        let chunk = Duration::from_millis(40);
        let mut builder = PartBuilder::new(PartPlan::new(
            Duration::from_millis(200),
            chunk,
            Duration::ZERO,
        ));
        assert_eq!(builder.add(chunk, true), [None, None]);
        let [before, completed] = builder.add(Duration::from_millis(900), false);
        assert_eq!(before.map(|part| part.duration), Some(chunk));
        assert_eq!(
            completed.map(|part| (part.duration.as_millis(), part.independent)),
            Some((201, false))
        );
        assert_eq!(builder.flush(), None);
    }
}
