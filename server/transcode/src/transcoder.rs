//! The task that encodes the rungs of one broadcast, or its source anew.
//!
//! In → Out: the broadcast's [`Event`]s and what viewers ask for → [`RungOutput`]s, each rung's own line of events.
//! A source that is repaired is a single rung of the source's name and size, wanted all the time.
//! The broadcast never waits for it: when the queue is full, pictures are left out up to the next random access point.
//! It owns its encoder processes and is driven by three things only: media, processes, and the supervisor's clock.
//! Spec: none; our own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use formats::codec::h264;
use formats::container::flv::file::{Tag, TagKind};
use formats::container::flv::mux::{self, FrameKind};
use hls::ladder::{LostRung, Rung};
use media::{
    AccessUnit, Duration, EndReason, Event, RenditionName, Rotation, Timestamp, Track, TrackConfig,
    TrackId, VideoConfig,
};
use metrics::counter;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::arguments::Keys;
use crate::child::{Child, FromChild, Order, spawn_child};
use crate::group::Group;
use crate::supervisor::{Command, Generation, Policy, Supervisor};
use crate::weave::{self, Weave};
use crate::{Config, Mode};

/// Events that wait for the transcoder: some seconds of a broadcast.
const INPUT_QUEUE: usize = 512;
const OUTPUT_QUEUE: usize = 512;
/// More changes of session than a transcoder can be behind that is of any use.
const OWED_MAX: usize = 64;
const CHILD_QUEUE: usize = 256;
/// Encoded pictures of a successor that wait for its predecessor to finish.
const TAKEOVER_MAX: usize = 120;
/// Stamps given to an encoder begin here, so that a decode time a little before zero stays positive.
const STAMP_BASE_MILLIS: i64 = 10_000;

/// What a transcoder says to its broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RungOutput {
    /// The rungs that viewers may be offered from here on, best first: possible for this picture, and not given up.
    Offered {
        /// Best first.
        rungs: Vec<Rung>,
        /// Those that were given up.
        lost: Vec<LostRung>,
    },
    /// The next event of a rung.
    Event(RenditionName, Event),
    /// A rung's encoder was lost in the middle of a segment, which cannot be finished.
    Interrupted(RenditionName),
    /// An [`Event::Tracks`] or [`Event::End`] was taken: all is said of what was before it.
    Settled,
}

/// A broadcast's end of its transcoder. Dropping it ends the transcoder and its processes.
#[derive(Debug)]
pub struct Transcoder {
    input: mpsc::Sender<Input>,
    output: mpsc::Receiver<RungOutput>,
    skipping: bool,
    /// Events beside media that found the queue full, oldest first: none of them may be left out.
    owed: VecDeque<Event>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Input {
    Event(Event),
    Use(RenditionName),
}

impl Transcoder {
    /// Offers the transcoder the broadcast's next event; never waits. Whether it will get it: pictures and sound are left
    /// out when it does not keep up, anything else only when it has not taken that many for very long.
    pub fn offer(&mut self, event: &Event) -> bool {
        let unit = match event {
            Event::Unit(unit) => Some(unit),
            _ if self.owed.len() == OWED_MAX => return false,
            _ => None,
        };
        if unit.is_none() {
            self.owed.push_back(event.clone());
        }
        while let Ok(place) = self.input.try_reserve() {
            let Some(owed) = self.owed.pop_front() else {
                break;
            };
            place.send(Input::Event(owed));
        }
        let kept_up = self.owed.is_empty() && unit.is_none_or(|unit| self.offer_unit(unit));
        if !kept_up && !std::mem::replace(&mut self.skipping, true) {
            counter!("nearcast_transcode_overflows_total").increment(1);
        }
        kept_up || unit.is_none()
    }

    /// Pictures that were left out take all others with them, up to the next random access point.
    fn offer_unit(&mut self, unit: &AccessUnit) -> bool {
        if self.skipping && !(unit.track == TrackId::VIDEO && unit.random_access) {
            return false;
        }
        let event = Input::Event(Event::Unit(unit.clone()));
        let taken = self.input.try_send(event).is_ok();
        self.skipping &= !taken;
        taken
    }

    /// Somebody asked for a rung; repeated calls keep it running.
    pub fn note_use(&self, rung: RenditionName) {
        // A lost note is made up for by the next request.
        drop(self.input.try_send(Input::Use(rung)));
    }

    /// What comes out; `None` once the transcoder has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<RungOutput> {
        self.output.recv().await
    }
}

impl Drop for Transcoder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the transcoder of one broadcast.
pub fn spawn_transcoder(config: Arc<Config>) -> Transcoder {
    spawn(config, Work::Rungs)
}

/// Starts an encoder of `source` itself: the same pictures in the same size, in the order in which they are shown, with a
/// key frame each two seconds, in 8 bits and 4:2:0, progressive. It says what a transcoder would say of a rung of that name.
pub fn spawn_repairer(config: Arc<Config>) -> Transcoder {
    spawn(config, Work::Repair)
}

fn spawn(config: Arc<Config>, work: Work) -> Transcoder {
    let (input, inputs) = mpsc::channel(INPUT_QUEUE);
    let (outputs, output) = mpsc::channel(OUTPUT_QUEUE);
    let task = tokio::spawn(Task::new(config, work, outputs).run(inputs));
    Transcoder {
        input,
        output,
        skipping: false,
        owed: VecDeque::new(),
        task,
    }
}

/// What a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// The ladder, when [`Config::mode`] says.
    Rungs,
    /// The source itself, all the time.
    Repair,
}

struct Process {
    child: Child,
    rungs: Vec<RenditionName>,
    fed: Option<i64>,
    /// It was too slow to take a picture: those that need it are of no use.
    skipping: bool,
    held: BTreeMap<RenditionName, Vec<Encoded>>,
}

struct Encoded {
    millis: i64,
    random_access: bool,
    payload: bytes::Bytes,
}

struct RungLine {
    rung: Rung,
    weave: Weave,
    from: Option<Generation>,
    track: Option<Track>,
    announced: bool,
    /// The stamp of the last picture that was delivered, by whichever process.
    delivered: Option<i64>,
}

struct Task {
    config: Arc<Config>,
    work: Work,
    output: mpsc::Sender<RungOutput>,
    supervisor: Supervisor,
    processes: BTreeMap<Generation, Process>,
    lines: BTreeMap<RenditionName, RungLine>,
    tracks: Vec<Track>,
    group: Group,
    start: Instant,
    child_output: mpsc::Sender<FromChild>,
    child_input: Option<mpsc::Receiver<FromChild>>,
}

impl Task {
    fn new(config: Arc<Config>, work: Work, output: mpsc::Sender<RungOutput>) -> Self {
        let on_demand = work == Work::Rungs && config.mode == Mode::OnDemand;
        let policy = Policy {
            idle: on_demand.then(|| config.idle.into()),
            attempts_max: config.attempts_max,
            attempts_window: config.attempts_window.into(),
            hung_after: config.hung_after.into(),
            lag_max: config.lag_max.into(),
            lag_patience: config.lag_patience.into(),
        };
        let (child_output, child_input) = mpsc::channel(CHILD_QUEUE);
        // Who begins with more would be taken for one that is too slow.
        let group = Group::new(config.lag_max.into());
        Self {
            config,
            work,
            output,
            supervisor: Supervisor::new(policy),
            processes: BTreeMap::new(),
            lines: BTreeMap::new(),
            tracks: Vec::new(),
            group,
            start: Instant::now(),
            child_output,
            child_input: Some(child_input),
        }
    }

    async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let Some(mut children) = self.child_input.take() else {
            return;
        };
        loop {
            let deadline = self
                .supervisor
                .next_timeout()
                .map(|at| self.start + nanos(at));
            let alive = tokio::select! {
                input = inputs.recv() => match input {
                    Some(Input::Event(event)) => self.handle_event(event, &mut children).await,
                    Some(Input::Use(rung)) => {
                        self.supervisor.handle_use(rung, self.now());
                        true
                    }
                    None => false,
                },
                Some(said) = children.recv() => self.handle_child(said).await,
                () = until(deadline) => {
                    self.supervisor.handle_timeout(self.now());
                    true
                }
            };
            if !alive || !self.obey().await {
                return;
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + Duration::from(self.start.elapsed())
    }

    async fn handle_event(
        &mut self,
        event: Event,
        children: &mut mpsc::Receiver<FromChild>,
    ) -> bool {
        match event {
            Event::Tracks(tracks) => {
                let same = tracks == self.tracks;
                (same
                    || self.end_session(children, EndReason::Finished).await
                        && self.plan(tracks).await)
                    && self.output.send(RungOutput::Settled).await.is_ok()
            }
            Event::Unit(unit) => {
                self.feed(&unit);
                true
            }
            // Rungs follow the cuts of the source; the source itself has to be told, between the right pictures.
            Event::Discontinuity(_) if self.work == Work::Rungs => true,
            Event::Discontinuity(_) => {
                let tracks = self.tracks.clone();
                let broken = RungOutput::Event(RenditionName::Source, event);
                self.end_session(children, EndReason::Finished).await
                    && self.output.send(broken).await.is_ok()
                    && self.plan(tracks).await
            }
            Event::End(reason) => {
                self.end_session(children, reason).await
                    && self.output.send(RungOutput::Settled).await.is_ok()
            }
        }
    }

    /// Prepares the rungs for a new set of tracks.
    async fn plan(&mut self, tracks: Vec<Track>) -> bool {
        let video = tracks.iter().find_map(Track::video);
        let rungs = match (video, self.work, self.config.mode) {
            (Some(video), Work::Repair, _) => vec![Rung::repaired(video)],
            (Some(video), Work::Rungs, Mode::Always | Mode::OnDemand) => {
                self.config.ladder.rungs(video)
            }
            _ => Vec::new(),
        };
        self.tracks = tracks;
        self.lines = rungs
            .iter()
            .map(|rung| {
                let line = RungLine {
                    rung: *rung,
                    weave: Weave::new(match self.work {
                        Work::Rungs => weave::Order::Source,
                        Work::Repair => weave::Order::Time,
                    }),
                    from: None,
                    track: None,
                    announced: false,
                    delivered: None,
                };
                (rung.name, line)
            })
            .collect();
        self.supervisor
            .handle_plan(rungs.iter().map(|rung| rung.name).collect(), self.now());
        self.offer_rungs().await
    }

    async fn offer_rungs(&self) -> bool {
        let offered = self.supervisor.offered();
        let rungs = self.lines.values().map(|line| line.rung);
        let lost = rungs.clone().filter_map(|rung| {
            let cause = self.supervisor.lost().get(&rung.name)?.as_str();
            Some(LostRung { rung, cause })
        });
        let said = RungOutput::Offered {
            lost: lost.collect(),
            rungs: rungs.filter(|rung| offered.contains(&rung.name)).collect(),
        };
        self.output.send(said).await.is_ok()
    }

    /// Lets the processes deliver what they were given, then tells every rung that its session is over.
    async fn end_session(
        &mut self,
        children: &mut mpsc::Receiver<FromChild>,
        reason: EndReason,
    ) -> bool {
        // A decoder holds pictures back until it knows that none is to be shown before them.
        for process in self.processes.values_mut() {
            process.child.finish();
        }
        let mut running = self.processes.len();
        let flushed = tokio::time::timeout(self.config.flush, async {
            while running > 0
                && self
                    .lines
                    .values()
                    .any(|line| line.from.is_some() && line.weave.awaits_before(i64::MAX))
            {
                match children.recv().await {
                    None => return true,
                    // As it was asked to.
                    Some(FromChild::Ended(_)) => running -= 1,
                    Some(said) => {
                        if !self.handle_child(said).await {
                            return false;
                        }
                    }
                }
            }
            true
        });
        if matches!(flushed.await, Ok(false)) {
            return false;
        }
        for (name, line) in &mut self.lines {
            line.weave.clear();
            if std::mem::take(&mut line.announced) {
                let end = RungOutput::Event(*name, Event::End(reason));
                if self.output.send(end).await.is_err() {
                    return false;
                }
            }
        }
        self.tracks.clear();
        self.group.clear();
        self.supervisor.handle_plan(BTreeSet::new(), self.now());
        self.obey().await
    }

    /// Gives a unit to the processes, and its times to the rungs.
    fn feed(&mut self, unit: &AccessUnit) {
        let now = self.now();
        if unit.track == TrackId::VIDEO {
            let video = self.tracks.iter().find_map(Track::video);
            for (generation, process) in &mut self.processes {
                if process.fed.is_none() {
                    let Some(video) = video.filter(|_| unit.random_access) else {
                        continue;
                    };
                    if !beginning(video, unit).all(|tag| process.child.feed(tag)) {
                        continue;
                    }
                }
                let Some(tag) = picture_tag(unit) else {
                    continue;
                };
                self.supervisor.handle_fed(*generation, now);
                process.skipping &= !unit.random_access;
                if !process.skipping && process.child.feed(tag) {
                    process.fed = Some(weave::millis(unit.pts));
                } else {
                    process.skipping = true;
                    counter!("nearcast_transcode_dropped_pictures_total").increment(1);
                }
            }
        }
        for line in self.lines.values_mut().filter(|line| line.from.is_some()) {
            line.weave.handle_source(unit);
        }
        if self.work == Work::Rungs {
            self.group.handle_source(unit);
        }
    }

    /// Gives a process that is new the group of pictures that the source is in, if all its rungs begin with it: it catches up
    /// in a fraction of the group's length. A segment that viewers have a part of already is not begun again.
    fn catch_up(&mut self, generation: Generation, names: &BTreeSet<RenditionName>) {
        let now = self.now();
        let video = self.tracks.iter().find_map(Track::video);
        let (Some(first), Some(video)) = (self.group.pictures().next(), video) else {
            return;
        };
        let begins = |name| {
            self.lines.get(name).is_some_and(|line| {
                let is_told = |millis| millis >= weave::millis(first.pts);
                line.from.is_none() && !line.delivered.is_some_and(is_told)
            })
        };
        if !names.iter().all(begins) {
            return;
        }
        let Some(process) = self.processes.get_mut(&generation) else {
            return;
        };
        let tags = beginning(video, first).chain(self.group.pictures().filter_map(picture_tag));
        // In one piece: the queue of a process is for what comes while it runs.
        if !process.child.feed(tags.collect::<Vec<_>>().concat().into()) {
            return;
        }
        let stamps = self.group.pictures().map(|unit| weave::millis(unit.pts));
        process.fed = stamps.max();
        self.supervisor.handle_fed(generation, now);
        for name in names {
            if let Some(line) = self.lines.get_mut(name) {
                for unit in self.group.units() {
                    line.weave.handle_source(unit);
                }
            }
        }
    }

    async fn handle_child(&mut self, said: FromChild) -> bool {
        match said {
            FromChild::Ended(generation) => {
                self.supervisor.handle_failed(generation, self.now());
                true
            }
            FromChild::Tag(generation, name, tag) if tag.kind == TagKind::Video => {
                self.handle_tag(generation, name, &tag).await
            }
            FromChild::Tag(..) => true,
        }
    }

    async fn handle_tag(&mut self, generation: Generation, name: RenditionName, tag: &Tag) -> bool {
        let now = self.now();
        let Some(process) = self.processes.get_mut(&generation) else {
            return true;
        };
        let Some(&[kind, packet, c0, c1, c2]) = tag.body.first_chunk::<5>() else {
            return true;
        };
        if packet == 0 {
            self.handle_config(name, &tag.body.slice(5..));
            return true;
        }
        let composition = i32::from_be_bytes([c0, c1, c2, 0]) >> 8;
        let millis = i64::from(tag.millis) + i64::from(composition) - STAMP_BASE_MILLIS;
        let newest = process.fed.unwrap_or(millis);
        let lag = Duration::from_millis(newest.saturating_sub(millis).max(0).unsigned_abs());
        self.supervisor.handle_delivered(generation, lag, now);
        let encoded = Encoded {
            millis,
            random_access: kind >> 4 == 1,
            payload: tag.body.slice(5..),
        };
        let Some(line) = self.lines.get_mut(&name) else {
            return true;
        };
        if line.from == Some(generation) {
            return self.deliver(name, encoded).await;
        }
        let held = process.held.entry(name).or_default();
        if held.is_empty() && !encoded.random_access {
            return true;
        }
        held.push(encoded);
        self.take_over(generation).await
    }

    fn handle_config(&mut self, name: RenditionName, record: &bytes::Bytes) {
        let source = self.tracks.iter().find_map(Track::video);
        let Some(line) = self.lines.get_mut(&name) else {
            return;
        };
        let mut stream = h264::Stream::new();
        match stream.handle_record(record).and_then(|_| stream.config()) {
            Ok(None) => {}
            Ok(Some(mut video)) => {
                video.rotation = source.map_or(Rotation::None, |source| source.rotation);
                video.frame_duration = source
                    .and_then(|source| source.frame_duration)
                    .or(video.frame_duration);
                line.track = Some(Track {
                    id: TrackId::VIDEO,
                    config: TrackConfig::Video(video),
                });
            }
            Err(error) => {
                tracing::warn!(rendition = %name, %error, "the encoder's parameter sets are not usable");
            }
        }
    }

    /// Moves every rung to a successor once all its rungs have begun and their predecessors have delivered up to there.
    async fn take_over(&mut self, generation: Generation) -> bool {
        let Some(process) = self.processes.get_mut(&generation) else {
            return true;
        };
        let lines = &self.lines;
        let ready = process.rungs.iter().all(|name| {
            // A rung that nobody delivered before began with this process: it has nothing to take over.
            if lines.get(name).and_then(|line| line.from) == Some(generation) {
                return true;
            }
            let held = process
                .held
                .get(name)
                .map(Vec::as_slice)
                .unwrap_or_default();
            held.first().is_some_and(|first| {
                let pending = lines.get(name).is_some_and(|line| {
                    line.from.is_some() && line.weave.awaits_before(first.millis)
                });
                !pending || held.len() >= TAKEOVER_MAX
            })
        });
        if !ready {
            return true;
        }
        let held = std::mem::take(&mut process.held);
        for (name, pictures) in held {
            if let Some(line) = self.lines.get_mut(&name) {
                line.from = Some(generation);
            }
            for encoded in pictures {
                if !self.deliver(name, encoded).await {
                    return false;
                }
            }
        }
        self.supervisor.handle_taken_over(generation);
        true
    }

    async fn deliver(&mut self, name: RenditionName, encoded: Encoded) -> bool {
        let Some(line) = self.lines.get_mut(&name) else {
            return true;
        };
        let Some(track) = &line.track else {
            return true;
        };
        line.delivered = line.delivered.max(Some(encoded.millis));
        if !line.announced {
            if !encoded.random_access {
                return true;
            }
            line.announced = true;
            line.weave.start_at(encoded.millis);
            let tracks = Event::Tracks(weave::tracks(track.clone(), &self.tracks));
            if self
                .output
                .send(RungOutput::Event(name, tracks))
                .await
                .is_err()
            {
                return false;
            }
        }
        for unit in
            line.weave
                .handle_encoded(encoded.millis, encoded.random_access, encoded.payload)
        {
            if self
                .output
                .send(RungOutput::Event(name, Event::Unit(unit)))
                .await
                .is_err()
            {
                return false;
            }
        }
        true
    }

    /// Does what the supervisor says.
    async fn obey(&mut self) -> bool {
        while let Some(command) = self.supervisor.poll_command() {
            let delivered = match command {
                Command::Start(generation, rungs) => {
                    self.start_process(generation, &rungs);
                    true
                }
                Command::Kill(generation) => {
                    self.processes.remove(&generation);
                    true
                }
                Command::Interrupted(rungs) => self.interrupt(&rungs).await,
                Command::Lost(rungs, cause) => {
                    for rung in &rungs {
                        tracing::error!(rendition = %rung, cause = cause.as_str(), "a rung is given up");
                        let labels = [("rendition", rung.as_str()), ("cause", cause.as_str())];
                        counter!("nearcast_transcode_lost_rungs_total", &labels).increment(1);
                    }
                    self.offer_rungs().await
                }
            };
            if !delivered {
                return false;
            }
        }
        true
    }

    async fn interrupt(&mut self, rungs: &BTreeSet<RenditionName>) -> bool {
        for name in rungs {
            let Some(line) = self.lines.get_mut(name) else {
                continue;
            };
            line.from = None;
            line.weave.clear();
            if std::mem::take(&mut line.announced)
                && self
                    .output
                    .send(RungOutput::Interrupted(*name))
                    .await
                    .is_err()
            {
                return false;
            }
        }
        true
    }

    fn start_process(&mut self, generation: Generation, names: &BTreeSet<RenditionName>) {
        let rungs = self.lines.values().map(|line| line.rung);
        let video = self.tracks.iter().find_map(Track::video);
        let order = Order {
            rungs: rungs.filter(|rung| names.contains(&rung.name)).collect(),
            keys: match self.work {
                Work::Rungs => Keys::Source,
                Work::Repair => Keys::Own,
            },
            scan: video.map(|video| video.scan).unwrap_or_default(),
        };
        match spawn_child(&self.config, generation, &order, self.child_output.clone()) {
            Ok(child) => {
                counter!("nearcast_transcode_starts_total").increment(1);
                let process = Process {
                    child,
                    rungs: names.iter().copied().collect(),
                    fed: None,
                    skipping: false,
                    held: BTreeMap::new(),
                };
                self.processes.insert(generation, process);
                self.catch_up(generation, names);
                // A line that nobody delivers begins with this process; its times are kept from now on.
                for line in self
                    .lines
                    .values_mut()
                    .filter(|line| names.contains(&line.rung.name))
                {
                    line.from.get_or_insert(generation);
                }
            }
            Err(error) => {
                tracing::error!(%error, program = %self.config.ffmpeg.display(), "the encoder does not start");
                self.supervisor.handle_failed(generation, self.now());
            }
        }
    }
}

/// What an encoder has to read before its first picture, `unit`.
fn beginning(video: &VideoConfig, unit: &AccessUnit) -> impl Iterator<Item = bytes::Bytes> {
    let config = mux::video_config(video, stamp(unit.dts));
    std::iter::once(mux::header()).chain(config)
}

fn picture_tag(unit: &AccessUnit) -> Option<bytes::Bytes> {
    let kind = if unit.random_access {
        FrameKind::Key
    } else {
        FrameKind::Inter
    };
    let composition = weave::millis(unit.pts) - weave::millis(unit.dts);
    mux::video(
        stamp(unit.dts),
        i32::try_from(composition).ok()?,
        kind,
        &unit.payload,
    )
}

/// The stamp that an encoder sees: modulo 2^32 milliseconds, 49 days.
fn stamp(dts: Timestamp) -> u32 {
    let millis = (weave::millis(dts) + STAMP_BASE_MILLIS).max(0);
    u32::try_from(millis.unsigned_abs() & u64::from(u32::MAX)).unwrap_or_default()
}

fn nanos(at: Timestamp) -> std::time::Duration {
    std::time::Duration::from_nanos(at.as_nanos().max(0).unsigned_abs())
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
