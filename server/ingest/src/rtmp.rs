//! RTMP publishers: one task a connection, which moves bytes between the socket and the session machine.
//!
//! In → Out: TCP connections → [`media::Event`]s; the gate's refusals and the broadcast's feedback → onStatus messages.
//! Spec: Adobe RTMP 1.0; Enhanced RTMP v2.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Gate;

/// Limits of the RTMP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtmpConfig {
    /// Sockets open at once, publishing or not; further ones are closed at once.
    pub connections_max: usize,
    /// From accept to the end of the handshake.
    pub handshake_timeout: Duration,
    /// A publisher that sends nothing for so long is lost.
    pub silence_timeout: Duration,
    /// Average bitrate that a publisher may send, in bits per second. Beyond it the socket is read more slowly.
    pub bitrate_max_bps: u64,
    /// How much may come at once before `bitrate_max_bps` is enforced, in bytes.
    pub burst_max_bytes: u64,
    /// The largest RTMP message, in bytes.
    pub message_max_bytes: usize,
}

impl Default for RtmpConfig {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            handshake_timeout: Duration::from_secs(5),
            silence_timeout: Duration::from_secs(5),
            bitrate_max_bps: 50_000_000,
            burst_max_bytes: 32 * 1024 * 1024,
            message_max_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Serves RTMP publishers on `listener` until `shutdown`; the task ends when all its connections have ended.
pub fn spawn_rtmp(
    listener: TcpListener,
    config: RtmpConfig,
    gate: Arc<dyn Gate>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let _ = (listener, config, gate);
        shutdown.cancelled().await;
    })
}
