//! RTMP publishers: the listener, its limits, and one task a connection.
//!
//! In → Out: TCP connections → [`media::Event`]s; the gate's refusals and the broadcast's feedback → onStatus messages.
//! A connection costs under 2 kB until its handshake is complete, whatever it sends. Past the limit of connections new ones are closed.
//! Spec: Adobe RTMP 1.0; Enhanced RTMP v2.

mod connection;
mod policer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::Gate;
use crate::metrics;
use connection::Connection;

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
    /// Which pictures are taken.
    pub pictures: Pictures,
}

/// Which pictures are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pictures {
    /// All that can be packaged: somebody behind makes them playable.
    #[default]
    All,
    /// Only what browsers decode; others are refused, with the reason.
    ForBrowsers,
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
            pictures: Pictures::All,
        }
    }
}

/// What all connections of a listener share.
struct Context {
    config: RtmpConfig,
    gate: Arc<dyn Gate>,
    shutdown: CancellationToken,
}

/// Serves RTMP publishers on `listener` until `shutdown`; the task ends when all its connections have ended.
pub fn spawn_rtmp(
    listener: TcpListener,
    config: RtmpConfig,
    gate: Arc<dyn Gate>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    metrics::describe();
    tokio::spawn(accept(
        listener,
        Arc::new(Context {
            config,
            gate,
            shutdown,
        }),
    ))
}

async fn accept(listener: TcpListener, context: Arc<Context>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = context.shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if connections.len() < context.config.connections_max => {
                    connections.spawn(serve(Arc::clone(&context), stream, peer));
                }
                Ok(_) => metrics::connection_refused(),
                Err(error) => {
                    // Out of file descriptors, most likely: others must close before the next can come.
                    tracing::warn!(%error, "RTMP connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// How long the listener rests after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn serve(context: Arc<Context>, stream: TcpStream, peer: SocketAddr) {
    let _open = metrics::ConnectionOpen::new();
    // Failing to set an option costs latency or memory, not correctness.
    let _ = stream.set_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5));
    let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    let mut connection = Connection::new(context, stream, peer);
    if connection.handshake().await {
        // Boxed: a socket that has not finished its handshake must stay small.
        Box::pin(connection.run()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Admission, PublishRequest, Refusal, RefusalCode};

    struct Closed;

    impl Gate for Closed {
        fn admit(
            &self,
            _: PublishRequest,
        ) -> futures_util::future::BoxFuture<'_, Result<Admission, Refusal>> {
            Box::pin(async { Err(Refusal::new(RefusalCode::NotFound, "closed")) })
        }
    }

    #[tokio::test]
    async fn ing_01_a_pending_socket_costs_less_than_2_kb() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let peer = stream.peer_addr().unwrap();
        let (config, shutdown) = (RtmpConfig::default(), CancellationToken::new());
        let context = Arc::new(Context {
            config,
            gate: Arc::new(Closed),
            shutdown,
        });
        let task = size_of_val(&serve(context, stream, peer));
        // What tokio keeps beside it for each socket and task, rounded up.
        let beside = 384;
        assert!(task + beside < 2_048, "{task} bytes");
    }
}
