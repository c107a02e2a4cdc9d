//! The whole media path in virtual time: publisher → packager → window → bad link → reference viewer.
//!
//! In → Out: a [`Scenario`] → what the viewer saw, the same for the same seed on every machine.
//! The server is the product's core (packager, window, playlists, availability of names) behind the few lines of HTTP that
//! are written here; one connection carries all responses, as HTTP/2 does.
//! Spec: design "Segments", "Playlists".

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bytes::Bytes;
use hls::playlist::{media as media_list, multivariant};
use hls::prefetch::{Availability, availability};
use hls::{Output, Packager, PackagerConfig, Start, Window, WindowConfig};
use media::{
    Delta, Duration, EndReason, Epoch, Event, Msn, RenditionName, SegmentId, Timestamp, UnixTime,
};

use crate::link::{Link, LinkConfig};
use crate::synthetic::{Settings, Synthetic};
use crate::viewer::playlist::segment_id;
use crate::viewer::{Config, End, Head, PlayoutConfig, Request, RequestId, Tally, Viewer};

/// What is to happen.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the publisher sends.
    pub settings: Settings,
    /// How the packager cuts.
    pub packager: PackagerConfig,
    /// Server to viewer; requests take the same path back without loss.
    pub link: LinkConfig,
    /// When the viewer comes.
    pub join_at: Duration,
    /// How long everything lasts.
    pub length: Duration,
    /// The publisher's connection is lost at the first and is back at the second.
    pub absence: Option<(Duration, Duration)>,
    /// The viewer's play-out.
    pub playout: PlayoutConfig,
    /// Of the link.
    pub seed: u64,
}

/// A held or running response for a segment.
struct Reader {
    id: RequestId,
    segment: SegmentId,
    sent: usize,
}

#[derive(Default)]
struct Object {
    chunks: Vec<Bytes>,
    complete: bool,
}

#[derive(Clone, Debug)]
enum What {
    Head(Head),
    Body(Bytes),
    End(End),
}

enum Step {
    /// The publisher's next unit is due.
    Publish,
    /// The publisher's connection is lost, or a new one begins.
    Lose,
    Return,
    Join,
    AtServer(Request),
    AtViewer(RequestId, What),
    Timeout,
}

struct World {
    scenario: Scenario,
    now: UnixTime,
    queue: BinaryHeap<Reverse<(UnixTime, u64)>>,
    steps: BTreeMap<u64, Step>,
    count: u64,
    source: Synthetic,
    pending: Option<crate::synthetic::Unit>,
    session_start: UnixTime,
    on_air: bool,
    packager: Packager,
    window: Window,
    inits: BTreeMap<Epoch, Bytes>,
    objects: BTreeMap<SegmentId, Object>,
    readers: Vec<Reader>,
    link: Link,
    viewer: Option<Viewer>,
    tally: Tally,
}

/// 2026-11-22, so that times look like times.
const BEGIN: UnixTime = UnixTime::from_millis(1_795_350_000_000);

/// Runs a scenario to its end.
pub fn run(scenario: &Scenario) -> Tally {
    let mut world = World::new(scenario.clone());
    world.at(BEGIN, Step::Return);
    world.at(BEGIN + scenario.join_at, Step::Join);
    if let Some((lost, back)) = scenario.absence {
        world.at(BEGIN + lost, Step::Lose);
        world.at(BEGIN + back, Step::Return);
    }
    let end = BEGIN + scenario.length;
    while let Some(Reverse((time, number))) = world.queue.pop() {
        if time > end {
            break;
        }
        world.now = time;
        if let Some(step) = world.steps.remove(&number) {
            world.step(step);
        }
    }
    world.tally
}

impl World {
    fn new(scenario: Scenario) -> Self {
        Self {
            now: BEGIN,
            queue: BinaryHeap::new(),
            steps: BTreeMap::new(),
            count: 0,
            source: Synthetic::new(scenario.settings),
            pending: None,
            session_start: BEGIN,
            on_air: false,
            packager: Packager::new(scenario.packager.clone(), Start::default()),
            window: Window::new(WindowConfig::default(), Start::default()),
            inits: BTreeMap::new(),
            objects: BTreeMap::new(),
            readers: Vec::new(),
            link: Link::new(scenario.link, scenario.seed),
            viewer: None,
            tally: Tally::default(),
            scenario,
        }
    }

    fn at(&mut self, time: UnixTime, step: Step) {
        self.count += 1;
        self.queue.push(Reverse((time, self.count)));
        self.steps.insert(self.count, step);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish => self.publish(),
            Step::Lose => {
                self.on_air = false;
                self.package(&Event::End(EndReason::Lost));
            }
            Step::Return => {
                self.on_air = true;
                self.source = Synthetic::new(self.scenario.settings);
                self.session_start = self.now;
                let tracks = self.source.tracks();
                self.package(&tracks);
                self.publish_next();
            }
            Step::Join => {
                let mut config = Config::new("/live/x/index.m3u8");
                config.playout = self.scenario.playout;
                self.viewer = Some(Viewer::new(config, self.now));
            }
            Step::AtServer(request) => self.serve(&request),
            Step::AtViewer(id, what) => {
                let now = self.now;
                if let Some(viewer) = &mut self.viewer {
                    match what {
                        What::Head(head) => viewer.handle_head(id, &head, now),
                        What::Body(bytes) => viewer.handle_body(id, &bytes, now),
                        What::End(end) => viewer.handle_end(id, end, now),
                    }
                }
            }
            Step::Timeout => {
                if let Some(viewer) = &mut self.viewer {
                    viewer.handle_timeout(self.now);
                }
            }
        }
        self.drain_viewer();
    }

    fn publish_next(&mut self) {
        let unit = self.source.next_unit();
        let due = self.session_start + unit.at.since(Timestamp::ZERO);
        self.pending = Some(unit);
        self.at(due, Step::Publish);
    }

    fn publish(&mut self) {
        if !self.on_air {
            return;
        }
        if let Some(unit) = self.pending.take() {
            let event = Event::Unit(unit.access_unit(self.session_start));
            self.package(&event);
            self.publish_next();
        }
    }

    fn package(&mut self, event: &Event) {
        self.packager.handle_event(event, self.now);
        while let Some(output) = self.packager.poll_output() {
            self.window.apply(&output);
            match output {
                Output::Init { epoch, bytes, .. } => {
                    self.inits.insert(epoch, bytes);
                }
                Output::SegmentStart { id, .. } => {
                    self.objects.insert(id, Object::default());
                }
                Output::Chunk { segment, bytes, .. } => {
                    self.objects.entry(segment).or_default().chunks.push(bytes);
                }
                Output::SegmentEnd { id, .. } => {
                    self.objects.entry(id).or_default().complete = true;
                }
                Output::Interrupted { next, .. } => self.cut_held(next),
                Output::Part { .. } | Output::Finished => {}
            }
            self.feed_readers();
        }
    }

    /// Requests held for a name that will not come are cut off.
    fn cut_held(&mut self, next: SegmentId) {
        let (kept, cut) = std::mem::take(&mut self.readers)
            .into_iter()
            .partition(|reader| {
                self.objects.contains_key(&reader.segment) || reader.segment.epoch >= next.epoch
            });
        self.readers = kept;
        for reader in cut {
            self.respond(reader.id, What::End(End::Aborted), 0);
        }
    }

    fn feed_readers(&mut self) {
        for mut reader in std::mem::take(&mut self.readers) {
            let mut complete = false;
            let mut ready = Vec::new();
            if let Some(object) = self.objects.get(&reader.segment) {
                ready.extend_from_slice(&object.chunks[reader.sent..]);
                reader.sent = object.chunks.len();
                complete = object.complete;
            }
            for chunk in ready {
                let length = chunk.len();
                self.respond(reader.id, What::Body(chunk), length);
            }
            if complete {
                self.respond(reader.id, What::End(End::Clean), 5);
            } else {
                self.readers.push(reader);
            }
        }
    }

    fn serve(&mut self, request: &Request) {
        let snapshot = self.window.snapshot();
        let name = request.path.rsplit('/').next().unwrap_or("");
        let text = if request.path.ends_with("source/index.m3u8") {
            let wanted = media_list::MediaRequest::default();
            Some(media_list::render(&snapshot, &wanted).into())
        } else if name == "index.m3u8" && snapshot.has_media() {
            let list = [(RenditionName::Source, &*snapshot)];
            let (form, announce) = (media_list::Form::Fmp4, media_list::Announce::Prefetch);
            Some(multivariant::render(&list, &[], form, announce).into())
        } else {
            let epoch = name.strip_suffix(".init.mp4").and_then(|n| n.parse().ok());
            epoch.and_then(|epoch| self.inits.get(&Epoch(epoch)).cloned())
        };
        if let Some(body) = text {
            let body: Bytes = body;
            self.respond(request.id, What::Head(head(200)), 300);
            let length = body.len();
            self.respond(request.id, What::Body(body), length);
            self.respond(request.id, What::End(End::Clean), 0);
            return;
        }
        let id = segment_id(name).unwrap_or(SegmentId {
            epoch: Epoch(0),
            msn: Msn(0),
        });
        match availability(&snapshot, id) {
            Availability::Complete | Availability::Growing | Availability::Ahead => {
                self.respond(request.id, What::Head(head(200)), 300);
                self.readers.push(Reader {
                    id: request.id,
                    segment: id,
                    sent: 0,
                });
                self.feed_readers();
            }
            Availability::TooFar | Availability::Gone | Availability::Never => {
                self.respond(request.id, What::Head(head(404)), 200);
                self.respond(request.id, What::End(End::Clean), 0);
            }
        }
    }

    fn respond(&mut self, id: RequestId, what: What, bytes: usize) {
        // HTTP/2 frames of nine bytes, TLS records of about thirty.
        let arrival = self.link.send(self.now, bytes + 40);
        self.at(arrival, Step::AtViewer(id, what));
    }

    fn drain_viewer(&mut self) {
        let Some(mut viewer) = self.viewer.take() else {
            return;
        };
        while let Some(fact) = viewer.poll_fact() {
            self.tally.record(&fact);
        }
        while let Some(cancel) = viewer.poll_cancel() {
            self.readers.retain(|reader| reader.id != cancel);
        }
        while let Some(request) = viewer.poll_request() {
            let there = self.now + self.scenario.link.delay;
            self.at(there, Step::AtServer(request));
        }
        if let Some(time) = viewer.next_timeout() {
            // Late ones find nothing to do.
            let soonest = self.now + Delta::from_nanos(1);
            self.at(time.max(soonest), Step::Timeout);
        }
        self.viewer = Some(viewer);
    }
}

fn head(status: u16) -> Head {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Head {
        status,
        headers: vec![
            header("cache-control", "public, max-age=31536000, immutable"),
            header("access-control-allow-origin", "*"),
            header("timing-allow-origin", "*"),
        ],
    }
}
