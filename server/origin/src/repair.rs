//! A session's picture encoded anew where players could not take it as it is, before anything else sees it.
//!
//! In → Out: a session's events → the same events, or those of an encoder in their place. Because the packagers, the rungs and the
//! pictures of a broadcast have one source, all renditions stay cut alike without knowing of it.
//! What is known before the first picture is repaired from there on; what shows later (a long GOP) at the next key frame.
//! An encoder that fails too often is given up for the rest of the session: the picture passes as it is, and advice says so.
//! Spec: issue "Every viewer's own quality", 1.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use media::{DiscontinuityReason, EndReason, Event, TrackId, TrackKind};
use tokio::time::Instant;
use transcode::{RungOutput, SourcePolicy, Transcoder, spawn_repairer};

use crate::advice::{Advice, Adviser};

/// How long an encoder may take over the last pictures of a session; it takes a third of a second unless it is stuck.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Repair {
    /// `None`: what players cannot take passes.
    config: Option<Arc<transcode::Config>>,
    adviser: Adviser,
    stage: Stage,
    encoder: Option<Transcoder>,
    /// The session's own tracks.
    tracks: Option<Event>,
    /// What the encoder has still to settle: tracks, or the end of the session.
    unsettled: VecDeque<Option<EndReason>>,
    /// The end of the session, and when the encoder has to have said all.
    ending: Option<(EndReason, Instant)>,
}

/// Where the session's events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// On.
    Passing,
    /// On, and from the next key frame on to the encoder.
    Due,
    /// To the encoder, whose events go on in their place.
    Repairing,
    /// On, until the session ends.
    GivenUp,
}

impl Repair {
    /// For one broadcast and all its sessions, one at a time.
    pub(crate) fn new(config: &transcode::Config) -> Self {
        Self {
            config: (config.source == SourcePolicy::Repair).then(|| Arc::new(config.clone())),
            adviser: Adviser::default(),
            stage: Stage::Passing,
            encoder: None,
            tracks: None,
            unsettled: VecDeque::new(),
            ending: None,
        }
    }

    /// Takes the session's next event; gives back what goes on at once.
    pub(crate) fn take(&mut self, event: Event) -> Option<Event> {
        self.adviser.handle(&event);
        if self.config.is_none() {
            return Some(event);
        }
        match event {
            Event::Tracks(_) => self.take_tracks(event),
            Event::End(reason) if self.stage == Stage::Repairing => {
                self.offer_and_await(&event, Some(reason));
                self.ending = Some((reason, Instant::now() + LAST_WORDS));
                None
            }
            Event::End(_) => {
                self.reset();
                Some(event)
            }
            Event::Unit(_) | Event::Discontinuity(_) => {
                self.advance(&event);
                if self.stage == Stage::Repairing {
                    if let Some(encoder) = &mut self.encoder {
                        encoder.offer(&event);
                    }
                    None
                } else {
                    Some(event)
                }
            }
        }
    }

    fn take_tracks(&mut self, event: Event) -> Option<Event> {
        let has_picture = matches!(&event, Event::Tracks(tracks) if tracks.iter().any(|track| track.kind() == TrackKind::Video));
        self.tracks = Some(event.clone());
        if self.stage == Stage::GivenUp {
            return Some(event);
        }
        if !has_picture {
            self.reset();
            return Some(event);
        }
        if self.encoder.is_some() {
            self.offer_and_await(&event, None);
        } else if self.adviser.wants_repair() {
            self.start();
        }
        if self.encoder.is_some() {
            self.stage = Stage::Repairing;
            return None;
        }
        Some(event)
    }

    /// Looks whether the picture has turned out to need it, and whether it can begin here.
    fn advance(&mut self, event: &Event) {
        if self.stage == Stage::Passing && self.adviser.wants_repair() && self.tracks.is_some() {
            self.start();
            self.stage = Stage::Due;
        }
        let is_key = matches!(event, Event::Unit(unit) if unit.track == TrackId::VIDEO && unit.random_access);
        if self.stage == Stage::Due && is_key {
            self.stage = Stage::Repairing;
        }
    }

    /// What the encoder has made; waits for ever while there is none. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            let Some(encoder) = &mut self.encoder else {
                return std::future::pending().await;
            };
            let said = match self.ending {
                None => encoder.next().await,
                Some((_, deadline)) => tokio::time::timeout_at(deadline, encoder.next())
                    .await
                    .unwrap_or(None),
            };
            if let Some(event) = self.hear(said) {
                return event;
            }
        }
    }

    fn hear(&mut self, said: Option<RungOutput>) -> Option<Event> {
        match said {
            Some(RungOutput::Event(_, Event::End(_))) => None,
            Some(RungOutput::Event(_, event)) => Some(event),
            // What is missing is not made up for.
            Some(RungOutput::Interrupted(_)) => {
                Some(Event::Discontinuity(DiscontinuityReason::Gap))
            }
            Some(RungOutput::Settled) => {
                let reason = self.unsettled.pop_front().flatten()?;
                self.reset();
                Some(Event::End(reason))
            }
            Some(RungOutput::Offered { lost, .. }) if lost.is_empty() => None,
            Some(RungOutput::Offered { .. }) | None => self.give_up(),
        }
    }

    /// The session is cut off, whatever the encoder still has of it; gives back its end if it had come.
    pub(crate) fn cut(&mut self) -> Option<Event> {
        let end = self.ending.map(|(reason, _)| Event::End(reason));
        self.reset();
        end
    }

    /// What holds now, gravest first.
    pub(crate) fn advice(&self) -> Vec<Advice> {
        let mut advice = self.adviser.advice();
        match self.stage {
            Stage::Repairing => advice.push(Advice::Repaired),
            Stage::GivenUp => advice.push(Advice::RepairFailed),
            Stage::Passing | Stage::Due => {}
        }
        advice
    }

    fn start(&mut self) {
        if let (Some(config), Some(tracks)) = (&self.config, &self.tracks) {
            tracing::info!(advice = ?self.adviser.advice(), "the picture is encoded anew");
            let tracks = tracks.clone();
            self.encoder = Some(spawn_repairer(Arc::clone(config)));
            self.offer_and_await(&tracks, None);
        }
    }

    /// Tracks, or the end that stands for `reason`: the encoder will say when all before them is said.
    fn offer_and_await(&mut self, event: &Event, reason: Option<EndReason>) {
        if let Some(encoder) = &mut self.encoder
            && encoder.offer(event)
        {
            self.unsettled.push_back(reason);
        }
    }

    /// From the session's next key frame on the picture is as it was sent.
    fn give_up(&mut self) -> Option<Event> {
        if let Some(end) = self.cut_at_end() {
            return Some(end);
        }
        tracing::error!("the picture cannot be encoded anew; it passes as it is");
        let replaced = self.stage == Stage::Repairing;
        let tracks = self.tracks.take();
        self.reset();
        self.stage = Stage::GivenUp;
        tracks.filter(|_| replaced)
    }

    fn cut_at_end(&mut self) -> Option<Event> {
        self.ending.is_some().then(|| self.cut()).flatten()
    }

    fn reset(&mut self) {
        self.stage = Stage::Passing;
        self.encoder = None;
        self.tracks = None;
        self.unsettled.clear();
        self.ending = None;
    }
}
