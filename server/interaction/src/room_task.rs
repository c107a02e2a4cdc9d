//! The task that owns one room.
//!
//! In → Out: sums from the collector, comments, moderation, the media's progress, timers → the room → the track, verdicts for those
//! who wait, messages for the sockets of broadcaster and moderators.
//! An idle room sleeps: it wakes for its viewers and for the media's segments, never for a clock of its own.
//! Spec: docs/ix.md; style "one loop per task".

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use media::{RenditionName, UnixTime};
use room::{Beat, Comment, CommentId, Draft, Input, Output, Policy, Refusal, Room, Start, wire};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::collector::Collector;
use crate::ix::IxTrack;
use crate::review::Reviewer;

/// What connections tell a room.
pub(crate) enum Message {
    /// A comment whose author waits for what becomes of it.
    Comment(Box<Draft>, oneshot::Sender<Verdict>),
    /// Whether a viewer moderates.
    IsModerator(room::ViewerId, oneshot::Sender<bool>),
    /// Anything else.
    Input(Box<Input>),
    /// A socket came or went: count again. With a reply: what to begin with.
    Staff(Option<oneshot::Sender<Greeting>>),
}

/// The snapshot line with what else one has to know, and every message after it.
pub(crate) type Greeting = (Vec<Arc<str>>, broadcast::Receiver<Arc<str>>);

/// What became of a comment.
pub(crate) type Verdict = Result<u64, Refusal>;

/// Messages that wait for a room; more are refused where they come from.
pub(crate) const MESSAGES_MAX: usize = 1_024;
/// How long sums may wait before the room sees them.
const FLUSH_EVERY: Duration = Duration::from_millis(25);

/// What a room's task is made of.
pub(crate) struct Parts {
    pub(crate) policy: Policy,
    pub(crate) start: Start,
    pub(crate) track: IxTrack,
    pub(crate) collector: Arc<Collector>,
    pub(crate) inbox: mpsc::Receiver<Message>,
    /// For what is asked on the room's behalf. Weak: the room does not keep itself alive.
    pub(crate) answers: mpsc::WeakSender<Message>,
    pub(crate) reviewer: Option<Reviewer>,
    pub(crate) staff: broadcast::Sender<Arc<str>>,
    pub(crate) stop: CancellationToken,
}

struct Task {
    room: Room,
    track: IxTrack,
    collector: Arc<Collector>,
    answers: mpsc::WeakSender<Message>,
    reviewer: Option<Reviewer>,
    staff: broadcast::Sender<Arc<str>>,
    waiting: BTreeMap<CommentId, Vec<oneshot::Sender<Verdict>>>,
    flush_at: Option<Instant>,
}

/// The wall clock, as rooms know it.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Runs a room until its broadcast ends.
pub(crate) async fn run(parts: Parts) {
    let Parts {
        policy,
        start,
        track,
        collector,
        mut inbox,
        answers,
        reviewer,
        staff,
        stop,
    } = parts;
    let room = Room::new(policy, start, now());
    let mut media = track.live().watch(RenditionName::Source);
    let mut task = Task {
        room,
        track,
        collector,
        answers,
        reviewer,
        staff,
        waiting: BTreeMap::new(),
        flush_at: None,
    };
    task.collector.obey(&task.room.snapshot(now()).rules, now());
    loop {
        if task.follow_media() {
            break;
        }
        let due = task.room.next_timeout().map(until);
        let collector = Arc::clone(&task.collector);
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = media.changed() => {}
            () = sleep_until(due) => task.tick(due, inbox.len()),
            () = sleep_until(task.flush_at) => task.flush(),
            message = inbox.recv() => match message {
                Some(message) => task.take(message, &mut inbox),
                None => break,
            },
            () = collector.changed(), if task.flush_at.is_none() => task.flush_at = Some(Instant::now() + FLUSH_EVERY),
        }
        task.drain();
    }
    task.track.finish();
}

impl Task {
    /// Ends and begins segments with the media. True when the broadcast is over.
    fn follow_media(&mut self) -> bool {
        let media = self.track.media();
        if let Some(edge) = media.edge {
            self.room.handle(Input::LiveEdge(edge), now());
            self.drain();
        }
        if let Some(segment) = media.segment {
            let room = &self.room;
            self.track.follow(segment, || room.snapshot(now()));
        }
        media.ended
    }

    /// Does what is due. How late it comes, and how many wait, is how busy the process is.
    fn tick(&mut self, due: Option<Instant>, waiting: usize) {
        let late = due.map_or(Duration::ZERO, |due| due.elapsed());
        let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        let waiting = (waiting * 1_000 / MESSAGES_MAX) as u64;
        let pressure = late.max(waiting).min(1_000);
        let pressure = Input::Pressure(u16::try_from(pressure).unwrap_or(u16::MAX));
        self.room.handle(pressure, now());
    }

    fn flush(&mut self) {
        self.flush_at = None;
        if let Some(contribution) = self.collector.flush() {
            metrics::counter!("nearcast_room_hearts_total")
                .increment(contribution.hearts.iter().sum());
            self.room.handle(Input::Collected(contribution), now());
        }
    }

    /// Takes a message and those that wait behind it, up to a budget.
    fn take(&mut self, first: Message, inbox: &mut mpsc::Receiver<Message>) {
        self.take_one(first);
        for _ in 0..63 {
            let Ok(message) = inbox.try_recv() else {
                return;
            };
            self.take_one(message);
        }
    }

    fn take_one(&mut self, message: Message) {
        match message {
            Message::Comment(draft, reply) => {
                let waiting = self.waiting.entry(draft.id).or_default();
                // Those whose connections are gone do not wait any more.
                waiting.retain(|reply| !reply.is_closed());
                waiting.push(reply);
                self.room.handle(Input::Comment(*draft), now());
            }
            Message::IsModerator(viewer, reply) => {
                // Who asked may have gone.
                let _ = reply.send(self.room.is_moderator(viewer));
            }
            Message::Input(input) => self.room.handle(*input, now()),
            Message::Staff(reply) => {
                // What is due goes to those who are there already; the newcomer begins after it.
                self.room.handle_timeout(now());
                self.drain();
                let messages = reply.as_ref().map(|_| self.staff.subscribe());
                let count = u32::try_from(self.staff.receiver_count()).unwrap_or(u32::MAX);
                self.room.handle(Input::Staff(count), now());
                let line = wire::encode_snapshot(&self.room.staff_snapshot(now()));
                if let Some((reply, messages)) = reply.zip(messages) {
                    let line: Arc<str> = String::from_utf8_lossy(&line).trim_end().into();
                    let words = self.room.words().as_ref().and_then(wire::encode_staff);
                    let first = std::iter::once(line).chain(words.map(Arc::from));
                    // A socket that has gone again needs none.
                    let _ = reply.send((first.collect(), messages));
                }
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match &output {
                Output::Beat(beat) => self.beat(beat),
                Output::Verdict(id, _, verdict) => {
                    let result = verdict.map_or_else(Refusal::code, |_| "shown");
                    metrics::counter!("nearcast_room_comments_total", "result" => result)
                        .increment(1);
                    for reply in self.waiting.remove(id).into_iter().flatten() {
                        let _ = reply.send(*verdict);
                    }
                    continue;
                }
                Output::Redact(id) => self.track.redact(*id),
                Output::Audit(_) => {
                    if let Some(line) = wire::encode_staff(&output) {
                        self.track.audit(line);
                    }
                }
                Output::Review(comment) => self.review(comment.clone()),
                Output::Marked(marked) => self.track.marked(marked),
                Output::JuryEnded(..)
                | Output::Micro(_)
                | Output::NotDone(..)
                | Output::Reported(_)
                | Output::Words { .. } => {}
            }
            if self.staff.receiver_count() > 0
                && let Some(text) = wire::encode_staff(&output)
            {
                // Nobody there is no error.
                let _ = self.staff.send(text.into());
            }
        }
    }

    /// Asks the hook beside the room's loop; what comes too late finds that the fallback has decided.
    fn review(&self, comment: Comment) {
        let (Some(reviewer), answers) = (self.reviewer.clone(), self.answers.clone()) else {
            return;
        };
        let room = self.track.live().id().clone();
        tokio::spawn(async move {
            let Some(passes) = reviewer.ask(&room, &comment).await else {
                return;
            };
            if let Some(inbox) = answers.upgrade() {
                let input = Input::Reviewed(comment.id, passes);
                // A flooded room takes the fallback.
                let _ = inbox.try_send(Message::Input(Box::new(input)));
            }
        });
    }

    fn beat(&mut self, beat: &Beat) {
        metrics::counter!("nearcast_room_beats_total").increment(1);
        if let Some(rules) = &beat.rules {
            self.collector.obey(rules, now());
        }
        self.track.beat(beat);
    }
}

/// The instant of a wall-clock time. At least a millisecond ahead, so that a rounding cannot spin.
fn until(time: UnixTime) -> Instant {
    let ahead = time.since(now()).to_duration().unwrap_or_default();
    Instant::now() + Duration::from(ahead).max(Duration::from_millis(1))
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
