//! What the tests play on: a registry under virtual time, and publishers that send in real pace.
//!
//! In → Out: a few verbs → a registry in the wanted state.
//! Spec: none; our own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use delivery::{Live, Source as _};
use hls::Snapshot;
use ingest::{Admission, Protocol, PublishRequest, SessionId};
use media::{BroadcastId, Event, RenditionName, UnixTime};
use origin::{AdmitError, PipelineConfig, Programme, Registry, Settings, Start, State, Status};
use testkit::synthetic::{self, Synthetic};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) struct Stage {
    pub(crate) registry: Registry,
    pub(crate) settings: watch::Sender<Settings>,
    keeper: JoinHandle<()>,
    shutdown: CancellationToken,
    zero: (Instant, UnixTime),
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (settings, seen) = watch::channel(Settings {
            reconnect_window: Duration::from_secs(30),
            ended_grace: Duration::from_mins(1),
            count_max: 200,
            pipeline: PipelineConfig::default(),
        });
        let shutdown = CancellationToken::new();
        let (registry, keeper) = Registry::spawn_registry(seen, shutdown.clone());
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        let zero = (
            Instant::now(),
            UnixTime::from_nanos(u64::try_from(wall.as_nanos()).unwrap()),
        );
        Self {
            registry,
            settings,
            keeper,
            shutdown,
            zero,
        }
    }

    /// The wall clock, as far as virtual time has moved it.
    pub(crate) fn wall(&self) -> UnixTime {
        self.zero.1 + media::Duration::from(self.zero.0.elapsed())
    }

    pub(crate) async fn try_admit(&self, name: &str) -> Result<Admission, AdmitError> {
        let request = PublishRequest {
            protocol: Protocol::Rtmp,
            peer: SocketAddr::from(([127, 0, 0, 1], 40_000)),
            app: "live".to_owned(),
            name: name.to_owned(),
            query: None,
            session: SessionId::next(),
        };
        let programme = Programme {
            id: id(name),
            title: format!("The {name} show"),
        };
        self.registry
            .admit(programme, Start::default(), &request)
            .await
    }

    /// A publisher that was admitted and has announced its tracks.
    pub(crate) async fn publisher(&self, name: &str, settings: synthetic::Settings) -> Publisher {
        let admission = self.try_admit(name).await.unwrap();
        let synthetic = Synthetic::new(settings);
        admission.events.send(synthetic.tracks()).await.unwrap();
        Publisher {
            admission,
            synthetic,
            began: (Instant::now(), self.wall()),
        }
    }

    pub(crate) fn status(&self, name: &str) -> Option<Status> {
        self.registry.status(&id(name))
    }

    pub(crate) fn state(&self, name: &str) -> Option<State> {
        self.status(name).map(|status| status.state)
    }

    pub(crate) fn live(&self, name: &str) -> Arc<Live> {
        self.registry.live(name).unwrap()
    }

    pub(crate) fn snapshot(&self, name: &str, rendition: RenditionName) -> Arc<Snapshot> {
        self.live(name)
            .rendition(rendition)
            .unwrap()
            .snapshot()
            .clone()
    }

    /// Waits until the broadcast is in this state; fails after ten virtual minutes.
    pub(crate) async fn until(&self, name: &str, state: Option<State>) {
        let reached = async {
            while self.state(name) != state {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_mins(10), reached).await;
        assert!(
            waited.is_ok(),
            "{name} is {:?}, not {state:?}",
            self.state(name)
        );
    }

    pub(crate) async fn stop(self) -> Registry {
        self.shutdown.cancel();
        self.keeper.await.unwrap();
        self.registry
    }
}

/// A publisher with its place in media time.
pub(crate) struct Publisher {
    pub(crate) admission: Admission,
    synthetic: Synthetic,
    began: (Instant, UnixTime),
}

impl Publisher {
    /// Sends `seconds` of media, each unit when it happens. Stops early if the broadcast does not listen any more.
    pub(crate) async fn send(&mut self, seconds: u64) -> bool {
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            let unit = self.synthetic.next_unit();
            let at = Duration::from_nanos(unit.at.as_nanos().unsigned_abs());
            tokio::time::sleep_until(self.began.0 + at).await;
            if self
                .admission
                .events
                .send(Event::Unit(unit.access_unit(self.began.1)))
                .await
                .is_err()
            {
                return false;
            }
        }
        // The broadcast's task gets its turn before anybody looks.
        tokio::time::sleep(Duration::from_millis(1)).await;
        true
    }
}

pub(crate) fn id(name: &str) -> BroadcastId {
    BroadcastId::parse(name).unwrap()
}
