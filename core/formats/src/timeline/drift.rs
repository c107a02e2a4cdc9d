//! Sound whose timestamps drift away from those of the picture.
//!
//! In → Out: when units of both tracks arrive against what their stamps say → how far sound is to be shifted.
//! A publisher that counts samples with a wrong clock stamps its sound ever earlier or later than it happens. Only the
//! change since the beginning counts: encoders delay picture and sound by different, but steady, amounts.
//! Spec: none; our own.

use media::{Delta, Duration, Timestamp, TrackKind, UnixTime};

use super::least::Least;

/// Compares the delays of the two tracks of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drift {
    video: Least,
    audio: Least,
    /// Since when both tracks are there.
    since: Option<UnixTime>,
    /// Delay of sound less delay of picture at the beginning, in nanoseconds.
    usual: Option<i64>,
    correcting: bool,
    shift: i64,
}

/// Where a correction begins: beyond what a struggling encoder adds for a while.
const BEGIN: i64 = 400_000_000;
/// Where it ends.
const END: i64 = 50_000_000;

impl Drift {
    pub(super) const fn new() -> Self {
        Self {
            video: Least::new(),
            audio: Least::new(),
            since: None,
            usual: None,
            correcting: false,
            shift: 0,
        }
    }

    /// What is to be added to a unit's time; zero for pictures. `step` is the length of the last unit.
    pub(super) fn observe(
        &mut self,
        kind: TrackKind,
        time: Timestamp,
        step: Duration,
        arrival: UnixTime,
    ) -> Delta {
        let delay = |time: Timestamp| {
            arrival
                .since(UnixTime::from_nanos(0))
                .as_nanos()
                .saturating_sub(time.as_nanos())
        };
        if kind == TrackKind::Video {
            self.video.push(delay(time), arrival);
            return Delta::ZERO;
        }
        let sound = self
            .audio
            .push(delay(time + Delta::from_nanos(self.shift)), arrival);
        let Some(picture) = self.video.at(arrival) else {
            self.since = None;
            return Delta::from_nanos(self.shift);
        };
        let apart = sound.saturating_sub(picture);
        let since = *self.since.get_or_insert(arrival);
        let Some(usual) = self.usual else {
            if arrival.since(since).magnitude() > WATCH {
                self.usual = Some(apart);
            }
            return Delta::from_nanos(self.shift);
        };
        let drift = apart.saturating_sub(usual);
        self.correcting = drift.abs() > if self.correcting { END } else { BEGIN };
        if self.correcting {
            // Slow enough for the grid to follow without a step.
            let limit = i64::try_from(step.as_nanos() / 70).unwrap_or(0);
            self.shift += drift.clamp(-limit, limit);
        }
        Delta::from_nanos(self.shift)
    }

    /// Begins anew after a break in the timeline; what was shifted stays.
    pub(super) fn restart(&mut self) {
        *self = Self {
            shift: self.shift,
            ..Self::new()
        };
    }
}

/// How long both tracks are watched before their usual distance is known.
const WATCH: Duration = Duration::from_secs(10);
