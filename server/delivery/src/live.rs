//! A live broadcast as its single writer fills it and as any number of readers see it.
//!
//! In → Out: the packager's outputs, applied by the broadcast's task → [`Live`]: an immutable [`RenditionView`] per rendition,
//! swapped whole, and growing objects that fill up in between. Readers never lock the writer.
//! Spec: design "Segments", "Playlists"; RFC 8216bis, "Live Playlists" (6.2.2).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use hls::ladder::{LostRung, Rung};
use hls::playlist::media::Report;
use hls::{Output, Snapshot, Start, Window, WindowConfig};
use media::{BroadcastId, Epoch, RenditionName};
use tokio::sync::watch;

use crate::gallery::Gallery;
use crate::interaction::InteractionWriter;
use crate::playlist::Rendered;
use crate::track::{TrackView, TrackWriter};

/// Where readers find broadcasts: the live windows of an origin, or a cache of an upstream.
pub trait Source: Send + Sync + 'static {
    /// The broadcast of this id, live or ended a short while ago.
    fn live(&self, id: &str) -> Option<Arc<Live>>;
}

/// How a broadcast is kept.
#[derive(Clone, Debug, Default)]
pub struct LiveConfig {
    /// How much each rendition lists.
    pub window: WindowConfig,
    /// The first numbers.
    pub start: Start,
}

/// What readers see of one broadcast.
#[derive(Debug)]
pub struct Live {
    id: BroadcastId,
    renditions: [Slot; RenditionName::ALL.len()],
    interaction: ArcSwap<TrackView>,
    waiting: AtomicUsize,
    offers: ArcSwap<Vec<Rung>>,
    lost: ArcSwap<Vec<LostRung>>,
    demand: Demand,
    gallery: Gallery,
}

/// Which renditions viewers ask for, noted at most once a second each.
#[derive(Debug)]
struct Demand {
    since: Instant,
    /// Milliseconds after `since` at which each rendition was last asked for; 0 for never.
    last: [AtomicU64; RenditionName::ALL.len()],
    changed: watch::Sender<u64>,
}

/// A rendition that is asked for again within this many milliseconds is not noted again.
const DEMAND_STEP_MILLIS: u64 = 1_000;

impl Demand {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            last: Default::default(),
            changed: watch::Sender::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX) + 1
    }

    fn note(&self, name: RenditionName) {
        let (now, last) = (self.now(), &self.last[place(name)]);
        let seen = last.load(Ordering::Relaxed);
        if seen == 0 || seen + DEMAND_STEP_MILLIS <= now {
            last.store(now, Ordering::Relaxed);
            self.changed.send_modify(|count| *count += 1);
        }
    }
}

/// Where a rendition stands in arrays of all.
fn place(name: RenditionName) -> usize {
    let index = RenditionName::ALL.iter().position(|other| *other == name);
    index.unwrap_or(0)
}

#[derive(Debug)]
struct Slot {
    view: ArcSwapOption<RenditionView>,
    version: watch::Sender<u64>,
}

/// One rendition at one moment. Its objects go on growing.
#[derive(Debug)]
pub struct RenditionView {
    snapshot: Arc<Snapshot>,
    objects: TrackView,
    inits: BTreeMap<Epoch, Bytes>,
    rendered: Rendered,
    /// When the last segment ended, and how many read it.
    before: Option<(Instant, usize)>,
}

impl RenditionView {
    /// The numbers: segments, parts, tracks, bit rates.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The bytes: segments by name.
    pub fn objects(&self) -> &TrackView {
        &self.objects
    }

    /// The init section of an epoch.
    pub fn init(&self, epoch: Epoch) -> Option<&Bytes> {
        self.inits.get(&epoch)
    }

    /// Who reads now. Just after a segment has begun, not fewer than read the one before: most are on their way from it.
    fn readers(&self) -> usize {
        let before = match self.before {
            Some((ended, readers)) if ended.elapsed() < CROSSING => readers,
            _ => 0,
        };
        self.objects.readers().max(before)
    }

    pub(crate) fn rendered(&self) -> &Rendered {
        &self.rendered
    }
}

impl Live {
    fn new(id: BroadcastId) -> Self {
        Self {
            id,
            renditions: std::array::from_fn(|_| Slot {
                view: ArcSwapOption::empty(),
                version: watch::Sender::new(0),
            }),
            interaction: ArcSwap::default(),
            waiting: AtomicUsize::new(0),
            offers: ArcSwap::default(),
            lost: ArcSwap::default(),
            demand: Demand::new(),
            gallery: Gallery::default(),
        }
    }

    /// The rungs that are made when somebody asks for them, best first; some may be running.
    pub fn offers(&self) -> Arc<Vec<Rung>> {
        self.offers.load_full()
    }

    /// The rungs that were given up until the publisher's next session.
    pub fn lost(&self) -> Arc<Vec<LostRung>> {
        self.lost.load_full()
    }

    /// Its pictures.
    pub fn gallery(&self) -> &Gallery {
        &self.gallery
    }

    /// Whether a rendition that does not run would be started by a request.
    pub(crate) fn is_offered(&self, name: RenditionName) -> bool {
        self.offers.load().iter().any(|rung| rung.name == name)
    }

    /// A viewer asks for a rendition: what is made on demand is started, or goes on.
    pub(crate) fn note_use(&self, name: RenditionName) {
        if self.is_offered(name) {
            self.demand.note(name);
        }
    }

    /// Changes when [`Live::wanted`] has news.
    pub fn demand(&self) -> watch::Receiver<u64> {
        self.demand.changed.subscribe()
    }

    /// The offered renditions that were asked for within the last two seconds.
    pub fn wanted(&self) -> Vec<RenditionName> {
        let now = self.demand.now();
        let recent = |name: &RenditionName| {
            let last = self.demand.last[place(*name)].load(Ordering::Relaxed);
            last != 0 && last + 2 * DEMAND_STEP_MILLIS > now
        };
        RenditionName::ALL.into_iter().filter(recent).collect()
    }

    /// Which broadcast this is.
    pub fn id(&self) -> &BroadcastId {
        &self.id
    }

    /// A rendition as it is now; `None` if the broadcast has none of that name.
    pub fn rendition(&self, name: RenditionName) -> Option<Arc<RenditionView>> {
        self.slot(name).view.load_full()
    }

    /// All renditions as they are now, best first.
    pub fn renditions(&self) -> Vec<(RenditionName, Arc<RenditionView>)> {
        RenditionName::ALL
            .into_iter()
            .filter_map(|name| Some((name, self.rendition(name)?)))
            .collect()
    }

    /// The interaction track's segments.
    pub fn interaction(&self) -> Arc<TrackView> {
        self.interaction.load_full()
    }

    /// Tells when a rendition has a new view. Subscribe first, then look.
    pub fn watch(&self, name: RenditionName) -> watch::Receiver<u64> {
        self.slot(name).version.subscribe()
    }

    /// How many watch at the moment: readers of growing segments, and players whose playlist request is held.
    pub fn viewers(&self) -> usize {
        let readers: usize = self
            .renditions()
            .iter()
            .map(|(_, view)| view.readers())
            .sum();
        readers + self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn set_interaction(&self, view: TrackView) {
        self.interaction.store(Arc::new(view));
    }

    pub(crate) fn reports(&self, except: RenditionName) -> Vec<Report> {
        let others = self
            .renditions()
            .into_iter()
            .filter(|(name, _)| *name != except);
        others
            .filter_map(|(name, view)| Report::of(name, &view.snapshot))
            .collect()
    }

    /// Counts a held playlist request for as long as the guard lives.
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(self))
    }

    /// Requests that are held for a rung that is not offered any more find out.
    fn look_again(&self) {
        for slot in &self.renditions {
            slot.version.send_modify(|version| *version += 1);
        }
    }

    fn slot(&self, name: RenditionName) -> &Slot {
        &self.renditions[place(name)]
    }
}

/// A held playlist request.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<Live>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The single writer of a broadcast, owned by its task. Dropped without [`LiveWriter::finish`], it aborts what is open, so that
/// no cache keeps a torn object.
#[derive(Debug)]
pub struct LiveWriter {
    live: Arc<Live>,
    config: LiveConfig,
    renditions: BTreeMap<RenditionName, RenditionWriter>,
    has_interaction: bool,
}

#[derive(Debug)]
struct RenditionWriter {
    window: Window,
    track: TrackWriter,
    inits: BTreeMap<Epoch, Bytes>,
    before: Option<(Instant, usize)>,
}

impl LiveWriter {
    /// A broadcast without renditions, and its readers' view.
    pub fn new(id: BroadcastId, config: LiveConfig) -> (Self, Arc<Live>) {
        let live = Arc::new(Live::new(id));
        (
            Self {
                live: Arc::clone(&live),
                config,
                renditions: BTreeMap::new(),
                has_interaction: false,
            },
            live,
        )
    }

    /// Says which rungs are made when somebody asks for them, best first, and which are given up.
    pub fn offer(&mut self, rungs: Vec<Rung>, lost: Vec<LostRung>) {
        self.live.offers.store(Arc::new(rungs));
        self.live.lost.store(Arc::new(lost));
        self.live.look_again();
    }

    /// Prepares a rendition that begins in the middle of the broadcast, at `start`.
    pub fn begin(&mut self, rendition: RenditionName, start: Start) {
        let window = Window::new(self.config.window.clone(), start);
        self.renditions
            .insert(rendition, RenditionWriter::new(window));
    }

    /// Takes the next output of a rendition's packager. A chunk is on its way to every viewer before this returns.
    pub fn apply(&mut self, rendition: RenditionName, output: &Output) {
        let config = &self.config;
        let writer = self.renditions.entry(rendition).or_insert_with(|| {
            RenditionWriter::new(Window::new(config.window.clone(), config.start))
        });
        writer.apply(output);
        if !matches!(output, Output::Chunk { .. }) {
            writer.publish(self.live.slot(rendition));
        }
    }

    /// The writer of the interaction track, for the room's task; `None` if it has been given away.
    pub fn interaction(&mut self) -> Option<InteractionWriter> {
        let given = std::mem::replace(&mut self.has_interaction, true);
        (!given).then(|| InteractionWriter::new(Arc::clone(&self.live)))
    }

    /// Removes a rendition that will not be made any more: what is open of it is aborted, its playlist is gone.
    pub fn remove(&mut self, rendition: RenditionName) {
        if let Some(mut writer) = self.renditions.remove(&rendition) {
            writer.track.abort();
            let slot = self.live.slot(rendition);
            slot.view.store(None);
            slot.version.send_modify(|version| *version += 1);
        }
    }

    /// Ends the broadcast cleanly: open segments end at their last whole chunk, playlists get their end mark.
    pub fn finish(mut self) {
        let names: Vec<_> = self.renditions.keys().copied().collect();
        for name in names {
            self.apply(name, &Output::Finished);
        }
        self.renditions.clear();
    }

    /// Tears what is open: for a writer that cannot finish its segments.
    pub fn abort(self) {
        drop(self);
    }

    /// The readers' view.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }
}

impl Drop for LiveWriter {
    fn drop(&mut self) {
        for (name, writer) in &mut self.renditions {
            writer.track.abort();
            writer.publish(self.live.slot(*name));
        }
        // Nobody is left to make what was offered.
        self.live.offers.store(Arc::default());
        self.live.look_again();
    }
}

impl RenditionWriter {
    fn new(window: Window) -> Self {
        Self {
            window,
            track: TrackWriter::default(),
            inits: BTreeMap::new(),
            before: None,
        }
    }

    fn apply(&mut self, output: &Output) {
        // Bytes first: sockets are served while the window takes note.
        match output {
            Output::Chunk {
                segment, bytes, ts, ..
            } => self.track.append(*segment, bytes, ts.as_deref()),
            Output::Init { epoch, bytes, .. } => {
                self.inits.entry(*epoch).or_insert_with(|| bytes.clone());
                self.track.announce_epoch(*epoch);
            }
            Output::SegmentStart { id, .. } => self.track.begin(*id),
            Output::SegmentEnd { .. } => {
                self.before = Some((Instant::now(), self.track.readers()));
                self.track.end();
            }
            Output::Interrupted { next, .. } => {
                self.track.end();
                self.track.announce(*next);
            }
            Output::Finished => {
                self.track.end();
                self.track.release();
            }
            Output::Part { .. } => {}
        }
        self.window.apply(output);
        if matches!(output, Output::SegmentEnd { .. }) {
            self.track.evict(self.window.kept_from());
            let oldest = self.track.oldest().map(|id| id.epoch);
            self.inits
                .retain(|epoch, _| oldest.is_none_or(|oldest| *epoch >= oldest));
        }
    }

    fn publish(&mut self, slot: &Slot) {
        slot.view.store(Some(Arc::new(RenditionView {
            snapshot: self.window.snapshot(),
            objects: self.track.view(),
            inits: self.inits.clone(),
            rendered: Rendered::default(),
            before: self.before,
        })));
        slot.version.send_modify(|version| *version += 1);
    }
}

/// How long viewers may take from the end of a segment to their request for the next.
const CROSSING: Duration = Duration::from_secs(1);
