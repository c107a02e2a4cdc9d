//! A listener with a gate that lets tests see what a broadcast would get.
//!
//! In → Out: a gate policy → [`Stage`], which hands out the admitted sessions and speaks RTMP as a bad publisher.
//! Spec: none; test equipment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ingest::{Admission, Gate, PublishRequest, Refusal, RtmpConfig, spawn_rtmp};
use media::{AccessUnit, BroadcastId, Event, Feedback, Track};
use rtmp::{Publisher, PublisherConfig, PublisherEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything in these tests takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Awaits with a limit: a test that hangs fails.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("{what} took more than {PATIENCE:?}"))
}

/// One admitted session as its broadcast sees it.
pub(crate) struct Admitted {
    pub(crate) request: PublishRequest,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) feedback: mpsc::Sender<Feedback>,
}

/// Everything that a session gave, sorted.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) sets: Vec<Vec<Track>>,
    pub(crate) units: Vec<AccessUnit>,
    pub(crate) breaks: Vec<media::DiscontinuityReason>,
    pub(crate) end: Option<media::EndReason>,
}

impl Record {
    pub(crate) fn of(&self, track: media::TrackId) -> Vec<&AccessUnit> {
        self.units
            .iter()
            .filter(|unit| unit.track == track)
            .collect()
    }
}

impl Admitted {
    /// Reads to the end of the session.
    pub(crate) async fn record(&mut self) -> Record {
        let mut record = Record::default();
        while let Some(event) = soon("the next event", self.events.recv()).await {
            match event {
                Event::Tracks(tracks) => record.sets.push(tracks),
                Event::Unit(unit) => record.units.push(unit),
                Event::Discontinuity(reason) => record.breaks.push(reason),
                Event::End(reason) => record.end = Some(reason),
            }
        }
        record
    }
}

type Policy = Box<dyn Fn(&PublishRequest) -> Result<(), Refusal> + Send + Sync>;

struct TestGate {
    policy: Policy,
    admitted: mpsc::UnboundedSender<Admitted>,
}

impl Gate for TestGate {
    fn admit(&self, request: PublishRequest) -> BoxFuture<'_, Result<Admission, Refusal>> {
        Box::pin(async move {
            (self.policy)(&request)?;
            let (events, events_end) = mpsc::channel(64);
            let (feedback_end, feedback) = mpsc::channel(4);
            let broadcast = BroadcastId::parse(&request.name).unwrap();
            let admitted = Admitted {
                request,
                events: events_end,
                feedback: feedback_end,
            };
            self.admitted.send(admitted).expect("the stage is there");
            Ok(Admission {
                broadcast,
                events,
                feedback,
            })
        })
    }
}

/// A running listener.
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) server: JoinHandle<()>,
    admitted: mpsc::UnboundedReceiver<Admitted>,
}

impl Stage {
    pub(crate) async fn open() -> Self {
        Self::with(RtmpConfig::default(), Box::new(|_| Ok(()))).await
    }

    pub(crate) async fn with(config: RtmpConfig, policy: Policy) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, admitted) = mpsc::unbounded_channel();
        let shutdown = CancellationToken::new();
        let gate = Arc::new(TestGate {
            policy,
            admitted: sender,
        });
        let server = spawn_rtmp(listener, config, gate, shutdown.clone());
        Self {
            address,
            shutdown,
            server,
            admitted,
        }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("rtmp://{}/live/{name}", self.address)
    }

    /// The next session that the gate lets in.
    pub(crate) async fn admitted(&mut self) -> Admitted {
        soon("a publisher", self.admitted.recv())
            .await
            .expect("the gate is there")
    }

    /// Connects a publisher machine and publishes `name`; returns it with what the server answered.
    pub(crate) async fn publish(&self, name: &str) -> (Peer, PublisherEvent) {
        let config = PublisherConfig {
            name: name.into(),
            ..PublisherConfig::default()
        };
        let mut peer = Peer {
            machine: Publisher::new(config),
            stream: TcpStream::connect(self.address).await.unwrap(),
        };
        let event = soon("the server's answer", peer.event())
            .await
            .expect("an answer");
        (peer, event)
    }
}

/// A publisher machine on a socket.
pub(crate) struct Peer {
    pub(crate) machine: Publisher,
    pub(crate) stream: TcpStream,
}

impl Peer {
    pub(crate) async fn flush(&mut self) {
        while let Some(bytes) = self.machine.poll_output() {
            // A server that has hung up shows in what is read next.
            let _ = self.stream.write_all(&bytes).await;
        }
    }

    /// The next thing the server says; `None` when it closes.
    pub(crate) async fn event(&mut self) -> Option<PublisherEvent> {
        let mut buffer = [0; 4_096];
        loop {
            if let Some(event) = self.machine.poll_event() {
                return Some(event);
            }
            self.flush().await;
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.machine.handle_bytes(&buffer[..count]).unwrap(),
            }
        }
    }
}
