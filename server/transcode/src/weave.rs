//! One rung's line of events: encoded pictures with the source's own times, and the source's own sound between them.
//!
//! In → Out: the source's units as they come, then encoded pictures by their millisecond stamp → [`media::Event`]s of the rung
//! in the source's order, or where that order itself is amiss in the order of time. So every rendition has the same PTS for the same picture and byte-identical sound.
//! Memory is bounded: an encoder that falls [`WAITING_MAX`] units behind has lost the rest.
//! Spec: none; our own.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use media::{AccessUnit, Duration, Rounding, Timescale, Timestamp, Track, TrackId, UnixTime};

/// Pictures or sound units that may wait for the encoder: more than ten seconds of either.
const WAITING_MAX: usize = 1_200;
/// Sound that is heard before the first picture of its segment: encoders interleave the two by their own lights.
const EARLY_MAX: Duration = Duration::from_millis(500);

/// A picture as the source had it.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    order: u64,
    pts: Timestamp,
    duration: Option<Duration>,
    wall: UnixTime,
}

/// Where sound stands between pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// Where the source had it: rungs are cut where the source is.
    #[default]
    Source,
    /// Before the pictures that are shown later. Beside pictures that are decoded long before they are shown the source
    /// has it too late for pictures that are shown at once.
    Time,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Weave {
    by: Order,
    stamps: BTreeMap<i64, Stamp>,
    sound: VecDeque<(u64, AccessUnit)>,
    order: u64,
}

/// The millisecond stamp by which a picture is found again.
pub(crate) fn millis(pts: Timestamp) -> i64 {
    pts.to_ticks(Timescale::MILLIS, Rounding::Nearest)
}

impl Weave {
    /// Nothing waits.
    pub(crate) fn new(by: Order) -> Self {
        Self {
            by,
            ..Self::default()
        }
    }

    /// Takes the next unit of the source.
    pub(crate) fn handle_source(&mut self, unit: &AccessUnit) {
        self.order += 1;
        if unit.track == TrackId::VIDEO {
            let stamp = Stamp {
                order: self.order,
                pts: unit.pts,
                duration: unit.duration,
                wall: unit.wall,
            };
            self.stamps.insert(millis(unit.pts), stamp);
            if self.stamps.len() > WAITING_MAX {
                self.stamps.pop_first();
            }
        } else {
            self.sound.push_back((self.order, unit.clone()));
            if self.sound.len() > WAITING_MAX {
                self.sound.pop_front();
            }
        }
    }

    /// Takes an encoded picture; gives the sound that the source had before it, then the picture. A stamp that the
    /// source did not have gives nothing.
    pub(crate) fn handle_encoded(
        &mut self,
        millis: i64,
        random_access: bool,
        payload: Bytes,
    ) -> Vec<AccessUnit> {
        let Some(stamp) = self.stamps.remove(&millis) else {
            return Vec::new();
        };
        // An encoder without B-frames gives pictures in the order in which they are shown: earlier ones were dropped.
        self.stamps = self.stamps.split_off(&millis);
        let mut units = Vec::new();
        let by_time = self.by == Order::Time;
        while self
            .sound
            .front()
            .is_some_and(|(order, sound)| *order < stamp.order || by_time && sound.pts < stamp.pts)
        {
            units.extend(self.sound.pop_front().map(|(_, unit)| unit));
        }
        units.push(AccessUnit {
            track: TrackId::VIDEO,
            pts: stamp.pts,
            dts: stamp.pts,
            duration: stamp.duration,
            wall: stamp.wall,
            random_access,
            payload,
        });
        units
    }

    /// Whether pictures before `millis` are still to come.
    pub(crate) fn awaits_before(&self, millis: i64) -> bool {
        self.stamps.range(..millis).next().is_some()
    }

    /// Forgets what waits before `millis`: a new encoder begins there. Of a rung's sound a little more is kept: which of it
    /// belongs to the segment that begins here is the packager's to say.
    pub(crate) fn start_at(&mut self, millis: i64) {
        self.stamps = self.stamps.split_off(&millis);
        if let Some((_, first)) = self.stamps.first_key_value() {
            let (order, pts) = (first.order, first.pts);
            let may_belong = |sound: &AccessUnit| self.by == Order::Source && is_near(sound, pts);
            self.sound
                .retain(|(at, sound)| *at > order || may_belong(sound));
        }
    }

    /// Forgets everything: the session is over.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.by);
    }
}

/// Whether sound may belong to a segment whose first picture is shown at `pts`.
pub(crate) fn is_near(sound: &AccessUnit, pts: Timestamp) -> bool {
    sound.pts + EARLY_MAX >= pts
}

/// The tracks of a rung: its own picture, the source's sound.
pub(crate) fn tracks(video: Track, source: &[Track]) -> Vec<Track> {
    let sound = source
        .iter()
        .filter(|track| track.id == TrackId::AUDIO)
        .cloned();
    std::iter::once(video).chain(sound).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(track: TrackId, millis: i64) -> AccessUnit {
        let pts = Timestamp::from_millis(millis);
        let wall = UnixTime::from_millis(1_000_000 + millis.unsigned_abs());
        AccessUnit {
            track,
            pts,
            dts: pts,
            duration: None,
            wall,
            random_access: true,
            payload: Bytes::new(),
        }
    }

    fn show(units: &[AccessUnit]) -> String {
        let name = |unit: &AccessUnit| {
            if unit.track == TrackId::VIDEO {
                'v'
            } else {
                'a'
            }
        };
        units
            .iter()
            .map(|unit| format!("{}{} ", name(unit), unit.pts.as_millis()))
            .collect::<Vec<_>>()
            .concat()
    }

    fn woven(sources: &[(TrackId, i64)], encoded: &[i64]) -> String {
        let mut weave = Weave::default();
        for (track, millis) in sources {
            weave.handle_source(&unit(*track, *millis));
        }
        encoded
            .iter()
            .map(|millis| show(&weave.handle_encoded(*millis, false, Bytes::new())))
            .collect()
    }

    const V: TrackId = TrackId::VIDEO;
    const A: TrackId = TrackId::AUDIO;

    #[test]
    fn sound_stands_where_the_source_had_it() {
        let source = [(V, 0), (A, 0), (A, 21), (V, 33), (A, 42), (V, 67)];
        assert_eq!(woven(&source, &[0, 33, 67]), "v0 a0 a21 v33 a42 v67 ");
    }

    #[test]
    fn what_begins_with_a_picture_has_the_sound_around_it_too() {
        let source = [
            (A, 0),
            (V, 500),
            (A, 590),
            (V, 600),
            (A, 610),
            (V, 633),
            (A, 640),
        ];
        let begun = |by| {
            let mut weave = Weave::new(by);
            for (track, millis) in source {
                weave.handle_source(&unit(track, millis));
            }
            weave.start_at(600);
            let said = [600, 633].map(|millis| weave.handle_encoded(millis, false, Bytes::new()));
            show(&said.concat())
        };
        assert_eq!(begun(Order::Source), "a590 v600 a610 v633 ");
        assert_eq!(begun(Order::Time), "v600 a610 v633 ");
    }

    #[test]
    fn a_picture_that_the_encoder_dropped_takes_no_sound_with_it() {
        assert_eq!(
            woven(&[(V, 0), (A, 0), (V, 33), (A, 21), (V, 67)], &[0, 67]),
            "v0 a0 a21 v67 "
        );
    }

    #[test]
    fn sound_that_the_source_has_too_late_stands_by_its_time_in_a_repaired_line() {
        let mut weave = Weave::new(Order::Time);
        for (track, millis) in [(V, 100), (A, 0), (V, 133), (A, 64), (A, 106), (V, 167)] {
            weave.handle_source(&unit(track, millis));
        }
        let line: String = [100, 133]
            .map(|millis| show(&weave.handle_encoded(millis, false, Bytes::new())))
            .concat();
        assert_eq!(line, "a0 a64 v100 a106 v133 ");
    }

    #[test]
    fn an_unknown_stamp_gives_nothing() {
        assert_eq!(
            woven(&[(V, 0), (A, 0), (V, 33)], &[0, 34, 33]),
            "v0 a0 v33 "
        );
    }

    #[test]
    fn reordered_pictures_of_the_source_come_in_the_order_in_which_they_are_shown() {
        assert_eq!(
            woven(
                &[(V, 0), (V, 100), (A, 0), (V, 33), (V, 67)],
                &[0, 33, 67, 100]
            ),
            "v0 a0 v33 v67 v100 "
        );
    }

    #[test]
    fn memory_is_bounded_when_no_encoder_answers() {
        let mut weave = Weave::default();
        for millis in 0..100_000 {
            weave.handle_source(&unit(if millis % 2 == 0 { V } else { A }, millis));
        }
        assert!(weave.stamps.len() <= WAITING_MAX && weave.sound.len() <= WAITING_MAX);
    }
}
