//! Parts: how many units make one, and how long the longest may be.
//!
//! In → Out: the usual length of a unit → part target; chunks of a segment → complete [`Part`]s.
//! A part ends when the next chunk of usual length would not fit any more, so it is known to be complete at once. How
//! many units it has is chosen from the frame rate alone, and only whole fractions of that many share a chunk: however
//! many these are, which changes with the bitrate, parts stay as long as they are, and the target does not change.
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

/// How many units of this length make a part nearest to `wanted`: one of the numbers that can be divided in many ways.
pub(crate) fn units(wanted: Duration, unit: Duration) -> u64 {
    /// A target of more than that many units is none that anybody wants.
    const COUNTS: [u64; 11] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48];
    let square = |length: Duration| u128::from(length.as_nanos().max(1)).pow(2);
    // The nearest in proportion: what lies between two of them belongs to the upper one from their geometric mean on.
    let upper = |pair: &&[u64]| u128::from(pair[0] * pair[1]) * square(unit) <= square(wanted);
    COUNTS[COUNTS.windows(2).take_while(upper).count()]
}

/// How many of the `units` of a part share a chunk, so that chunks divide the part evenly: the fewest from `least` on,
/// but not more than `most`.
pub(crate) fn joined(units: u64, least: u64, most: u64) -> u64 {
    let even = |count: &u64| units.is_multiple_of(*count);
    let fewest = (least.max(1)..=most).find(even);
    fewest.or_else(|| (1..=most).rev().find(even)).unwrap_or(1)
}

impl PartPlan {
    /// Plans for parts of `length`, of chunks near `chunk`, whose beginnings deviate by up to `jitter`.
    pub(crate) fn new(length: Duration, chunk: Duration, jitter: Duration) -> Self {
        let regular = length.as_nanos().max(1);
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

    const WANTED: Duration = Duration::from_millis(150);
    const RATES: [(u64, u64); 12] = [
        (24, 1),
        (25, 1),
        (30_000, 1_001),
        (30, 1),
        (50, 1),
        (60, 1),
        (24_000, 1_001),
        (20, 1),
        (15, 1),
        (10, 1),
        (5, 1),
        (120, 1),
    ];

    /// Cuts 20 s of pictures whose stamps were rounded to `grid`, of which a chunk takes `least` or more; yields the
    /// target and all parts but the last.
    fn cut(rate: (u64, u64), grid: u64, least: u64) -> (Duration, Vec<Duration>) {
        let (frames, per_seconds) = rate;
        let nominal = Duration::from_nanos(per_seconds * 1_000_000_000 / frames);
        let at =
            |index: u64| (index * per_seconds * 1_000_000_000 / frames + grid / 2) / grid * grid;
        let units = units(WANTED, nominal);
        let joined = joined(units, least, 4);
        let chunk = nominal.times(joined);
        let mut builder =
            PartBuilder::new(PartPlan::new(nominal.times(units), chunk, Duration::ZERO));
        let mut parts = Vec::new();
        let mut end = 0;
        for index in 1..=frames * 20 / per_seconds / joined {
            let new_end = at(index * joined - 1) + nominal.as_nanos();
            let length = Duration::from_nanos(new_end.saturating_sub(end));
            end = new_end;
            let added = builder.add(length, index == 1);
            parts.extend(added.into_iter().flatten().map(|part| part.duration));
        }
        (builder.plan.target, parts)
    }

    #[test]
    fn regular_parts_reach_85_percent_and_never_pass_the_target() {
        for rate in RATES {
            for (grid, least) in [(1, 1), (1_000_000, 1), (1, 2), (1_000_000, 3)] {
                let (target, parts) = cut(rate, grid, least);
                assert!(parts.len() > 15, "{rate:?}: {}", parts.len());
                for part in parts {
                    assert!(part <= target, "{rate:?}: {part:?} of {target:?}");
                    assert!(
                        part.as_nanos() * 100 >= target.as_nanos() * 85,
                        "{rate:?}, {least}: {part:?} of {target:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_target_is_the_same_however_many_pictures_share_a_chunk() {
        for rate in RATES {
            let targets = [1, 2, 3, 4].map(|least| cut(rate, 1_000_000, least).0);
            assert_eq!(targets, [targets[0]; 4], "{rate:?}");
        }
    }

    #[test]
    fn target_fits_whole_pictures() {
        let millis = |frames: u64| {
            let target = cut((frames, 1), 1_000_000, 1).0;
            (frames, target.as_millis())
        };
        let fits = [
            (5, 201),
            (10, 201),
            (15, 135),
            (24, 168),
            (25, 161),
            (30, 135),
            (50, 161),
            (60, 135),
            (120, 135),
        ];
        assert_eq!(fits.map(|(frames, _)| millis(frames)), fits);
    }

    #[test]
    fn a_usual_distance_that_wavers_by_three_percent_does_not_change_the_count() {
        for (frames, per_seconds) in RATES {
            let nominal = per_seconds * 1_000_000_000 / frames;
            let count = |permille| units(WANTED, Duration::from_nanos(nominal * permille / 1_000));
            assert_eq!(
                [970, 1_000, 1_030].map(count),
                [count(1_000); 3],
                "{frames}"
            );
        }
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
