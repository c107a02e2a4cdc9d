//! How fast hyper's connections take what they are sent, and the one timer that cuts those that do not.
//!
//! In → Out: progress of sockets and bodies, noted by whoever writes → a sweep each second → cancelled connections.
//! A socket that is full, and an HTTP/2 stream whose window stays shut, look different from below: both are watched.
//! Spec: RFC 9113, "Flow Control" (5.2); design "Segments".

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::growing::Growing;
use crate::server::{HttpConfig, Server};

/// All watched connections of a server.
#[derive(Default)]
pub(crate) struct Sweeper {
    connections: Mutex<Vec<Weak<Pace>>>,
}

/// The progress of one connection.
pub(crate) struct Pace {
    /// Cancelled when the connection must go.
    pub(crate) cut: CancellationToken,
    written: AtomicU64,
    blocked: AtomicBool,
    window: Mutex<Option<RateWindow>>,
    bodies: Mutex<Vec<Weak<BodyPace>>>,
}

/// A time in which a reader must take its least: credit from faster times before does not count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateWindow {
    since: Instant,
    bytes: u64,
}

impl RateWindow {
    /// A window that begins now, at a count of bytes taken so far.
    pub(crate) fn new(now: Instant, bytes: u64) -> Self {
        Self { since: now, bytes }
    }

    /// When the reader must have taken its least.
    pub(crate) fn ends(&self, config: &HttpConfig) -> Instant {
        self.since + config.rate_grace
    }

    /// Whether the window is over and the reader took too little. One that took enough gets another window.
    pub(crate) fn is_too_slow(&mut self, now: Instant, bytes: u64, config: &HttpConfig) -> bool {
        let lasted = now.saturating_duration_since(self.since);
        if lasted < config.rate_grace {
            return false;
        }
        let due = lasted.as_millis() * u128::from(config.rate_min) / 1_000;
        let slow = u128::from(bytes - self.bytes) < due;
        *self = Self::new(now, bytes);
        slow
    }
}

/// The progress of one media body.
pub(crate) struct BodyPace {
    started: Instant,
    yielded: AtomicU64,
    window: Mutex<RateWindow>,
    follows: Option<(Arc<Growing>, AtomicUsize)>,
}

impl Sweeper {
    /// Watches a new connection.
    pub(crate) fn watch(&self) -> Arc<Pace> {
        let pace = Arc::new(Pace {
            cut: CancellationToken::new(),
            written: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            window: Mutex::default(),
            bodies: Mutex::default(),
        });
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(&pace));
        pace
    }
}

impl Pace {
    /// The socket took bytes.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
        self.blocked.store(false, Ordering::Relaxed);
    }

    /// The socket is full.
    pub(crate) fn is_full(&self) {
        self.blocked.store(true, Ordering::Relaxed);
    }

    /// Watches a body; `follows` is the object that it reads as that grows, and the first chunk it reads.
    pub(crate) fn body(&self, follows: Option<(Arc<Growing>, usize)>) -> Arc<BodyPace> {
        let started = Instant::now();
        let body = Arc::new(BodyPace {
            started,
            yielded: AtomicU64::new(0),
            window: Mutex::new(RateWindow::new(started, 0)),
            follows: follows.map(|(object, index)| (object, AtomicUsize::new(index))),
        });
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.retain(|body| body.strong_count() > 0);
        bodies.push(Arc::downgrade(&body));
        body
    }

    fn overdue(&self, now: Instant, config: &HttpConfig) -> Option<&'static str> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.written.load(Ordering::Relaxed);
        if self.blocked.load(Ordering::Relaxed) {
            let window = window.get_or_insert(RateWindow::new(now, written));
            if window.is_too_slow(now, written, config) {
                return Some("rate");
            }
        } else {
            *window = None;
        }
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.retain(|body| body.strong_count() > 0);
        bodies
            .iter()
            .filter_map(Weak::upgrade)
            .find_map(|body| body.overdue(now, config))
    }
}

impl BodyPace {
    /// The body has given this many bytes to the connection, and would next give the chunk `next`.
    pub(crate) fn gave(&self, bytes: usize, next: usize) {
        self.yielded.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some((_, index)) = &self.follows {
            index.store(next, Ordering::Relaxed);
        }
    }

    fn overdue(&self, now: Instant, config: &HttpConfig) -> Option<&'static str> {
        if let Some((object, index)) = &self.follows {
            let waiting = object.chunk(index.load(Ordering::Relaxed))?;
            let since = waiting.appended().max(self.started);
            return (now.saturating_duration_since(since) > config.behind_max).then_some("behind");
        }
        let yielded = self.yielded.load(Ordering::Relaxed);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.is_too_slow(now, yielded, config).then_some("rate")
    }
}

/// Cuts overdue connections, each second, until aborted.
pub(crate) async fn sweep(server: Arc<Server>) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let mut connections = server
            .sweeper
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| {
            let Some(pace) = connection.upgrade() else {
                return false;
            };
            let Some(reason) = pace.overdue(now, &server.config) else {
                return true;
            };
            server.metrics.cut(reason);
            pace.cut.cancel();
            false
        });
    }
}

/// How often slow connections are looked for.
const SWEEP: Duration = Duration::from_secs(1);
