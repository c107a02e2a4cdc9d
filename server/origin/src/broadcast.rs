//! The task that owns one broadcast: publishers' sessions come and go, the broadcast stays.
//!
//! In → Out: one session's events at a time → the pipeline and the transcoder, whose rungs come back into the pipeline;
//! commands of the registry → joins and the end.
//! A session that ends, dies or is replaced closes the open segment at its last whole chunk; the broadcast then waits
//! `reconnect_window` for the next session, which gets a new epoch while segments go on being counted. After that it
//! has ended; its playlists stay readable for `ended_grace`.
//! Spec: design "Segments" (the publisher leaves); cases ING-17, ING-18, ING-19.

use std::sync::Arc;

use arc_swap::ArcSwap;
use delivery::Live;
use media::{BroadcastId, EndReason, Event};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use transcode::{Mode, RungOutput, Transcoder, spawn_transcoder};

use crate::clock::Clock;
use crate::photographer::Photographer;
use crate::pipeline::Pipeline;
use crate::position::Position;
use crate::registry::COMMANDS_QUEUED_MAX;
use crate::repair::Repair;
use crate::session::{Session, Start};
use crate::settings::Settings;
use crate::status::{Board, PublisherStatus, Standing, State};

/// What the registry tells a broadcast.
pub(crate) enum Command {
    /// A newer session takes over.
    Join(Box<Session>),
    /// Over, at once.
    End(EndReason),
}

/// What a broadcast leaves behind.
pub(crate) struct Exit {
    /// Where a successor's numbers begin.
    pub(crate) position: Start,
    /// A session that came in the instant in which the broadcast ended.
    pub(crate) late: Option<Box<Session>>,
}

/// A broadcast that is about to run, and the ends that others hold.
pub(crate) struct Begun<F> {
    pub(crate) run: F,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) board: Board,
    pub(crate) live: Arc<Live>,
}

/// Events taken in a row before other wake-ups get their turn.
const EVENTS_BUDGET: usize = 64;

/// Makes a broadcast whose first session is at hand.
pub(crate) fn begin(
    id: BroadcastId,
    start: Start,
    session: Session,
    settings: watch::Receiver<Settings>,
) -> Begun<impl Future<Output = Exit> + Send + 'static> {
    let (commands, inbox) = mpsc::channel(COMMANDS_QUEUED_MAX);
    let config = settings.borrow().pipeline.clone();
    let transcoder = (config.transcode.mode != Mode::Never)
        .then(|| spawn_transcoder(Arc::new(config.transcode.clone())));
    let repair = Repair::new(&config.transcode);
    let ffmpeg = config
        .transcode
        .pictures
        .then(|| config.transcode.ffmpeg.clone());
    let (pipeline, live) = Pipeline::new(id.clone(), config, start);
    let photographer = ffmpeg.map(|ffmpeg| Photographer::start(live.clone(), &ffmpeg));
    let clock = Clock::start();
    let title = session.title.as_str().into();
    let standing = Standing {
        title,
        state: State::Idle,
        since: clock.now(),
        publisher: None,
        position: Position::new(start),
        advice: Vec::new(),
    };
    let board: Board = Arc::new(ArcSwap::from_pointee(standing.clone()));
    let broadcast = Broadcast {
        id,
        clock,
        settings,
        inbox,
        board: board.clone(),
        standing,
        pipeline,
        transcoder,
        photographer,
        repair,
        demand: live.demand(),
        live: live.clone(),
        session: None,
        away_since: None,
    };
    Begun {
        run: broadcast.run(session),
        commands,
        board,
        live,
    }
}

/// The state of one broadcast; nobody else has any of it.
struct Broadcast {
    id: BroadcastId,
    clock: Clock,
    settings: watch::Receiver<Settings>,
    inbox: mpsc::Receiver<Command>,
    board: Board,
    standing: Standing,
    pipeline: Pipeline,
    transcoder: Option<Transcoder>,
    photographer: Option<Photographer>,
    repair: Repair,
    demand: watch::Receiver<u64>,
    live: Arc<Live>,
    session: Option<Session>,
    away_since: Option<Instant>,
}

/// What ended the time on air.
enum Wake {
    Command(Option<Command>),
    Event(Event),
    Repaired(Event),
    Rung(RungOutput),
    Demand,
    Overdue,
    SettingsChanged,
}

impl Broadcast {
    async fn run(mut self, first: Session) -> Exit {
        self.join(first);
        let reason = self.stay_on_air().await;
        self.end(reason).linger().await
    }

    /// Until the operator ends it or no publisher has come back in time.
    async fn stay_on_air(&mut self) -> EndReason {
        loop {
            match self.wake().await {
                Wake::Command(Some(Command::Join(session))) => self.join(*session),
                Wake::Command(Some(Command::End(reason))) => return reason,
                // The registry is gone.
                Wake::Command(None) => return EndReason::Stopped,
                Wake::Event(event) => self.take(event),
                Wake::Repaired(event) => self.feed(&event),
                Wake::Rung(said) => self.pipeline.handle_rung(said, self.clock.now()),
                Wake::Demand => self.pass_demand(),
                Wake::Overdue => return EndReason::Lost,
                Wake::SettingsChanged => {}
            }
            self.publish();
        }
    }

    async fn wake(&mut self) -> Wake {
        let window = self.settings.borrow_and_update().reconnect_window;
        let overdue = self.away_since.map(|since| since + window);
        tokio::select! {
            biased;
            command = self.inbox.recv() => Wake::Command(command),
            event = next_event(self.session.as_mut()) => Wake::Event(event),
            event = self.repair.next() => Wake::Repaired(event),
            said = next_rung(&mut self.transcoder) => Wake::Rung(said),
            Ok(()) = self.demand.changed() => Wake::Demand,
            () = sleep_until(overdue) => Wake::Overdue,
            Ok(()) = self.settings.changed() => Wake::SettingsChanged,
        }
    }

    /// The newer session wins: an encoder that reconnects before its old socket has died must not wait for it.
    fn join(&mut self, session: Session) {
        if let Some(old) = self.session.take() {
            tracing::info!(broadcast = %self.id, old = %old.id, new = %session.id, "a newer session takes over");
            metrics::counter!("nearcast_takeovers_total").increment(1);
            old.stop(EndReason::Replaced);
            self.repair.cut();
            self.feed(&Event::End(EndReason::Replaced));
        } else if let Some(end) = self.repair.cut() {
            self.feed(&end);
        }
        tracing::info!(broadcast = %self.id, session = %session.id, epoch = %self.standing.position.numbers().epoch, "publisher on air");
        self.standing.title = session.title.as_str().into();
        self.standing.publisher = Some(PublisherStatus {
            protocol: session.protocol,
            connected: true,
            since: self.clock.now(),
        });
        self.session = Some(session);
        self.away_since = None;
        self.publish();
    }

    /// Takes what woke us and what waits behind it, up to the budget.
    fn take(&mut self, first: Event) {
        self.take_one(first);
        for _ in 1..EVENTS_BUDGET {
            let Some(next) = self.session.as_mut().and_then(Session::try_next) else {
                return;
            };
            self.take_one(next);
        }
    }

    fn take_one(&mut self, event: Event) {
        match event {
            Event::End(reason) => self.leave(reason),
            event => self.take_media(event),
        }
    }

    /// What players can take goes on at once, the rest when it has been encoded anew.
    fn take_media(&mut self, event: Event) {
        if let Some(event) = self.repair.take(event) {
            self.feed(&event);
        }
    }

    fn feed(&mut self, event: &Event) {
        self.pipeline.handle(event, self.clock.now());
        if let Some(transcoder) = &mut self.transcoder {
            let offered = transcoder.offer(event);
            if offered && matches!(event, Event::Tracks(_) | Event::End(_)) {
                self.pipeline.await_rungs();
            }
        }
        if let Some(photographer) = &self.photographer {
            photographer.handle(event);
        }
    }

    /// Tells the transcoder which rungs viewers ask for.
    fn pass_demand(&self) {
        if let Some(transcoder) = &self.transcoder {
            for rung in self.live.wanted() {
                transcoder.note_use(rung);
            }
        }
    }

    fn leave(&mut self, reason: EndReason) {
        let Some(session) = self.session.take() else {
            return;
        };
        tracing::info!(broadcast = %self.id, session = %session.id, ?reason, "publisher away");
        self.take_media(Event::End(reason));
        if let Some(publisher) = &mut self.standing.publisher {
            publisher.connected = false;
        }
        self.away_since = Some(Instant::now());
    }

    fn end(self, reason: EndReason) -> Ended {
        if let Some(session) = self.session {
            session.stop(reason);
        }
        let position = self.pipeline.finish();
        let publisher = self.standing.publisher.map(|publisher| PublisherStatus {
            connected: false,
            ..publisher
        });
        self.board.store(Arc::new(Standing {
            state: State::Ended,
            position,
            publisher,
            ..self.standing
        }));
        tracing::info!(broadcast = %self.id, ?reason, "broadcast ended");
        Ended {
            position,
            settings: self.settings,
            inbox: self.inbox,
        }
    }

    /// Tells readers where the broadcast stands, if that has changed.
    fn publish(&mut self) {
        let position = self.pipeline.position();
        let began = position.msn() > self.standing.position.msn();
        let state = match (&self.session, self.standing.state) {
            (Some(_), _) if began => State::Live,
            (Some(_), state) => state,
            (None, State::Idle) => State::Idle,
            (None, _) => State::Reconnecting,
        };
        let standing = Standing {
            state,
            position,
            advice: self.repair.advice(),
            ..self.standing.clone()
        };
        if standing != **self.board.load() {
            self.board.store(Arc::new(standing.clone()));
        }
        self.standing = standing;
    }
}

/// What is left of a broadcast that is over: its place in the registry, for as long as its playlists are to be readable.
struct Ended {
    position: Position,
    settings: watch::Receiver<Settings>,
    inbox: mpsc::Receiver<Command>,
}

impl Ended {
    /// Keeps the place for the grace, or until a successor or the end of the process wants it.
    async fn linger(mut self) -> Exit {
        let until = Instant::now() + self.settings.borrow().ended_grace;
        let late = loop {
            match tokio::time::timeout_at(until, self.inbox.recv()).await {
                Ok(Some(Command::Join(session))) => break Some(session),
                Ok(Some(Command::End(_))) => {}
                Ok(None) | Err(_) => break None,
            }
        };
        Exit {
            position: self.position.successor(),
            late,
        }
    }
}

async fn next_event(session: Option<&mut Session>) -> Event {
    match session {
        Some(session) => session.next().await,
        None => std::future::pending().await,
    }
}

async fn next_rung(transcoder: &mut Option<Transcoder>) -> RungOutput {
    if let Some(running) = transcoder {
        if let Some(said) = running.next().await {
            return said;
        }
        tracing::error!("a transcoder has ended; its broadcast goes on without rungs");
        *transcoder = None;
        return RungOutput::Offered {
            rungs: Vec::new(),
            lost: Vec::new(),
        };
    }
    std::future::pending().await
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
