//! The source's pictures since its last key frame, with the sound around them: what an encoder that is wanted now needs to
//! begin there instead of at the next key frame, which may be seconds away.
//!
//! In → Out: the source's units → the group so far, or nothing while it is unknown or too long. No payload is copied.
//! Spec: none; our own.

use std::collections::VecDeque;

use media::{AccessUnit, Duration, TrackId};

use crate::weave::is_near;

/// Pictures and units of sound of a few seconds, with room for a high frame rate.
const UNITS_MAX: usize = 1_024;
/// Sound that may come before the key frame beside which it is heard.
const EARLY_MAX: usize = 32;

/// See the module.
#[derive(Debug)]
pub(crate) struct Group {
    span_max: Duration,
    units: Vec<AccessUnit>,
    /// The last units of sound.
    early: VecDeque<AccessUnit>,
}

impl Group {
    /// Nothing yet. A group that becomes longer than `span_max` is not kept: who begins with it is that far behind.
    pub(crate) fn new(span_max: Duration) -> Self {
        Self {
            span_max,
            units: Vec::new(),
            early: VecDeque::new(),
        }
    }

    /// Takes the next unit of the source.
    pub(crate) fn handle_source(&mut self, unit: &AccessUnit) {
        let is_picture = unit.track == TrackId::VIDEO;
        let begun = self.pictures().next().map(|key| key.pts);
        if is_picture && unit.random_access {
            let heard = self.early.iter().filter(|sound| is_near(sound, unit.pts));
            self.units = heard.chain([unit]).cloned().collect();
        } else if let Some(begun) = begun {
            let is_long = unit.pts.since(begun).magnitude() > self.span_max;
            if is_long || self.units.len() == UNITS_MAX {
                self.units.clear();
            } else {
                self.units.push(unit.clone());
            }
        }
        if !is_picture {
            self.early.push_back(unit.clone());
            if self.early.len() > EARLY_MAX {
                self.early.pop_front();
            }
        }
    }

    /// Its units in the source's order; none when nothing is known that an encoder could begin with.
    pub(crate) fn units(&self) -> &[AccessUnit] {
        &self.units
    }

    /// Its pictures, the key frame first.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = &AccessUnit> {
        self.units
            .iter()
            .filter(|unit| unit.track == TrackId::VIDEO)
    }

    /// Other tracks, or another session: nothing of it can be continued.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.span_max);
    }
}

#[cfg(test)]
mod tests {
    use media::Timestamp;

    use super::*;

    fn unit(track: TrackId, millis: i64, random_access: bool) -> AccessUnit {
        AccessUnit {
            track,
            pts: Timestamp::from_millis(millis),
            dts: Timestamp::from_millis(millis),
            duration: None,
            wall: media::UnixTime::from_millis(1_000_000),
            random_access,
            payload: bytes::Bytes::new(),
        }
    }

    fn stamps(group: &Group) -> Vec<i64> {
        group
            .units()
            .iter()
            .map(|unit| unit.pts.as_millis())
            .collect()
    }

    #[test]
    fn it_begins_anew_with_each_key_frame_and_has_no_picture_before_the_first() {
        let mut group = Group::new(Duration::from_secs(2));
        group.handle_source(&unit(TrackId::VIDEO, 0, false));
        group.handle_source(&unit(TrackId::AUDIO, 10, true));
        assert!(stamps(&group).is_empty());
        for (track, millis, key) in [
            (TrackId::VIDEO, 33, true),
            (TrackId::AUDIO, 40, true),
            (TrackId::VIDEO, 67, false),
        ] {
            group.handle_source(&unit(track, millis, key));
        }
        assert_eq!(stamps(&group), [10, 33, 40, 67]);
        group.handle_source(&unit(TrackId::AUDIO, 990, true));
        group.handle_source(&unit(TrackId::VIDEO, 1_000, true));
        assert_eq!(
            stamps(&group),
            [990, 1_000],
            "sound that is heard beside it"
        );
        assert_eq!(group.pictures().count(), 1);
    }

    #[test]
    fn its_length_is_that_of_its_pictures() {
        let mut group = Group::new(Duration::from_secs(2));
        for sound in 0..25 {
            group.handle_source(&unit(TrackId::AUDIO, sound * 20, true));
        }
        group.handle_source(&unit(TrackId::VIDEO, 500, true));
        group.handle_source(&unit(TrackId::VIDEO, 2_467, false));
        assert_eq!(
            group.pictures().count(),
            2,
            "sound from before is no part of it"
        );
    }

    #[test]
    fn one_that_does_not_end_is_forgotten_until_the_next_key_frame() {
        let mut group = Group::new(Duration::from_secs(2));
        group.handle_source(&unit(TrackId::VIDEO, 0, true));
        for picture in 1..=200 {
            group.handle_source(&unit(TrackId::VIDEO, picture * 33, false));
        }
        assert!(group.units().is_empty());
        group.handle_source(&unit(TrackId::VIDEO, 7_000, true));
        for sound in 0..2_000 {
            group.handle_source(&unit(TrackId::AUDIO, 7_000 + sound, true));
        }
        assert!(group.units().is_empty(), "nor is it kept in crumbs");
    }
}
