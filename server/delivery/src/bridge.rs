//! Connections that hyper serves: HTTP/2, TLS, upgrades, streamed request bodies.
//!
//! In → Out: a socket and the bytes read from it so far → the same answers as on the fast way; growing objects as bodies that
//! follow the log, torn ones as stream resets.
//! Floods are bounded by limits on streams, heads and resets, by a budget of control frames, and by the sweep of slow readers.
//! Spec: RFC 9113, "Denial-of-Service Considerations" (10.5); RFC 9112.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::ConnectInfo;
use bytes::{Buf as _, Bytes};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::body::MediaBody;
use crate::connection::Ticket;
use crate::guard::FrameGuard;
use crate::pace::Pace;
use crate::respond::{self, SHORT};
use crate::route::Route;
use crate::server::Server;

/// Serves a connection on which `received` has been read.
pub(crate) async fn serve_plain(stream: TcpStream, received: Bytes, ticket: Ticket) {
    serve(stream, received, ticket).await;
}

/// Serves a connection that begins with a TLS handshake.
pub(crate) async fn serve_tls(stream: TcpStream, acceptor: TlsAcceptor, ticket: Ticket) {
    let budget = ticket.server.config.head_timeout;
    let server = Arc::clone(&ticket.server);
    let handshake = tokio::time::timeout(budget, acceptor.accept(stream));
    // Who has not said hello when the server stops has asked for nothing.
    match server.shutdown.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => serve(stream, Bytes::new(), ticket).await,
        Some(Ok(Err(error))) => tracing::debug!(%error, peer = %ticket.peer, "TLS handshake"),
        Some(Err(_)) => tracing::debug!(peer = %ticket.peer, "TLS handshake took too long"),
        None => {}
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    received: Bytes,
    ticket: Ticket,
) {
    let server = Arc::clone(&ticket.server);
    let pace = server.sweeper.watch();
    let peer = ticket.peer;
    let watched = Watched {
        inner: stream,
        received,
        pace: Arc::clone(&pace),
        guard: FrameGuard::default(),
        _ticket: ticket,
    };
    let service = service_fn({
        let (server, pace) = (Arc::clone(&server), Arc::clone(&pace));
        move |request| answer(Arc::clone(&server), Arc::clone(&pace), peer, request)
    });
    let builder = builder(&server);
    let mut connection =
        std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(watched), service));
    let mut draining = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::trace!(%error, %peer, "connection");
                }
                return;
            }
            () = pace.cut.cancelled() => return,
            () = server.shutdown.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(server: &Server) -> Builder<TokioExecutor> {
    let config = &server.config;
    let head_bytes = config.head_bytes_max;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Without a timer the time-out for heads does nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(config.keep_alive.min(config.idle_timeout))
        .max_headers(HEADERS_MAX)
        .max_buf_size(head_bytes.max(8 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(config.idle_timeout * 2)
        .keep_alive_timeout(config.idle_timeout);
    builder
}

/// A response's body, ours or the application's.
type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

async fn answer(
    server: Arc<Server>,
    pace: Arc<Pace>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<BoxBody>, Infallible> {
    let path = request.uri().path().to_owned();
    let response = match Route::parse(&path) {
        Route::Live { broadcast, target } => {
            let parts = request.into_parts().0;
            server.live(&parts, broadcast, target).await
        }
        Route::Refused(status) => respond::refuse(status, SHORT),
        Route::App => {
            let mut request = request.map(axum::body::Body::new);
            let viewer = server
                .config
                .trusted_proxies
                .viewer(peer, request.headers());
            request.extensions_mut().insert(ConnectInfo(viewer));
            let response = match server.app.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            return Ok(response.map(|body| body.map_err(io::Error::other).boxed_unsync()));
        }
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        server.metrics.refused(response.status().as_u16());
    }
    Ok(response
        .map(|payload| MediaBody::new(payload, &pace, server.metrics.bytes.clone()).boxed_unsync()))
}

/// A stream that gives back what was read from it before, and tells how it goes.
struct Watched<S> {
    inner: S,
    received: Bytes,
    pace: Arc<Pace>,
    guard: FrameGuard,
    /// Held as long as the socket is open, also after an upgrade.
    _ticket: Ticket,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.received.is_empty() {
            ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        } else {
            let count = self.received.len().min(buffer.remaining());
            buffer.put_slice(&self.received[..count]);
            self.received.advance(count);
        }
        let fresh = &buffer.filled()[before..];
        Poll::Ready(self.guard.handle_received(fresh, std::time::Instant::now()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.note(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S> Watched<S> {
    fn note(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(count)) => self.pace.wrote(*count),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.pace.is_full(),
        }
    }
}

/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;

/// Streams that a peer may reset before they were looked at, and that we may reset for its errors.
const RESETS_MAX: usize = 32;

/// Headers of a request.
const HEADERS_MAX: usize = 64;

/// Bytes buffered for one HTTP/2 stream.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
