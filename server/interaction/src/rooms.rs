//! Which rooms there are: one for each broadcast on air, opened and closed with it.
//!
//! In → Out: the broadcasts that are on air, looked at a few times a second → room tasks; a broadcast's id → its room.
//! Spec: docs/ix.md; cases IX-10 (a room's task that fails is opened again from what it has written), IX-22.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::Uri;
use delivery::Live;
use media::{BroadcastId, UnixTime};
use room::{IntakePolicy, Policy, Random, Start};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::collector::Collector;
use crate::identity::Identity;
use crate::ix::IxTrack;
use crate::review::Reviewer;
use crate::room_task::{self, MESSAGES_MAX, Message, Parts, now};
use crate::socket::Tickets;
use crate::store::Store;
use crate::token::TokenKey;

/// What rooms need to know of the server around them.
pub trait OnAir: Send + Sync + 'static {
    /// The broadcasts that are on air.
    fn broadcasts(&self) -> Vec<Arc<Live>>;

    /// Whether this secret, sent from this address, makes its bearer the broadcaster of this broadcast.
    fn is_broadcaster<'a>(
        &'a self,
        id: &'a BroadcastId,
        secret: &'a str,
        from: IpAddr,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;
}

/// How rooms are kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server's data directory.
    pub data: PathBuf,
    /// Rules and bounds of each room.
    pub policy: Policy,
    /// Limits of the way up.
    pub intake: IntakePolicy,
    /// How long a viewer's token is good.
    pub token_life: Duration,
    /// How long what was stored stays after it was last written to; `None`: for ever.
    pub keep: Option<Duration>,
    /// The operator's own identities, if it has any.
    pub identity: Option<Identity>,
    /// Where each comment is reviewed; only asked if the policy says so.
    pub review_url: Option<Uri>,
}

impl Config {
    /// The defaults, below a data directory.
    pub fn new(data: PathBuf) -> Self {
        let (policy, intake) = (Policy::default(), IntakePolicy::default());
        Self {
            data,
            policy,
            intake,
            token_life: Duration::from_hours(24),
            keep: None,
            identity: None,
            review_url: None,
        }
    }
}

/// All rooms of the process. Cheap to clone.
#[derive(Clone)]
pub struct Rooms(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) on_air: Arc<dyn OnAir>,
    pub(crate) config: Config,
    pub(crate) key: TokenKey,
    pub(crate) tickets: Tickets,
    reviewer: Option<Reviewer>,
    rooms: ArcSwap<BTreeMap<BroadcastId, Arc<Handle>>>,
    random: Mutex<Random>,
}

/// One room, as connections see it.
pub(crate) struct Handle {
    pub(crate) id: BroadcastId,
    pub(crate) collector: Arc<Collector>,
    pub(crate) inbox: mpsc::Sender<Message>,
}

/// How often broadcasts are looked at. One timer for the whole process.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Messages that a slow socket may be behind before it gets a fresh snapshot instead.
const STAFF_BEHIND_MAX: usize = 64;
/// A room that was written to so lately goes on where it stood.
const RESTART_MAX: Duration = Duration::from_mins(2);

impl Rooms {
    /// Opens the store and starts the task that keeps the rooms. After `shutdown` the rooms end cleanly.
    pub fn spawn_rooms(
        config: Config,
        on_air: Arc<dyn OnAir>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<(Self, JoinHandle<()>)> {
        let (store, writer) = Store::spawn_store(config.data.join("ix"), config.keep)?;
        let key = TokenKey::new(read_or_make_key(&config.data.join("viewer-key"))?);
        let review = config.review_url.clone().zip(config.policy.review);
        let rooms = Self(Arc::new(Inner {
            on_air,
            reviewer: review.map(|(url, review)| Reviewer::new(url, review.time.into())),
            config,
            key,
            tickets: Tickets::default(),
            rooms: ArcSwap::default(),
            random: Mutex::new(Random::new(rand::random())),
        }));
        let keeper = Keeper {
            inner: Arc::clone(&rooms.0),
            store,
            open: BTreeMap::new(),
        };
        let task = tokio::spawn(async move {
            keeper.run(shutdown).await;
            // The keeper's store was the last: what is queued gets written.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        });
        Ok((rooms, task))
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.rooms.load().len()
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(crate) fn room(&self, id: &str) -> Option<Arc<Handle>> {
        let id = BroadcastId::parse(id).ok()?;
        self.0.rooms.load().get(&id).cloned()
    }
}

impl Inner {
    /// A random number that is no secret.
    pub(crate) fn random(&self) -> u64 {
        self.random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_u64()
    }
}

struct Open {
    live: Arc<Live>,
    handle: Arc<Handle>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Keeper {
    inner: Arc<Inner>,
    store: Store,
    open: BTreeMap<BroadcastId, Open>,
}

impl Keeper {
    async fn run(mut self, shutdown: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(look.tick()).await.is_some() {
            self.look();
        }
        for (_, open) in std::mem::take(&mut self.open) {
            open.stop.cancel();
            // A room that failed has said so.
            let _ = open.task.await;
        }
        self.publish();
    }

    fn look(&mut self) {
        let on_air = self.inner.on_air.broadcasts();
        let mut changed = false;
        let there: BTreeMap<&BroadcastId, &Arc<Live>> =
            on_air.iter().map(|live| (live.id(), live)).collect();
        self.open.retain(|id, open| {
            let there = there
                .get(id)
                .is_some_and(|live| Arc::ptr_eq(live, &open.live));
            if !there {
                open.stop.cancel();
                changed = true;
            }
            there
        });
        for live in &on_air {
            let failed = self
                .open
                .get(live.id())
                .is_some_and(|open| open.task.is_finished() && !is_over(live));
            if (failed || !self.open.contains_key(live.id())) && !is_over(live) {
                if failed {
                    metrics::counter!("nearcast_room_restarts_total").increment(1);
                    tracing::error!(broadcast = %live.id(), "the room's task failed; it goes on from what it has written");
                }
                self.begin(Arc::clone(live));
                changed = true;
            }
        }
        if changed {
            self.publish();
        }
    }

    fn begin(&mut self, live: Arc<Live>) {
        let id = live.id().clone();
        let stop = CancellationToken::new();
        let collector = Arc::new(Collector::new(self.inner.config.intake));
        let (sender, inbox) = mpsc::channel(MESSAGES_MAX);
        let staff = broadcast::Sender::new(STAFF_BEHIND_MAX);
        let parts = Parts {
            policy: self.inner.config.policy.clone(),
            start: self.start(&id),
            track: IxTrack::new(Arc::clone(&live), self.store.clone()),
            collector: Arc::clone(&collector),
            inbox,
            answers: sender.downgrade(),
            reviewer: self.inner.reviewer.clone(),
            staff,
            stop: stop.clone(),
        };
        let handle = Arc::new(Handle {
            id: id.clone(),
            collector,
            inbox: sender,
        });
        let task = tokio::spawn(room_task::run(parts));
        self.open.insert(
            id,
            Open {
                live,
                handle,
                stop,
                task,
            },
        );
    }

    /// From where a room goes on: what was written lately, or zero under a larger epoch.
    fn start(&self, id: &BroadcastId) -> Start {
        let seed = self.inner.random();
        let Some(last) = self.store.last(id) else {
            return Start {
                epoch: 1,
                seed,
                ..Start::default()
            };
        };
        let epoch = last.epoch.saturating_add(1);
        let lately = now().since(last.at).magnitude() <= media::Duration::from(RESTART_MAX);
        Start {
            epoch,
            seed,
            marked: self.store.marked(id).filter(|_| lately).unwrap_or_default(),
            snapshot: Some(last).filter(|_| lately),
        }
    }

    fn publish(&self) {
        metrics::gauge!("nearcast_rooms").set(u32::try_from(self.open.len()).unwrap_or(u32::MAX));
        let rooms = self
            .open
            .iter()
            .map(|(id, open)| (id.clone(), Arc::clone(&open.handle)));
        self.inner.rooms.store(Arc::new(rooms.collect()));
    }
}

fn is_over(live: &Live) -> bool {
    let view = live.rendition(media::RenditionName::Source);
    view.is_some_and(|view| view.snapshot().state == hls::State::Ended)
}

/// The secret behind viewer tokens, made at the first start; only the owner may read it.
fn read_or_make_key(path: &Path) -> anyhow::Result<[u8; 32]> {
    use anyhow::Context as _;
    match std::fs::read(path) {
        Ok(bytes) => bytes
            .try_into()
            .ok()
            .with_context(|| format!("{} does not hold 32 bytes: delete it", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key: [u8; 32] = rand::random();
            write_secret(path, &key)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

fn write_secret(path: &Path, key: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(key)
}

/// When a token that is given now runs out.
pub(crate) fn token_end(config: &Config) -> UnixTime {
    now() + media::Duration::from(config.token_life)
}
