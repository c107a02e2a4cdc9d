//! The reference viewer: joins like our player, counts on, survives reconnects, and judges what it gets.
//!
//! In → Out: response heads, body pieces and ends → requests to make, and [`Fact`]s.
//! It reads the playlist once and then counts; the next segment is asked for while this one runs; after any surprise it
//! lets go of everything and reads the playlist again. Sockets and clocks are the caller's.
//! Spec: design "Paths", "Segments", "The player"; RFC 8216bis, "Client Responsibilities".

pub mod boxes;
mod fault;
mod fetch;
pub mod playlist;
mod playout;
mod tally;
mod timeline;

use std::collections::VecDeque;

use media::{Delta, Duration, Epoch, SegmentId, Timestamp, UnixTime};

use boxes::{Chunk, Init};
use fetch::{Fetch, Outcome};
use playlist::Playlist;
use timeline::Timeline;

pub use fault::{Fault, Head};
pub use playout::{Backlog, Playout, PlayoutChange, PlayoutConfig};
pub use tally::{Percentiles, Tally, Times};

/// Names a request between viewer and caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Either playlist.
    Playlist,
    /// An init section.
    Init,
    /// A segment, growing or about to begin.
    Segment,
}

/// A `GET` that the caller is to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// To be given back with the response.
    pub id: RequestId,
    /// Path with query.
    pub path: String,
    /// What it is.
    pub kind: RequestKind,
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As HTTP says a body ends.
    Clean,
    /// Cut off, or no response at all.
    Aborted,
}

/// Why the playlist is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surprise {
    /// A segment was cut off.
    Aborted,
    /// A segment that was announced is refused.
    Refused,
    /// A segment gave no byte for a long time.
    Silent,
}

/// The times of the track that leads a chunk: the picture, or the sound where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMedia {
    /// Decode time of its first sample.
    pub begin: Timestamp,
    /// Decode time of its last sample.
    pub last: Timestamp,
}

/// What a viewer saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The first picture can be shown, so long after the start.
    Joined(Duration),
    /// A chunk came.
    Chunk {
        /// `prft`, `moof` and `mdat`.
        bytes: u64,
        /// The samples among them.
        payload: u64,
        /// When its last byte came.
        at: UnixTime,
        /// Where its leading track is on the broadcast's timeline; `None` for a chunk without samples.
        media: Option<ChunkMedia>,
        /// From the instant of its newest sample to the arrival of its last byte; `None` for what was made before the
        /// response began.
        lateness: Option<Delta>,
        /// How old the picture is that is shown now.
        play_delay: Option<Delta>,
    },
    /// A segment is complete.
    Segment(SegmentId),
    /// The picture stood still.
    Stalled(Duration),
    /// Media was skipped to come back to the edge.
    Jumped(Duration),
    /// Decode times have a hole.
    Gap {
        /// Where it ends.
        segment: SegmentId,
        /// Which track.
        track: u32,
        /// How long it is.
        length: Duration,
    },
    /// A new epoch began.
    Epoch {
        /// Before.
        from: Epoch,
        /// Now.
        to: Epoch,
    },
    /// A segment's response was cut off.
    Aborted(SegmentId),
    /// The playlist is read again.
    Resync(Surprise),
    /// The broadcast is over.
    Ended,
    /// The server broke a promise.
    Fault(Fault),
}

/// How to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Path of the multivariant or of a media playlist.
    pub path: String,
    /// Which variant, by a part of its URI; otherwise the first listed.
    pub rendition: Option<String>,
    /// The play-out model.
    pub playout: PlayoutConfig,
}

impl Config {
    /// Watching the broadcast whose playlist is at `path`.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            rendition: None,
            playout: PlayoutConfig::default(),
        }
    }
}

/// Headers of a held request later than this are a fault: a player's time-outs count from here.
const HEAD_BUDGET: Duration = Duration::from_millis(1_000);
/// A segment that gives no byte for this long is let go.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// First wait between two readings of the playlist; doubles up to the second.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// A playlist is no longer than this.
const PLAYLIST_MAX: usize = 1 << 20;

/// The machine.
#[derive(Debug)]
pub struct Viewer {
    config: Config,
    started: UnixTime,
    phase: Phase,
    requests: VecDeque<Request>,
    cancels: VecDeque<RequestId>,
    facts: VecDeque<Fact>,
    next_request: u64,
    playlist_path: String,
    /// A playlist or init section that is being read, whole.
    whole: Vec<Whole>,
    init: Option<(Epoch, Option<Init>)>,
    current: Option<Fetch>,
    ahead: Option<Fetch>,
    target_duration: Duration,
    segment_media: Duration,
    /// The newest segment of which a chunk was taken.
    newest: Option<SegmentId>,
    complete: bool,
    last_byte: UnixTime,
    retry_at: Option<UnixTime>,
    retry_wait: Duration,
    joined: bool,
    /// A segment may be read for the second time, from its beginning.
    resuming: bool,
    timeline: Timeline,
    playout: Playout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The multivariant playlist comes first.
    Joining,
    /// Segments are counted.
    Watching,
    /// The broadcast is over.
    Ended,
}

#[derive(Debug)]
struct Whole {
    id: RequestId,
    path: String,
    init: Option<Epoch>,
    status: u16,
    body: Vec<u8>,
}

impl Viewer {
    /// Starts watching; the first request is ready.
    pub fn new(config: Config, now: UnixTime) -> Self {
        let mut viewer = Self {
            playout: Playout::new(config.playout),
            playlist_path: config.path.clone(),
            config,
            started: now,
            phase: Phase::Joining,
            requests: VecDeque::new(),
            cancels: VecDeque::new(),
            facts: VecDeque::new(),
            next_request: 0,
            whole: Vec::new(),
            init: None,
            current: None,
            ahead: None,
            target_duration: Duration::from_secs(2),
            segment_media: Duration::ZERO,
            newest: None,
            complete: false,
            last_byte: now,
            retry_at: None,
            retry_wait: RETRY_MIN,
            joined: false,
            resuming: false,
            timeline: Timeline::default(),
        };
        viewer.read_playlist();
        viewer
    }

    /// The next request to make.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// The next request to give up; its response is not wanted any more.
    pub fn poll_cancel(&mut self) -> Option<RequestId> {
        self.cancels.pop_front()
    }

    /// The next thing seen.
    pub fn poll_fact(&mut self) -> Option<Fact> {
        self.facts.pop_front()
    }

    /// Whether the broadcast is over.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// The segment that runs now.
    pub fn segment(&self) -> Option<SegmentId> {
        self.current.as_ref().map(|fetch| fetch.segment)
    }

    /// The play-out model.
    pub fn playout(&mut self) -> &mut Playout {
        &mut self.playout
    }

    /// When [`Self::handle_timeout`] is to be called at the latest.
    pub fn next_timeout(&self) -> Option<UnixTime> {
        let silence = self.current.as_ref().map(|_| self.last_byte + SILENCE_MAX);
        match (self.retry_at, silence) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: UnixTime) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.read_playlist();
        }
        if self.current.is_some() && self.last_byte + SILENCE_MAX <= now {
            self.resync(Surprise::Silent, now);
        }
    }

    /// A response's head came.
    pub fn handle_head(&mut self, id: RequestId, head: &Head, now: UnixTime) {
        let mut faults = Vec::new();
        if let Some(whole) = self.whole.iter_mut().find(|whole| whole.id == id) {
            whole.status = head.status;
            if whole.init.is_some() && head.status == 200 {
                fault::immutable_headers(&whole.path, head, &mut faults);
            }
        } else if let Some(fetch) = slot(&mut self.current, &mut self.ahead, id) {
            fetch.head_at = Some(now);
            if head.status == 200 {
                let waited = now.since(fetch.asked_at).magnitude();
                let path = format!("{}.m4s", fetch.segment);
                fault::immutable_headers(&path, head, &mut faults);
                if waited > HEAD_BUDGET {
                    faults.push(Fault::LateHeaders {
                        segment: fetch.segment,
                        after: waited,
                    });
                }
            } else {
                fetch.outcome = Some(Outcome::Refused(head.status));
                if !matches!(head.status, 404 | 410 | 503) {
                    let path = format!("{}.m4s", fetch.segment);
                    let status = head.status;
                    faults.push(Fault::Status { path, status });
                }
            }
        }
        self.facts.extend(faults.into_iter().map(Fact::Fault));
        self.go_on(now);
    }

    /// A piece of a body came.
    pub fn handle_body(&mut self, id: RequestId, bytes: &[u8], now: UnixTime) {
        if let Some(whole) = self.whole.iter_mut().find(|whole| whole.id == id) {
            if whole.body.len() + bytes.len() <= PLAYLIST_MAX {
                whole.body.extend_from_slice(bytes);
            }
        } else if let Some(fetch) = slot(&mut self.current, &mut self.ahead, id)
            && fetch.outcome.is_none()
        {
            self.last_byte = now;
            let init = self.init.as_ref().and_then(|(_, init)| init.as_ref());
            fetch.push(bytes, init, now);
            self.go_on(now);
        }
    }

    /// A response ended, or there was none.
    pub fn handle_end(&mut self, id: RequestId, end: End, now: UnixTime) {
        if let Some(place) = self.whole.iter().position(|whole| whole.id == id) {
            let whole = self.whole.swap_remove(place);
            match whole.init {
                Some(epoch) => self.take_init(epoch, &whole, end, now),
                None => self.take_playlist(&whole, end, now),
            }
        } else if let Some(fetch) = slot(&mut self.current, &mut self.ahead, id)
            && fetch.outcome.is_none()
        {
            fetch.outcome = Some(Outcome::Body(end));
        }
        self.go_on(now);
    }

    fn ask(&mut self, path: String, kind: RequestKind) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.requests.push_back(Request { id, path, kind });
        id
    }

    fn read_playlist(&mut self) {
        let path = self.playlist_path.clone();
        let id = self.ask(path.clone(), RequestKind::Playlist);
        self.whole.push(Whole {
            id,
            path,
            init: None,
            status: 0,
            body: Vec::new(),
        });
    }

    fn retry(&mut self, now: UnixTime) {
        self.retry_at = Some(now + self.retry_wait);
        self.retry_wait = self.retry_wait.times(2).min(RETRY_MAX);
    }

    fn take_playlist(&mut self, whole: &Whole, end: End, now: UnixTime) {
        if whole.status != 200 || end != End::Clean {
            if whole.status >= 400 && whole.status != 404 && whole.status != 503 {
                let (path, status) = (whole.path.clone(), whole.status);
                self.facts
                    .push_back(Fact::Fault(Fault::Status { path, status }));
            }
            return self.retry(now);
        }
        match Playlist::parse(&String::from_utf8_lossy(&whole.body)) {
            Ok(Playlist::Multivariant(list)) => {
                let wanted = self.config.rendition.as_deref().unwrap_or("");
                let found = list.uris.iter().find(|uri| uri.contains(wanted));
                match found.or(list.uris.first()) {
                    Some(uri) => {
                        self.playlist_path = playlist::resolve(&whole.path, uri);
                        self.read_playlist();
                    }
                    None => self.retry(now),
                }
            }
            Ok(Playlist::Media(media)) => self.take_media_playlist(&media, now),
            Err(error) => {
                self.facts.push_back(Fact::Fault(error.into()));
                self.retry(now);
            }
        }
    }

    fn take_media_playlist(&mut self, media: &playlist::Media, now: UnixTime) {
        let mut faults = Vec::new();
        fault::media_playlist(media, &mut faults);
        self.facts.extend(faults.into_iter().map(Fact::Fault));
        self.target_duration = media.target_duration.max(Duration::from_millis(100));
        if media.ended {
            self.phase = Phase::Ended;
            self.facts.push_back(Fact::Ended);
            return;
        }
        let announced: Vec<SegmentId> = media
            .prefetch
            .iter()
            .filter_map(|uri| playlist::segment_id(uri))
            .collect();
        if let (Some(from), Some(to)) = (self.newest, announced.last().copied())
            && (to.msn < from.msn || to.epoch < from.epoch)
        {
            self.facts
                .push_back(Fact::Fault(Fault::PlaylistBack { from, to }));
        }
        let fresh = |id: &&SegmentId| {
            self.newest.is_none_or(|newest| {
                id.msn > newest.msn || (id.msn == newest.msn && !self.complete)
            })
        };
        let Some(segment) = announced.iter().find(fresh).copied() else {
            return self.retry(now);
        };
        self.retry_wait = RETRY_MIN;
        self.phase = Phase::Watching;
        if self
            .newest
            .is_some_and(|newest| segment.msn > newest.msn.next() || !self.complete)
        {
            self.timeline.skip();
        }
        self.open(segment, now);
    }

    fn open(&mut self, segment: SegmentId, now: UnixTime) {
        let known = self.init.as_ref().map(|(epoch, _)| *epoch);
        if known != Some(segment.epoch) {
            if let Some(from) = known {
                let to = segment.epoch;
                self.facts.push_back(Fact::Epoch { from, to });
                self.timeline.change_epoch();
                self.playout.interrupt();
            }
            self.init = Some((segment.epoch, None));
            let path =
                playlist::resolve(&self.playlist_path, &format!("{}.init.mp4", segment.epoch));
            let id = self.ask(path.clone(), RequestKind::Init);
            self.whole.push(Whole {
                id,
                path,
                init: Some(segment.epoch),
                status: 0,
                body: Vec::new(),
            });
        }
        let fetch = self.fetch(segment, now);
        self.segment_media = Duration::ZERO;
        self.last_byte = now;
        self.current = Some(fetch);
    }

    fn fetch(&mut self, segment: SegmentId, now: UnixTime) -> Fetch {
        let path = playlist::resolve(&self.playlist_path, &format!("{segment}.m4s"));
        let request = self.ask(path, RequestKind::Segment);
        Fetch::new(request, segment, now)
    }

    fn take_init(&mut self, epoch: Epoch, whole: &Whole, end: End, now: UnixTime) {
        if self.init.as_ref().map(|(known, _)| *known) != Some(epoch) {
            return;
        }
        if whole.status != 200 || end != End::Clean {
            self.init = None;
            return self.resync(Surprise::Refused, now);
        }
        match Init::parse(&whole.body) {
            Ok(init) => {
                if !init.live {
                    self.facts
                        .push_back(Fact::Fault(Fault::Init("it has a duration".to_owned())));
                }
                for fetch in self.current.iter_mut().chain(&mut self.ahead) {
                    fetch.release(&init);
                }
                self.init = Some((epoch, Some(init)));
            }
            Err(error) => {
                let fault = Fault::Init(error.to_string());
                self.facts.push_back(Fact::Fault(fault));
                self.init = None;
            }
        }
    }

    /// Takes what can be taken, in order: chunks of the current segment, its end, the next.
    fn go_on(&mut self, now: UnixTime) {
        loop {
            self.take_chunks();
            let Some(current) = &self.current else { return };
            let segment = current.segment;
            match current.outcome {
                Some(_) if current.is_held() => return,
                None => return self.ask_ahead(now),
                Some(Outcome::Refused(_)) => return self.resync(Surprise::Refused, now),
                Some(Outcome::Body(End::Aborted)) => {
                    self.facts.push_back(Fact::Aborted(segment));
                    return self.resync(Surprise::Aborted, now);
                }
                Some(Outcome::Body(End::Clean)) => self.finish_segment(now),
            }
        }
    }

    fn finish_segment(&mut self, now: UnixTime) {
        let Some(current) = self.current.take() else {
            return;
        };
        let segment = current.segment;
        if let Err(error) = current.check_end() {
            self.facts
                .push_back(Fact::Fault(Fault::Boxes { segment, error }));
        }
        if current.delivered == 0 {
            self.facts.push_back(Fact::Fault(Fault::Empty(segment)));
        }
        self.facts.push_back(Fact::Segment(segment));
        self.newest = Some(segment);
        self.complete = true;
        self.segment_media = Duration::ZERO;
        self.last_byte = now;
        self.current = self.ahead.take();
        if self.current.is_none() {
            self.current = Some(self.fetch(after(segment), now));
        }
    }

    fn ask_ahead(&mut self, now: UnixTime) {
        let half = Duration::from_nanos(self.target_duration.as_nanos() / 2);
        if self.ahead.is_some() || self.segment_media < half {
            return;
        }
        if let Some(segment) = self.segment() {
            self.ahead = Some(self.fetch(after(segment), now));
        }
    }

    fn take_chunks(&mut self) {
        let Some((_, Some(init))) = &self.init else {
            return;
        };
        let Some(fetch) = &mut self.current else {
            return;
        };
        let mut facts = Vec::new();
        let segment = fetch.segment;
        while let Some((at, chunk)) = fetch.poll() {
            if self.resuming && self.timeline.is_repeat(&chunk, init) {
                continue;
            }
            self.resuming = false;
            if fetch.delivered == 1 {
                judge_first(segment, &chunk, init, &mut facts);
            }
            let span = self.timeline.take(segment, &chunk, init, &mut facts);
            self.newest = Some(segment);
            self.complete = false;
            let mut fact = Fact::Chunk {
                bytes: chunk.bytes,
                payload: chunk.payload,
                at,
                media: span.map(|span| ChunkMedia {
                    begin: span.begin,
                    last: span.last,
                }),
                lateness: None,
                play_delay: None,
            };
            if let Some(span) = span {
                self.segment_media += span.end.since(span.begin).magnitude();
                if !self.joined {
                    self.joined = true;
                    facts.push(Fact::Joined(at.since(self.started).magnitude()));
                }
                let live = span
                    .newest
                    .filter(|newest| fetch.head_at.is_some_and(|head| *newest >= head));
                let backlog = if live.is_some() {
                    Backlog::No
                } else {
                    Backlog::Yes
                };
                match self.playout.extend((span.begin, span.end), backlog, at) {
                    Some(PlayoutChange::Stalled(length)) => facts.push(Fact::Stalled(length)),
                    Some(PlayoutChange::Jumped(length)) => facts.push(Fact::Jumped(length)),
                    None => {}
                }
                let shown = self
                    .playout
                    .position(at)
                    .and_then(|shown| self.timeline.wall(shown));
                if let Fact::Chunk {
                    lateness,
                    play_delay,
                    ..
                } = &mut fact
                {
                    *lateness = live.map(|newest| at.since(newest));
                    *play_delay = shown.map(|shown| at.since(shown));
                }
            }
            facts.push(fact);
        }
        if let Some(error) = fetch.poll_error() {
            facts.push(Fact::Fault(Fault::Boxes { segment, error }));
        }
        self.facts.extend(facts);
    }

    fn resync(&mut self, surprise: Surprise, now: UnixTime) {
        self.facts.push_back(Fact::Resync(surprise));
        self.resuming = true;
        for fetch in [self.current.take(), self.ahead.take()]
            .into_iter()
            .flatten()
        {
            if fetch.outcome.is_none() {
                self.cancels.push_back(fetch.request);
            }
        }
        if self.retry_at.is_none() && self.whole.iter().all(|whole| whole.init.is_some()) {
            self.retry(now);
        }
    }
}

/// Judges the first chunk of a segment.
fn judge_first(segment: SegmentId, chunk: &Chunk, init: &Init, facts: &mut Vec<Fact>) {
    if chunk.stamp.is_none() {
        facts.push(Fact::Fault(Fault::NoStamp(segment)));
    }
    let leading = init.leading().map(|track| track.id);
    let run = chunk.runs.iter().find(|run| Some(run.track) == leading);
    if !run.is_some_and(|run| run.sync) {
        facts.push(Fact::Fault(Fault::NotIndependent(segment)));
    }
}

fn slot<'a>(
    current: &'a mut Option<Fetch>,
    ahead: &'a mut Option<Fetch>,
    id: RequestId,
) -> Option<&'a mut Fetch> {
    current
        .iter_mut()
        .chain(ahead)
        .find(|fetch| fetch.request == id)
}

fn after(segment: SegmentId) -> SegmentId {
    SegmentId {
        epoch: segment.epoch,
        msn: segment.msn.next(),
    }
}
