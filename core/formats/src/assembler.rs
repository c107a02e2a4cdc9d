//! Makes one session out of tracks: announces them in time, drops what no decoder can use, and orders it all.
//!
//! In → Out: track configurations and access units with a protocol's stamps, in order of arrival → [`Event`]s.
//! The second track is waited for only briefly. One that starts later, changes or comes back is announced anew right
//! before a random access point of the video, so that the picture loses nothing; one that falls silent while the other
//! goes on is taken out of the set.
//! Spec: none; our own.

use std::collections::VecDeque;

use bytes::Bytes;
use media::{
    AccessUnit, AudioConfig, Delta, Duration, Event, Rotation, Timescale, Timestamp, Track,
    TrackConfig, TrackId, TrackKind, UnixTime, VideoConfig,
};

use crate::timeline::{Cadence, Clock, Normaliser, Placed, Stamp};

/// One access unit as a protocol delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Sound or picture.
    pub kind: TrackKind,
    /// When it is decoded and shown, on the protocol's clock.
    pub stamp: Stamp,
    /// When it came in. Never goes back from one unit to the next.
    pub arrival: UnixTime,
    /// Whether a decoder can start here.
    pub random_access: bool,
    /// As [`AccessUnit::payload`].
    pub payload: Bytes,
}

/// Which tracks a publisher says it will send, if it says anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// Whether there will be picture.
    pub video: Option<bool>,
    /// Whether there will be sound.
    pub audio: Option<bool>,
}

/// The assembler of one session.
#[derive(Debug)]
pub struct Assembler {
    normaliser: Normaliser,
    promise: Promise,
    frame_duration: Option<Duration>,
    rotation: Rotation,
    video: Line<VideoConfig>,
    audio: Line<AudioConfig>,
    announced: bool,
    waiting: VecDeque<Unit>,
    waiting_bytes: usize,
    /// The stamp and the arrival of the first unit or configuration.
    first: Option<(u64, UnixTime)>,
    events: VecDeque<Event>,
    dropped: u64,
    /// The greatest PTS so far.
    progress: Option<Timestamp>,
    clock: Clock,
}

/// The state of one of the two tracks.
#[derive(Debug)]
struct Line<C> {
    config: Option<C>,
    /// Part of the latest announced set.
    live: bool,
    /// The configuration is not the announced one.
    changed: bool,
    /// A unit at which a decoder can start has come since the announcement.
    started: bool,
    /// PTS of the latest unit, and the last step.
    latest: Option<Timestamp>,
    step: Duration,
    /// How far the session had come with the latest unit.
    seen: Option<Timestamp>,
}

impl<C> Line<C> {
    const fn new() -> Self {
        Self {
            config: None,
            live: false,
            changed: false,
            started: false,
            latest: None,
            step: Duration::ZERO,
            seen: None,
        }
    }
}

/// How long the other track is waited for, by stamps or by arrival, whichever passes first.
const PATIENCE: Duration = Duration::from_millis(300);
/// How much may wait for the first announcement.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
const WAITING_UNITS_MAX: usize = 1_024;
/// A track is absent when the session has come so far, and three of the track's own steps further, without it.
const ABSENT: Duration = Duration::from_secs(2);

impl Assembler {
    /// An assembler for a session whose stamps are on this clock.
    pub fn new(clock: Clock) -> Self {
        Self {
            normaliser: Normaliser::new(clock),
            promise: Promise::default(),
            frame_duration: None,
            rotation: Rotation::None,
            video: Line::new(),
            audio: Line::new(),
            announced: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            first: None,
            events: VecDeque::new(),
            dropped: 0,
            progress: None,
            clock,
        }
    }

    /// Takes what the publisher says of its tracks beside their configurations. `frame_duration` is used where the video
    /// configuration has none.
    pub fn handle_promise(&mut self, promise: Promise, frame_duration: Option<Duration>) {
        self.promise = promise;
        self.frame_duration = frame_duration;
    }

    /// Takes how the picture is to be turned, from the next random access point on: until then nothing is lost.
    pub fn handle_rotation(&mut self, rotation: Rotation) {
        self.rotation = rotation;
    }

    fn turn(&mut self, unit: &Unit) {
        if unit.kind == TrackKind::Video
            && unit.random_access
            && let Some(config) = &mut self.video.config
            && config.rotation != self.rotation
        {
            config.rotation = self.rotation;
            self.video.changed = true;
        }
    }

    /// Takes a video configuration; one that is already in force changes nothing.
    pub fn handle_video_config(&mut self, mut config: VideoConfig) {
        config.frame_duration = config.frame_duration.or(self.frame_duration);
        config.rotation = self.rotation;
        if self.video.config.as_ref() != Some(&config) {
            self.video.config = Some(config);
            self.video.changed = true;
        }
    }

    /// Takes an audio configuration; one that is already in force changes nothing.
    pub fn handle_audio_config(&mut self, config: AudioConfig) {
        if self.audio.config.as_ref() != Some(&config) {
            self.audio.config = Some(config);
            self.audio.changed = true;
        }
    }

    /// Gives a track up: what still comes of it is dropped.
    pub fn handle_refused(&mut self, kind: TrackKind) {
        match kind {
            TrackKind::Video => {
                self.video.config = None;
                self.promise.video = Some(false);
            }
            TrackKind::Audio => {
                self.audio.config = None;
                self.promise.audio = Some(false);
            }
        }
    }

    /// Takes an access unit.
    pub fn handle_unit(&mut self, unit: Unit) {
        self.turn(&unit);
        if self.announced {
            self.forward(unit);
            return;
        }
        let (stamp, arrival) = *self.first.get_or_insert((unit.stamp.dts, unit.arrival));
        let ticks = unit.stamp.dts.wrapping_sub(stamp);
        let patience = PATIENCE.to_ticks(self.clock.timescale, media::Rounding::Down);
        // A stamp before the first one is no sign that time has passed.
        let by_stamp = (patience..patience * 100).contains(&ticks);
        let patient = !by_stamp
            && unit.arrival.since(arrival) < Delta::from_nanos(PATIENCE.as_nanos().cast_signed());
        self.waiting_bytes += unit.payload.len();
        self.waiting.push_back(unit);
        let full =
            self.waiting_bytes > WAITING_BYTES_MAX || self.waiting.len() >= WAITING_UNITS_MAX;
        let complete = (self.video.config.is_some() || self.promise.video == Some(false))
            && (self.audio.config.is_some() || self.promise.audio == Some(false));
        if full || complete || !patient {
            self.begin();
        }
    }

    /// Whether there is picture.
    pub fn has_video(&self) -> bool {
        self.video.config.is_some()
    }

    /// Whether there is no picture, and the publisher says there will be none.
    pub fn expects_no_video(&self) -> bool {
        !self.has_video() && self.promise.video == Some(false)
    }

    /// What happened, if anything.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Units that were dropped because no decoder could have used them.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Ends the session; returns what was still waiting.
    pub fn finish(mut self) -> impl Iterator<Item = Event> {
        self.begin();
        self.events.into_iter()
    }

    /// Announces what there is, and lets go what has waited.
    fn begin(&mut self) {
        if !self.announced && (self.video.config.is_some() || self.audio.config.is_some()) {
            self.announced = true;
            self.announce(true, true);
        }
        self.waiting_bytes = 0;
        for unit in std::mem::take(&mut self.waiting) {
            if self.announced {
                self.forward(unit);
            } else {
                self.dropped += 1;
            }
        }
    }

    /// Emits the set of tracks: those asked for that have a configuration.
    fn announce(&mut self, video: bool, audio: bool) {
        let mut tracks = Vec::new();
        self.video.live = false;
        self.audio.live = false;
        if let Some(config) = self.video.config.as_ref().filter(|_| video) {
            (self.video.live, self.video.changed, self.video.started) = (true, false, false);
            let cadence = config.frame_duration.and_then(Cadence::from_frame_duration);
            self.normaliser.set_cadence(TrackKind::Video, cadence);
            tracks.push(Track {
                id: TrackId::VIDEO,
                config: TrackConfig::Video(config.clone()),
            });
        }
        if let Some(config) = self.audio.config.as_ref().filter(|_| audio) {
            (self.audio.live, self.audio.changed) = (true, false);
            let cadence = Timescale::new(config.sample_rate)
                .and_then(|rate| Cadence::new(config.samples_per_unit, rate));
            self.normaliser.set_cadence(TrackKind::Audio, cadence);
            tracks.push(Track {
                id: TrackId::AUDIO,
                config: TrackConfig::Audio(config.clone()),
            });
        }
        self.events.push_back(Event::Tracks(tracks));
    }

    fn forward(&mut self, unit: Unit) {
        if !self.admit(&unit) {
            self.dropped += 1;
            return;
        }
        let Some(placed) = self.normaliser.place(unit.kind, unit.stamp, unit.arrival) else {
            self.dropped += 1;
            return;
        };
        self.emit(unit, placed);
    }

    /// Whether a unit belongs to the announced set, after announcing a new one where this unit allows or demands it.
    fn admit(&mut self, unit: &Unit) -> bool {
        let picture = unit.kind == TrackKind::Video;
        let (configured, current) = if picture {
            (
                self.video.config.is_some(),
                self.video.live && !self.video.changed,
            )
        } else {
            (
                self.audio.config.is_some(),
                self.audio.live && !self.audio.changed,
            )
        };
        if !configured {
            return false;
        }
        if picture && unit.random_access {
            // The one moment at which the set can change without losing a picture.
            let audio_here = self.audio.config.is_some() && !self.is_absent(TrackKind::Audio);
            if !current || audio_here != self.audio.live || (audio_here && self.audio.changed) {
                self.announce(true, audio_here);
            }
            self.video.started = true;
            return true;
        }
        if picture {
            return current && self.video.started;
        }
        if current {
            return true;
        }
        if self.video.live && !self.is_absent(TrackKind::Video) {
            // The next random access point announces it.
            self.audio.seen = self.progress;
            return false;
        }
        self.announce(false, true);
        true
    }

    /// Whether nothing has come of a track for long, by the session's media time.
    fn is_absent(&self, kind: TrackKind) -> bool {
        let (seen, live, step) = match kind {
            TrackKind::Video => (self.video.seen, self.video.live, self.video.step),
            TrackKind::Audio => (self.audio.seen, self.audio.live, self.audio.step),
        };
        let (Some(seen), Some(progress)) = (seen, self.progress) else {
            return seen.is_none() && !live;
        };
        progress
            .since(seen)
            .to_duration()
            .is_some_and(|passed| passed > ABSENT + step.times(3))
    }

    fn emit(&mut self, unit: Unit, placed: Placed) {
        let picture = unit.kind == TrackKind::Video;
        if let Some(reason) = placed.discontinuity {
            self.events.push_back(Event::Discontinuity(reason));
            self.video.seen = None;
            self.audio.seen = None;
        }
        self.progress = self.progress.max(Some(placed.pts));
        // A live track of which nothing has come yet counts from here.
        self.video.seen = self
            .video
            .seen
            .or(self.progress.filter(|_| self.video.live));
        self.audio.seen = self
            .audio
            .seen
            .or(self.progress.filter(|_| self.audio.live));
        let (latest, step, seen) = if picture {
            (
                &mut self.video.latest,
                &mut self.video.step,
                &mut self.video.seen,
            )
        } else {
            (
                &mut self.audio.latest,
                &mut self.audio.step,
                &mut self.audio.seen,
            )
        };
        *step = latest
            .and_then(|latest| placed.pts.since(latest).to_duration())
            .unwrap_or_default();
        *latest = Some(placed.pts);
        *seen = self.progress;
        self.events.push_back(Event::Unit(AccessUnit {
            track: if picture {
                TrackId::VIDEO
            } else {
                TrackId::AUDIO
            },
            pts: placed.pts,
            dts: placed.dts,
            duration: placed.duration,
            wall: placed.wall,
            random_access: unit.random_access,
            payload: unit.payload,
        }));
        // Sound goes on alone once the picture has been missing for long; the reverse waits for a random access point.
        if !picture && self.video.live && self.is_absent(TrackKind::Video) {
            self.announce(false, true);
        }
    }
}
