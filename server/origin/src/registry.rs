//! Which broadcasts exist. One task owns the set; everybody else reads a map that is replaced as a whole.
//!
//! In → Out: admissions and endings as commands → broadcast tasks spawned, watched and forgotten; a snapshot map.
//! A broadcast's task that panics takes only itself along: its viewers' responses are aborted, its name is free again.
//! Spec: none; our own. At most `count_max` broadcasts; at the bound new ones are refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use delivery::Live;
use ingest::{Admission, PublishRequest};
use media::{BroadcastId, EndReason};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::broadcast::{self, Command, Exit};
use crate::session::{Programme, Session, Start};
use crate::settings::Settings;
use crate::status::{Board, Note, State, Status};

/// Why a publisher cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// So many publishers want the same broadcast at once that its task cannot keep up.
    #[error("too many publishers want this broadcast at once: try again in a moment")]
    Busy,
    /// The bound on broadcasts is reached.
    #[error(
        "this server carries {count_max} broadcasts already, which is its limit: try again later"
    )]
    Full {
        /// The bound.
        count_max: usize,
    },
    /// The server is going down.
    #[error("this server is shutting down: try again in a moment")]
    ShuttingDown,
}

/// A handle to the set of broadcasts. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    commands: mpsc::Sender<Request>,
    entries: Entries,
}

/// The set as readers see it.
type Entries = Arc<ArcSwap<BTreeMap<BroadcastId, Entry>>>;

/// One broadcast as readers see it.
#[derive(Clone)]
struct Entry {
    board: Board,
    live: Arc<Live>,
}

/// One broadcast as its keeper knows it.
struct Kept {
    task: Id,
    /// Dropping it ends the broadcast, or cuts its grace short.
    commands: mpsc::Sender<Command>,
    entry: Entry,
}

enum Request {
    Admit {
        programme: Programme,
        start: Start,
        session: Box<Session>,
        reply: oneshot::Sender<Result<(), AdmitError>>,
    },
    End {
        id: BroadcastId,
        reply: oneshot::Sender<bool>,
    },
}

/// Requests to the registry's task; a full queue makes admissions wait.
const REQUESTS_QUEUED_MAX: usize = 1_024;
/// Commands to one broadcast. One that takes none for so many is stuck, and its publishers are refused.
pub(crate) const COMMANDS_QUEUED_MAX: usize = 64;

impl Registry {
    /// Starts the registry's task. After `shutdown` it ends all broadcasts, waits for them, and ends; what they left
    /// can still be read.
    pub fn spawn_registry(
        settings: watch::Receiver<Settings>,
        shutdown: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (commands, requests) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let entries = Entries::default();
        let keeper = Keeper {
            settings,
            entries: entries.clone(),
            map: BTreeMap::new(),
            tasks: JoinSet::new(),
            ids: HashMap::new(),
        };
        (
            Self { commands, entries },
            tokio::spawn(keeper.run(requests, shutdown)),
        )
    }

    /// Puts a publisher on air: in the broadcast that exists, or in a new one whose numbers begin at `start`.
    pub async fn admit(
        &self,
        programme: Programme,
        start: Start,
        request: &PublishRequest,
    ) -> Result<Admission, AdmitError> {
        let (session, admission) = Session::open(&programme, request);
        let (reply, answer) = oneshot::channel();
        let request = Request::Admit {
            programme,
            start,
            session: Box::new(session),
            reply,
        };
        self.commands
            .send(request)
            .await
            .map_err(|_| AdmitError::ShuttingDown)?;
        answer.await.map_err(|_| AdmitError::ShuttingDown)??;
        Ok(admission)
    }

    /// Ends a broadcast at once: its publisher is stopped, its playlists say that it is over. Whether it was on air.
    pub async fn end(&self, id: &BroadcastId) -> bool {
        let (reply, answer) = oneshot::channel();
        let sent = self
            .commands
            .send(Request::End {
                id: id.clone(),
                reply,
            })
            .await;
        sent.is_ok() && answer.await.unwrap_or(false)
    }

    /// All broadcasts, by id.
    pub fn statuses(&self) -> Vec<Status> {
        self.entries
            .load()
            .iter()
            .map(|(id, entry)| entry.status(id))
            .collect()
    }

    /// One broadcast.
    pub fn status(&self, id: &BroadcastId) -> Option<Status> {
        self.entries.load().get(id).map(|entry| entry.status(id))
    }

    /// How far the numbers of each broadcast have run.
    pub fn notes(&self) -> Vec<Note> {
        let note = |(id, entry): (&BroadcastId, &Entry)| {
            let standing = entry.board.load();
            Note {
                id: id.clone(),
                position: standing.position.numbers(),
                settled: standing.state == State::Ended,
            }
        };
        self.entries.load().iter().map(note).collect()
    }

    /// The broadcasts that have not ended, as readers see them.
    pub fn on_air(&self) -> Vec<Arc<Live>> {
        let entries = self.entries.load();
        let on_air = entries.values().filter(|entry| !entry.is_ended());
        on_air.map(|entry| entry.live.clone()).collect()
    }

    /// What viewers of a broadcast read.
    pub(crate) fn live(&self, id: &BroadcastId) -> Option<Arc<Live>> {
        self.entries.load().get(id).map(|entry| entry.live.clone())
    }
}

impl Entry {
    fn status(&self, id: &BroadcastId) -> Status {
        Status::join(id, &self.board.load(), &self.live)
    }

    fn is_ended(&self) -> bool {
        self.board.load().state == State::Ended
    }
}

/// The registry's task: the one writer of the set.
struct Keeper {
    settings: watch::Receiver<Settings>,
    entries: Entries,
    map: BTreeMap<BroadcastId, Kept>,
    tasks: JoinSet<Exit>,
    ids: HashMap<Id, BroadcastId>,
}

impl Keeper {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(exit) = self.tasks.join_next_with_id() => self.forget(exit),
                Some(request) = requests.recv() => self.handle(request),
            }
        }
        requests.close();
        self.end_all().await;
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Admit {
                programme,
                start,
                session,
                reply,
            } => {
                // A publisher that gave up waiting has dropped its ends; the broadcast will see that.
                let _ = reply.send(self.admit(programme, start, *session));
            }
            Request::End { id, reply } => {
                let kept = self.map.get(&id).filter(|kept| !kept.entry.is_ended());
                let told = kept.is_some_and(|kept| {
                    kept.commands
                        .try_send(Command::End(EndReason::Stopped))
                        .is_ok()
                });
                let _ = reply.send(told);
            }
        }
    }

    fn admit(
        &mut self,
        programme: Programme,
        start: Start,
        session: Session,
    ) -> Result<(), AdmitError> {
        let Some(kept) = self.map.get(&programme.id) else {
            return self.begin(programme.id, start, session);
        };
        // One that has ended makes room for its successor, and hands its numbers on.
        let successor = kept.entry.board.load().position.successor();
        if kept.entry.is_ended() {
            return self.begin(programme.id, successor, session);
        }
        match kept.commands.try_send(Command::Join(Box::new(session))) {
            // Its task has failed, which we are about to hear.
            Err(TrySendError::Closed(Command::Join(session))) => {
                self.begin(programme.id, successor, *session)
            }
            Err(_) => Err(AdmitError::Busy),
            Ok(()) => Ok(()),
        }
    }

    fn begin(&mut self, id: BroadcastId, start: Start, session: Session) -> Result<(), AdmitError> {
        let count_max = self.settings.borrow().count_max;
        if self.map.len() >= count_max && !self.map.contains_key(&id) {
            return Err(AdmitError::Full { count_max });
        }
        let begun = broadcast::begin(id.clone(), start, session, self.settings.clone());
        let task = self.tasks.spawn(begun.run).id();
        self.ids.insert(task, id.clone());
        let entry = Entry {
            board: begun.board,
            live: begun.live,
        };
        self.map.insert(
            id,
            Kept {
                task,
                commands: begun.commands,
                entry,
            },
        );
        self.publish();
        Ok(())
    }

    /// A broadcast's task has ended, by itself or by a panic.
    fn forget(&mut self, exit: Result<(Id, Exit), JoinError>) {
        let task = exit.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let Some(id) = self.ids.remove(&task) else {
            return;
        };
        let replaced = self.map.get(&id).is_some_and(|kept| kept.task != task);
        if !replaced {
            self.map.remove(&id);
            self.publish();
        }
        match exit {
            Ok((
                _,
                Exit {
                    position,
                    late: Some(session),
                },
            )) if !replaced => {
                // Refused only if the set filled up in the same instant; the dropped session tells its publisher.
                let _ = self.begin(id, position, *session);
            }
            Ok(_) => tracing::info!(broadcast = %id, "broadcast forgotten"),
            Err(error) => {
                metrics::counter!("nearcast_broadcast_panics_total").increment(1);
                tracing::error!(broadcast = %id, %error, "the task of a broadcast failed; others go on");
            }
        }
    }

    async fn end_all(&mut self) {
        for kept in std::mem::take(&mut self.map).into_values() {
            // A full queue belongs to a task that is stuck. The sender is dropped here, which ends any grace; readers keep
            // what is there.
            let _ = kept.commands.try_send(Command::End(EndReason::Stopped));
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn publish(&self) {
        metrics::gauge!("nearcast_broadcasts")
            .set(u32::try_from(self.map.len()).unwrap_or(u32::MAX));
        self.entries.store(Arc::new(
            self.map
                .iter()
                .map(|(id, kept)| (id.clone(), kept.entry.clone()))
                .collect(),
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ingest::{Protocol, SessionId};

    use super::*;
    use crate::settings::PipelineConfig;

    fn session(name: &str) -> (Programme, Session, Admission) {
        let programme = Programme {
            id: BroadcastId::parse(name).unwrap(),
            title: name.to_owned(),
        };
        let request = PublishRequest {
            protocol: Protocol::Rtmp,
            peer: "127.0.0.1:1".parse().unwrap(),
            app: "live".to_owned(),
            name: name.to_owned(),
            query: None,
            session: SessionId::next(),
        };
        let (session, admission) = Session::open(&programme, &request);
        (programme, session, admission)
    }

    #[tokio::test(start_paused = true)]
    async fn a_broadcast_whose_task_panics_takes_only_itself_along() {
        let settings = Settings {
            reconnect_window: Duration::from_secs(30),
            ended_grace: Duration::from_mins(1),
            count_max: 10,
            pipeline: PipelineConfig::default(),
        };
        let (_settings, seen) = watch::channel(settings);
        let entries = Entries::default();
        let mut keeper = Keeper {
            settings: seen,
            entries: entries.clone(),
            map: BTreeMap::new(),
            tasks: JoinSet::new(),
            ids: HashMap::new(),
        };
        let (programme, first, _stays) = session("stays");
        keeper.admit(programme, Start::default(), first).unwrap();
        let (programme, second, mut lost) = session("falls");
        let id = programme.id.clone();
        keeper.admit(programme, Start::default(), second).unwrap();

        // A defect in the task of one of them.
        let falls = keeper.tasks.spawn(async { panic!("a defect") }).id();
        keeper.ids.insert(falls, id.clone());
        keeper.map.get_mut(&id).unwrap().task = falls;
        let exit = keeper.tasks.join_next_with_id().await.unwrap();
        keeper.forget(exit);

        let names: Vec<_> = entries.load().keys().map(ToString::to_string).collect();
        assert_eq!(names, ["stays"], "the other one is still there");
        assert!(
            lost.feedback.recv().await.is_some(),
            "its publisher is stopped"
        );
        let (programme, again, _admission) = session("falls");
        keeper.admit(programme, Start::default(), again).unwrap();
        assert_eq!(entries.load().len(), 2, "and its name is free again");
    }
}
