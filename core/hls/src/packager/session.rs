//! One publisher session as a rendition sees it: its tracks, and the sound that waits for its pictures.
//!
//! In → Out: a set of tracks → lanes; sound that arrived → sound that may leave now; sound that is missing → silence.
//! Sound that runs ahead of the pictures waits for them, so that a boundary at a random access point divides both;
//! sound that is late leaves at once; sound that does not come at all is replaced, because a browser plays only where
//! it has both.
//!
//! Spec: ISO/IEC 14496-3, "raw_data_block" (the silent frames).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use media::{AccessUnit, Duration, Timestamp, Track, TrackConfig, TrackId, TrackKind};

use super::chunk::Taken;
use super::lane::Lane;
use crate::Selection;

/// The tracks of a session and what waits.
#[derive(Debug)]
pub(super) struct Session {
    /// All tracks that the rendition takes.
    pub(super) tracks: Arc<[Track]>,
    pub(super) video: Option<Lane>,
    pub(super) audio: Option<Lane>,
    /// The picture track of the followed packager, where this rendition has none itself, and the decode time of a
    /// picture that has just come.
    clock: Option<(TrackId, Option<Timestamp>)>,
    /// The picture track is announced but nothing comes: the rendition goes on with sound alone.
    pub(super) picture_gone: bool,
    held: VecDeque<Taken>,
    silence: Option<Bytes>,
    silent: bool,
    /// Where the sound that left ends.
    audio_end: Option<Timestamp>,
}

/// How far the pictures of the followed packager are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clock {
    /// There are none: nothing to wait for.
    None,
    /// Nothing came since the last call: where sound is divided is not known yet.
    Unchanged,
    /// A picture came: its decode time.
    At(Timestamp),
}

/// Sound runs ahead of the pictures by this much at most, then it leaves without them.
const AHEAD_MAX: Duration = Duration::from_millis(250);
/// A follower waits longer than the packager that it follows, so that it never divides sound earlier.
const AHEAD_MAX_FOLLOWING: Duration = Duration::from_millis(400);
/// Sound may lag behind the pictures by this much before silence takes its place.
const BEHIND_MAX: Duration = Duration::from_secs(1);
const HELD_MAX: usize = 512;

impl Session {
    /// `None` if the rendition takes none of the tracks. `following` lets the sound wait for the pictures of another.
    pub(super) fn new(tracks: &[Track], selection: Selection, following: bool) -> Option<Self> {
        let find = |kind| tracks.iter().find(|track| track.kind() == kind);
        let (video, audio) = (find(TrackKind::Video), find(TrackKind::Audio));
        let taken_video = video.filter(|_| selection == Selection::All);
        // Two tracks under one number cannot be told apart: the picture wins.
        let audio = audio.filter(|audio| taken_video.is_none_or(|video| video.id != audio.id));
        let tracks: Arc<[Track]> = taken_video.into_iter().chain(audio).cloned().collect();
        if tracks.is_empty() {
            return None;
        }
        let clock = video
            .filter(|_| taken_video.is_none() && following)
            .map(|track| (track.id, None));
        Some(Self {
            tracks,
            video: taken_video.map(Lane::new),
            audio: audio.map(Lane::new),
            clock,
            picture_gone: false,
            held: VecDeque::new(),
            silence: audio.and_then(silent_frame),
            silent: false,
            audio_end: None,
        })
    }

    /// Whether segments are cut at pictures.
    pub(super) const fn has_picture(&self) -> bool {
        self.video.is_some() && !self.picture_gone
    }

    /// The tracks that are really there.
    pub(super) fn present(&self) -> Arc<[Track]> {
        if !self.picture_gone {
            return Arc::clone(&self.tracks);
        }
        self.tracks
            .iter()
            .filter(|track| track.kind() == TrackKind::Audio)
            .cloned()
            .collect()
    }

    /// The newest decode time of any track.
    pub(super) fn front(&self) -> Option<Timestamp> {
        let video = self.video.as_ref().and_then(Lane::last_dts);
        video.max(self.audio.as_ref().and_then(Lane::last_dts))
    }

    /// Takes note of a picture of the followed packager; `false` if the unit is not one.
    pub(super) fn note_clock(&mut self, unit: &AccessUnit) -> bool {
        match &mut self.clock {
            Some((id, clock)) if *id == unit.track => {
                *clock = Some(unit.dts);
                true
            }
            _ => false,
        }
    }

    /// How far the pictures of the followed packager are. Sound is divided when they come, not when sound comes: only
    /// then is it known whether a boundary was between.
    pub(super) fn take_clock(&mut self) -> Clock {
        match &mut self.clock {
            None => Clock::None,
            Some((_, clock)) => clock.take().map_or(Clock::Unchanged, Clock::At),
        }
    }

    /// How far sound is ahead of the last picture, or how much of it waits if no picture came.
    pub(super) fn picture_missing(&self) -> Duration {
        let picture = self.video.as_ref().and_then(Lane::last_dts);
        let newest = self.audio.as_ref().and_then(Lane::last_dts);
        match (newest, picture) {
            (Some(newest), Some(picture)) => newest
                .since(picture)
                .to_duration()
                .unwrap_or(Duration::ZERO),
            _ => self.held_length(),
        }
    }

    /// The largest deviation of the leading track's units since the last call.
    pub(super) fn take_jitter(&mut self) -> Duration {
        let lane = if self.has_picture() {
            &mut self.video
        } else {
            &mut self.audio
        };
        lane.as_mut().map_or(Duration::ZERO, Lane::take_jitter)
    }

    /// The same session had other tracks before: its time goes on, and tracks that did not change keep their state.
    pub(super) fn carry_over(&mut self, before: Self) {
        let same = |kind| {
            let find = |tracks: &[Track]| tracks.iter().find(|track| track.kind() == kind).cloned();
            find(&before.tracks) == find(&self.tracks)
        };
        let (same_video, same_audio) = (same(TrackKind::Video), same(TrackKind::Audio));
        for (lane, old, same) in [
            (&mut self.video, before.video, same_video),
            (&mut self.audio, before.audio, same_audio),
        ] {
            match (lane, old) {
                (Some(lane), Some(old)) if same => *lane = old,
                (Some(lane), Some(old)) => lane.continue_after(&old),
                _ => {}
            }
        }
        if same_audio {
            self.held = before.held;
        }
        self.audio_end = before.audio_end;
    }

    /// Media time broke: nothing that waits fits what follows.
    pub(super) fn restart(&mut self) {
        for lane in self.video.iter_mut().chain(&mut self.audio) {
            lane.restart();
        }
        if let Some((_, clock)) = &mut self.clock {
            *clock = None;
        }
        self.held.clear();
        self.silent = false;
        self.audio_end = None;
    }

    /// Sound arrived.
    pub(super) fn hold(&mut self, unit: Taken) {
        if self.held.len() == HELD_MAX {
            self.held.pop_front();
        }
        self.held.push_back(unit);
    }

    /// Sound came, even if too late to be used: it is not missing.
    pub(super) fn note_sound(&mut self) {
        self.silent = false;
    }

    /// How much media waits.
    pub(super) fn held_length(&self) -> Duration {
        match (self.held.front(), self.held.back()) {
            (Some(first), Some(last)) => last
                .end()
                .since(first.dts)
                .to_duration()
                .unwrap_or(Duration::ZERO),
            _ => Duration::ZERO,
        }
    }

    /// Whether so much sound waits that it leaves without pictures; chunks that are longer give it more time.
    pub(super) fn runs_ahead(&self, least: Duration) -> bool {
        let ahead = if self.clock.is_some() {
            AHEAD_MAX_FOLLOWING
        } else {
            AHEAD_MAX
        };
        self.held_length() > ahead.max(least)
    }

    pub(super) fn first_held(&self) -> Option<&Taken> {
        self.held.front()
    }

    /// Forgets sound before `pts`: it belongs to nothing that was sent.
    pub(super) fn forget_before(&mut self, pts: Timestamp) {
        self.held.retain(|unit| unit.pts >= pts);
    }

    /// The next sound that begins before `limit` (`None`: any).
    pub(super) fn release(&mut self, limit: Option<Timestamp>) -> Option<Taken> {
        let unit = self
            .held
            .pop_front_if(|unit| limit.is_none_or(|limit| unit.pts < limit))?;
        self.audio_end = Some(unit.end());
        Some(unit)
    }

    /// Session time from which sound has not left yet; `start` if none has.
    pub(super) fn audio_boundary(&self, start: Timestamp) -> Timestamp {
        let held = self.held.front().map(|unit| unit.pts);
        held.or(self.audio_end).unwrap_or(start)
    }

    /// Puts silence where sound has been missing for too long before `until`; `start` is where media begins.
    pub(super) fn fill_silence(&mut self, start: Timestamp, until: Timestamp) {
        let (Some(frame), Some(lane)) = (&self.silence, &mut self.audio) else {
            return;
        };
        if !self.held.is_empty() {
            return;
        }
        let mut at = self.audio_end.unwrap_or(start);
        let behind = until.since(at).to_duration().unwrap_or(Duration::ZERO);
        if !self.silent && behind < BEHIND_MAX {
            return;
        }
        self.silent = true;
        let length = lane.usual();
        while at < until && self.held.len() < HELD_MAX {
            let unit = Taken {
                pts: at,
                dts: at,
                duration: length,
                random_access: true,
                wall: media::UnixTime::default(),
                payload: frame.clone(),
            };
            lane.skip_to(at);
            self.held.push_back(unit);
            at += length;
        }
    }
}

/// One frame of nothing to hear, for the configurations in which a constant can say it: AAC LC, one or two channels.
fn silent_frame(track: &Track) -> Option<Bytes> {
    let TrackConfig::Audio(audio) = &track.config else {
        return None;
    };
    let object_type = audio.decoder_config.first()? >> 3;
    match (object_type, audio.channels, audio.samples_per_unit) {
        // One channel: gain 0, no scale factor band, no tool, and then the end element.
        (2, 1, 1024) => Some(Bytes::from_static(&[0, 0, 0, 7])),
        // A pair with a common window: the same twice.
        (2, 2, 1024) => Some(Bytes::from_static(&[0x21, 0, 0, 0, 0, 0x1c])),
        _ => None,
    }
}
