//! One publisher's session as the broadcast sees it: events come in, feedback goes back.
//!
//! In → Out: made by the registry for an admitted publisher; consumed by the broadcast task.
//! Spec: none; our own.

use ingest::{PublishRequest, SessionId};
use media::{BroadcastId, EndReason, Event, Feedback};
use tokio::sync::mpsc;

use crate::status::Protocol;

pub use hls::Start;

/// What is to go on air: which broadcast, under which title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programme {
    /// The broadcast.
    pub id: BroadcastId,
    /// What viewers read above it.
    pub title: String,
}

/// The broadcast's end of a publisher's session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Later sessions have greater numbers.
    pub(crate) id: SessionId,
    /// How the publisher speaks to us.
    pub(crate) protocol: Protocol,
    /// What viewers read above the broadcast from now on.
    pub(crate) title: String,
    /// Media; closed without [`Event::End`] if the session's task died.
    events: mpsc::Receiver<Event>,
    feedback: mpsc::Sender<Feedback>,
}

/// Access units on their way to the broadcast task. A full queue makes the publisher wait.
const EVENTS_QUEUED_MAX: usize = 256;
/// Feedback on its way back. Only `Stop` matters; when the queue is full, one was sent already.
const FEEDBACK_QUEUED_MAX: usize = 4;

const LOST: Event = Event::End(EndReason::Lost);

impl Session {
    /// Both ends of a session's channels: one for the broadcast, one for the publisher.
    pub(crate) fn open(
        programme: &Programme,
        request: &PublishRequest,
    ) -> (Self, ingest::Admission) {
        let (events_in, events) = mpsc::channel(EVENTS_QUEUED_MAX);
        let (feedback, feedback_out) = mpsc::channel(FEEDBACK_QUEUED_MAX);
        let session = Self {
            id: request.session,
            protocol: request.protocol,
            title: programme.title.clone(),
            events,
            feedback,
        };
        (
            session,
            ingest::Admission {
                broadcast: programme.id.clone(),
                events: events_in,
                feedback: feedback_out,
            },
        )
    }

    /// The next event. A session whose task died without a word ends as lost. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Event {
        self.events.recv().await.unwrap_or(LOST)
    }

    /// What [`Session::next`] would yield now; `None` if it would wait.
    pub(crate) fn try_next(&mut self) -> Option<Event> {
        match self.events.try_recv() {
            Ok(event) => Some(event),
            Err(mpsc::error::TryRecvError::Disconnected) => Some(LOST),
            Err(mpsc::error::TryRecvError::Empty) => None,
        }
    }

    /// Tells the publisher to stop. What it still sends goes nowhere.
    pub(crate) fn stop(self, reason: EndReason) {
        // A session that is gone needs no telling.
        let _ = self.feedback.try_send(Feedback::Stop(reason));
    }
}
