//! The HTTP server: its configuration, its listeners, and what its connections share.
//!
//! In → Out: a listening socket → a task per connection, bounded in number; media from a [`Source`], all else from a router.
//! When file descriptors run out, accepting pauses and recovers; who cannot be served is told 503.
//! Spec: RFC 9110, "503 Service Unavailable"; accept(2), "EMFILE".

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use http::request::Parts;
use http::{Response, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{self, Ticket};
use crate::live::Source;
use crate::metrics::Metrics;
use crate::pace::Sweeper;
use crate::proxy::TrustedProxies;
use crate::respond::{self, NO_STORE, Payload};
use crate::route::Target;
use crate::shard::{Limits, Returned, Shards};
use crate::socket;

/// Limits of a server. Times bound what one peer can hold, counts bound all of them together.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Connections at a time; beyond that 503. `None`: what the limit of open files leaves.
    pub connections_max: Option<usize>,
    /// From a request's first byte to the end of its head.
    pub head_timeout: Duration,
    /// From the connection's start to its first byte, and without any progress while a body is received or sent.
    pub idle_timeout: Duration,
    /// Between two requests of a connection.
    pub keep_alive: Duration,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Bytes of a request's body that are read before the application sees it; larger ones are streamed.
    pub body_bytes_buffered: usize,
    /// The age of the oldest byte that a viewer of a growing object has not taken; then it is cut.
    pub behind_max: Duration,
    /// Bytes a second that a reader must take.
    pub rate_min: u64,
    /// How long it may be slower.
    pub rate_grace: Duration,
    /// Fan-out threads. `None`: one a core.
    pub shards: Option<usize>,
    /// Unsent bytes that the kernel takes for a socket before it counts as full (`TCP_NOTSENT_LOWAT`).
    pub unsent_max: u32,
    /// TCP's congestion control for viewers, if the kernel has it.
    pub congestion: Option<String>,
    /// How long viewers may finish their current object at shutdown.
    pub drain: Duration,
    /// Whose `X-Forwarded-For` names the viewer.
    pub trusted_proxies: TrustedProxies,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            connections_max: None,
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            head_bytes_max: 16 * 1024,
            body_bytes_buffered: 64 * 1024,
            behind_max: Duration::from_secs(10),
            rate_min: 4_000,
            rate_grace: Duration::from_secs(5),
            shards: None,
            unsent_max: 128 * 1024,
            congestion: Some("bbr".to_owned()),
            drain: Duration::from_secs(5),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// What the connections of one listener share.
pub(crate) struct Server {
    pub(crate) config: HttpConfig,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) app: Router,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: CancellationToken,
    pub(crate) sweeper: Sweeper,
    pub(crate) tasks: TaskTracker,
    connections: Arc<AtomicUsize>,
    connections_max: usize,
    shards: OnceLock<Option<Shards>>,
    returned: mpsc::UnboundedSender<Returned>,
}

impl Server {
    /// The fan-out shards, started by the first viewer. `None` if threads cannot be started.
    pub(crate) fn shards(&self) -> Option<&Shards> {
        let started = self.shards.get_or_init(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let limits = Limits {
                behind_max: self.config.behind_max,
                rate_min: self.config.rate_min,
                rate_grace: self.config.rate_grace,
                keep_alive: self.config.keep_alive,
                pipelined_max: self.config.head_bytes_max,
            };
            Shards::spawn(self.config.shards.unwrap_or(cores), &limits, &self.returned)
                .inspect_err(|error| tracing::error!(%error, "fan-out threads cannot be started"))
                .ok()
        });
        started.as_ref()
    }

    /// Answers a request for an object of a broadcast. What would still wait when the server stops is told to come back.
    pub(crate) async fn live(
        &self,
        request: &Parts,
        broadcast: &str,
        target: Target,
    ) -> Response<Payload> {
        tokio::select! {
            biased;
            response = respond::live(&self.source, request, broadcast, target) => response,
            () = self.shutdown.cancelled() => respond::refuse(StatusCode::SERVICE_UNAVAILABLE, NO_STORE),
        }
    }

    fn permit(&self) -> Option<Permit> {
        let before = self.connections.fetch_add(1, Ordering::AcqRel);
        let permit = Permit {
            connections: Arc::clone(&self.connections),
            metrics: self.metrics.clone(),
        };
        self.metrics.connections.increment(1);
        (before < self.connections_max).then_some(permit)
    }
}

/// The right to be one of the server's connections; given back when dropped.
pub(crate) struct Permit {
    connections: Arc<AtomicUsize>,
    metrics: Metrics,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::AcqRel);
        self.metrics.connections.decrement(1);
    }
}

/// Serves HTTP on a listener until `shutdown`, then lets viewers finish their current object for at most `config.drain`.
///
/// Paths under `/live/` are answered from `source`, all others by `app`, whose handlers find the peer's address as
/// `axum::extract::ConnectInfo<SocketAddr>`. With `tls` the listener speaks HTTPS (HTTP/2 and HTTP/1.1 by ALPN), without
/// it HTTP/1.1 and HTTP/2 with prior knowledge. The handle is done when all connections are closed.
pub fn spawn_http(
    listener: TcpListener,
    config: HttpConfig,
    source: Arc<dyn Source>,
    app: Router,
    tls: Option<Arc<rustls::ServerConfig>>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let files = socket::open_files_max();
    if files.is_some_and(|files| files < FILES_RECOMMENDED) {
        tracing::warn!(
            limit = files,
            "the limit of open files is low: each viewer needs one; raise nofile (ulimit -n)"
        );
    }
    let left = files.map_or(usize::MAX, |files| {
        usize::try_from(files)
            .unwrap_or(usize::MAX)
            .saturating_sub(FILES_RESERVED)
    });
    let (returned, returns) = mpsc::unbounded_channel();
    let server = Arc::new(Server {
        connections_max: config.connections_max.unwrap_or(left.max(1)),
        config,
        source,
        app,
        metrics: Metrics::new(),
        shutdown,
        sweeper: Sweeper::default(),
        tasks: TaskTracker::new(),
        connections: Arc::default(),
        shards: OnceLock::new(),
        returned,
    });
    let acceptor = tls.map(tokio_rustls::TlsAcceptor::from);
    tokio::spawn(run(listener, server, acceptor, returns))
}

async fn run(
    listener: TcpListener,
    server: Arc<Server>,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    returns: mpsc::UnboundedReceiver<Returned>,
) {
    let resume = tokio::spawn(resume(returns));
    let sweep = tokio::spawn(crate::pace::sweep(Arc::clone(&server)));
    accept(&listener, &server, acceptor.as_ref()).await;
    drop(listener);
    server.tasks.close();
    if let Some(Some(shards)) = server.shards.get() {
        shards.release();
    }
    let drained = async {
        server.tasks.wait().await;
        while server.connections.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    if tokio::time::timeout(server.config.drain, drained)
        .await
        .is_err()
    {
        tracing::info!(
            connections = server.connections.load(Ordering::Relaxed),
            "connections are cut at shutdown"
        );
    }
    sweep.abort();
    resume.abort();
    // Joining threads blocks, if only for a moment.
    let stopped = tokio::task::spawn_blocking(move || {
        if let Some(Some(shards)) = server.shards.get() {
            shards.stop();
        }
    });
    let _ = stopped.await;
}

async fn accept(
    listener: &TcpListener,
    server: &Arc<Server>,
    acceptor: Option<&tokio_rustls::TlsAcceptor>,
) {
    // Kept so that one more connection can be taken, and told to come back, when descriptors run out.
    let mut spare = spare();
    loop {
        let accepted = tokio::select! {
            () = server.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(server, stream, peer, acceptor),
            Err(error) if is_exhausted(&error) => {
                server.metrics.paused("files");
                tracing::warn!(%error, "accepting pauses");
                drop(spare.take());
                if let Ok(Ok((stream, _))) =
                    tokio::time::timeout(Duration::ZERO, listener.accept()).await
                {
                    refuse(&stream);
                }
                spare = self::spare();
                tokio::select! {
                    () = server.shutdown.cancelled() => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
            // The peer was gone before its turn came.
            Err(error) => tracing::debug!(%error, "accept"),
        }
    }
}

fn admit(
    server: &Arc<Server>,
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<&tokio_rustls::TlsAcceptor>,
) {
    let Some(permit) = server.permit() else {
        server.metrics.refused(503);
        if acceptor.is_none() {
            refuse(&stream);
        }
        return;
    };
    socket::tune(&stream, &server.config);
    let ticket = Ticket::new(Arc::clone(server), peer, permit);
    match acceptor {
        Some(acceptor) => {
            server
                .tasks
                .spawn(crate::bridge::serve_tls(stream, acceptor.clone(), ticket))
        }
        None => server
            .tasks
            .spawn(connection::serve(stream, Vec::new(), ticket)),
    };
}

/// Starts the connection tasks of sockets that come back from the shards.
async fn resume(mut returns: mpsc::UnboundedReceiver<Returned>) {
    while let Some(returned) = returns.recv().await {
        let tasks = returned.ticket.server.tasks.clone();
        match TcpStream::from_std(returned.socket) {
            Ok(stream) => drop(tasks.spawn(connection::serve(
                stream,
                returned.pipelined,
                returned.ticket,
            ))),
            Err(error) => tracing::warn!(%error, "a connection cannot be resumed"),
        }
    }
}

/// Says 503 without waiting: what does not fit the socket's empty buffer at once is not worth a task.
fn refuse(stream: &TcpStream) {
    let _ = stream.try_write(
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nCache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

fn spare() -> Option<std::fs::File> {
    std::fs::File::open("/dev/null").ok()
}

/// Fewer open files than this deserve a warning.
const FILES_RECOMMENDED: u64 = 4_096;

/// Open files left to everything that is not a connection.
const FILES_RESERVED: usize = 128;

/// How long accepting rests when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the drain looks whether the shards' viewers are gone.
const DRAIN_POLL: Duration = Duration::from_millis(20);
