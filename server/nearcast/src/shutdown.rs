//! Signals: SIGINT and SIGTERM end the server, SIGHUP makes it read its configuration again.
//!
//! In → Out: signals of the operating system → [`Signal`]s. A second SIGINT ends the process at once.
//! Spec: none; our own. The order of ending is in `serve.rs`.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// What somebody wants of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Read the configuration and the certificate again.
    Reload,
    /// End in order.
    Stop,
}

/// The signals of this process.
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// Starts to listen.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}
