//! Fan-out shards: threads that own the sockets of all viewers of growing objects, one a core.
//!
//! In → Out: "this object grew", one message a shard whatever the number of viewers → one non-blocking `send` of the framed chunk
//! for each viewer. No task is woken, no lock taken, no timer set and no byte copied for a viewer. When the object is complete
//! the socket waits here for a request for another; with any other request it goes back to where it came from.
//! A socket that is full costs nobody else anything: it is skipped until it drains, and cut when it stays behind.
//! Spec: design "Segments", "Numbers to reach" (fan-out).

mod viewer;
mod worker;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Poll, Waker};
use tokio::sync::mpsc;

use crate::connection::{FollowStart, Ticket};
use crate::metrics::Metrics;
use worker::{WAKE, Worker};

/// How the body goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// HTTP/1.1 chunked coding.
    Chunked,
    /// As it is, ended by closing: HTTP/1.0.
    Bare,
}

/// When a viewer that does not keep up is cut.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The age of the oldest byte it has not taken.
    pub(crate) behind_max: Duration,
    /// Bytes a second that a full socket must drain after `rate_grace`.
    pub(crate) rate_min: u64,
    /// How long a full socket may drain more slowly.
    pub(crate) rate_grace: Duration,
    /// How long a viewer may be without a request.
    pub(crate) keep_alive: Duration,
    /// Bytes of later requests that are kept.
    pub(crate) pipelined_max: usize,
}

/// A connection that becomes a viewer of a growing object.
pub(crate) struct Joiner {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) start: FollowStart,
    pub(crate) pipelined: Vec<u8>,
    pub(crate) ticket: Ticket,
}

/// A connection whose object is complete and sent, and whose next request is not for another.
pub(crate) struct Returned {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) pipelined: Vec<u8>,
    pub(crate) ticket: Ticket,
}

/// The running shards.
pub(crate) struct Shards {
    shards: Vec<Shard>,
}

struct Shard {
    mailbox: Arc<Mailbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Shards {
    /// Starts `count` threads. Connections come back through `returned`, whose length their number bounds.
    pub(crate) fn spawn(
        count: usize,
        limits: &Limits,
        returned: &mpsc::UnboundedSender<Returned>,
    ) -> io::Result<Self> {
        let metrics = Metrics::new();
        let shards = (0..count.max(1)).map(|number| {
            let poll = Poll::new()?;
            let mailbox = Arc::new(Mailbox {
                messages: Mutex::default(),
                signalled: AtomicBool::new(false),
                waker: Waker::new(poll.registry(), WAKE)?,
                viewers: AtomicUsize::new(0),
            });
            let worker = Worker::new(
                poll,
                Arc::clone(&mailbox),
                limits.clone(),
                returned.clone(),
                metrics.clone(),
            );
            let thread = std::thread::Builder::new()
                .name(format!("fan-out-{number}"))
                .spawn(move || worker.run())?;
            Ok(Shard {
                mailbox,
                thread: Mutex::new(Some(thread)),
            })
        });
        Ok(Self {
            shards: shards.collect::<io::Result<_>>()?,
        })
    }

    /// Gives a viewer to the shard that has the fewest.
    pub(crate) fn adopt(&self, joiner: Joiner) {
        let least = self
            .shards
            .iter()
            .min_by_key(|shard| shard.mailbox.viewers.load(Ordering::Relaxed));
        if let Some(shard) = least {
            shard.mailbox.viewers.fetch_add(1, Ordering::Relaxed);
            shard.mailbox.post(Message::Adopt(Box::new(joiner)));
        }
    }

    /// Closes connections that wait for a next request; called once the server stops.
    pub(crate) fn release(&self) {
        for shard in &self.shards {
            shard.mailbox.post(Message::Release);
        }
    }

    /// Cuts every viewer and ends the threads.
    pub(crate) fn stop(&self) {
        for shard in &self.shards {
            shard.mailbox.post(Message::Stop);
        }
        for shard in &self.shards {
            let thread = shard
                .thread
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            // The last owner may be a viewer that this very thread lets go; it then ends by its own mail.
            let other = thread.filter(|thread| thread.thread().id() != std::thread::current().id());
            if other.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("a fan-out shard panicked");
            }
        }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a shard is told. Bounded by what exists: one `Grew` an object, one `Adopt` a connection.
enum Message {
    Adopt(Box<Joiner>),
    Grew(usize),
    Release,
    Stop,
}

struct Mailbox {
    messages: Mutex<Vec<Message>>,
    signalled: AtomicBool,
    waker: Waker,
    viewers: AtomicUsize,
}

impl Mailbox {
    fn post(&self, message: Message) {
        self.messages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(message);
        if !self.signalled.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a fan-out shard cannot be woken");
        }
    }

    fn has_mail(&self) -> bool {
        self.signalled.load(Ordering::Acquire)
    }

    /// Exchanges an empty list for the messages.
    fn take(&self, empty: &mut Vec<Message>) {
        // Before the list is taken: a message that comes after that wakes again.
        self.signalled.store(false, Ordering::Release);
        std::mem::swap(
            empty,
            &mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner),
        );
    }
}

/// A shard's interest in one growing object.
pub(crate) struct Subscription {
    mailbox: Arc<Mailbox>,
    group: usize,
    pending: AtomicBool,
}

impl Subscription {
    /// The object has changed: the shard hears of it once until it has looked.
    pub(crate) fn notify(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.mailbox.post(Message::Grew(self.group));
        }
    }
}
