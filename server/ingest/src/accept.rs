//! Who may publish: the question that every ingest protocol asks, and the answers it can get.
//!
//! In → Out: a protocol's publish request → an [`Admission`] (channels to the broadcast) or a [`Refusal`] (for the
//! encoder's log). The gate is implemented by the process that knows stream keys and broadcasts.
//! Spec: none; our own.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use media::{BroadcastId, Event, Feedback};
use tokio::sync::mpsc;

/// How a publisher speaks to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RTMP over plain TCP.
    Rtmp,
}

impl Protocol {
    /// Lower-case name for the API and metrics labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
        }
    }
}

/// One publish attempt, unique within this process; later attempts have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// A number that was not given before.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a publisher asks for. Text comes from the peer: bounded in length, otherwise unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishRequest {
    /// How it speaks to us.
    pub protocol: Protocol,
    /// Where it connects from.
    pub peer: SocketAddr,
    /// RTMP application, such as `live`; without leading or trailing `/`.
    pub app: String,
    /// Stream name without `?query`: a broadcast id or a stream key, as the gate's policy has it.
    pub name: String,
    /// What stood after `?` in the stream name, without the `?`.
    pub query: Option<String>,
    /// This attempt.
    pub session: SessionId,
}

/// The way into a broadcast. Dropping the channels ends the admission.
#[derive(Debug)]
pub struct Admission {
    /// The broadcast that this session now feeds.
    pub broadcast: BroadcastId,
    /// Where media goes. Bounded: a full channel makes the publisher wait (TCP back-pressure). The session always sends
    /// [`Event::End`] last, unless the receiver is gone.
    pub events: mpsc::Sender<Event>,
    /// What the broadcast tells the session. When the sender is dropped the session is stopped.
    pub feedback: mpsc::Receiver<Feedback>,
}

/// Why a publisher was turned away, as a closed list (metrics label and protocol status code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// The stream name cannot be a broadcast.
    BadName,
    /// The stream key is missing or wrong.
    Unauthorized,
    /// Another publisher is live and may not be replaced.
    InUse,
    /// The broadcast has ended or never was.
    NotFound,
    /// A limit on publishers is reached, or attempts come too fast.
    Limit,
    /// The codec is not one we take.
    Unsupported,
    /// The media cannot be read, or breaks a limit.
    BadMedia,
    /// The server is shutting down.
    ShuttingDown,
    /// The server failed.
    Internal,
}

impl RefusalCode {
    /// Lower-case name for logs and metrics labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadName => "bad_name",
            Self::Unauthorized => "unauthorized",
            Self::InUse => "in_use",
            Self::NotFound => "not_found",
            Self::Limit => "limit",
            Self::Unsupported => "unsupported",
            Self::BadMedia => "bad_media",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }
}

/// Why a publisher was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For the person who reads the encoder's log: what is wrong and what to do. Contains no secret.
    pub message: String,
}

impl Refusal {
    /// A refusal with its message.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Decides who may publish. Asked once per attempt; a session waits at most ten seconds for the answer.
pub trait Gate: Send + Sync + 'static {
    /// Admits the publisher to a broadcast, or says why not.
    fn admit(&self, request: PublishRequest) -> BoxFuture<'_, Result<Admission, Refusal>>;
}
