//! One HTTP/1.x connection without TLS: the fast way to viewers.
//!
//! In → Out: requests → answers. Complete objects are written here, under a minimum rate. A growing object takes the socket to a
//! fan-out shard, and this task ends; another begins when the socket comes back. The application is called as a service.
//! Connections that need more than that (bodies in chunks, upgrades, HTTP/2) move to hyper with the bytes read so far.
//! Spec: RFC 9112; design "Segments".

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt as _;

use crate::head::{self, BodyKind, Delimited, Head};
use crate::hint;
use crate::pace::RateWindow;
use crate::respond::{self, Follow, NO_STORE, Payload};
use crate::route::Route;
use crate::server::{Permit, Server};
use crate::shard::{Framing, Joiner};

/// What belongs to a connection wherever its socket is.
pub(crate) struct Ticket {
    pub(crate) server: Arc<Server>,
    pub(crate) peer: SocketAddr,
    pub(crate) keep_alive: bool,
    fresh: bool,
    _permit: Permit,
}

impl Ticket {
    pub(crate) fn new(server: Arc<Server>, peer: SocketAddr, permit: Permit) -> Self {
        Self {
            server,
            peer,
            keep_alive: true,
            fresh: true,
            _permit: permit,
        }
    }
}

/// Serves a connection, which has received `received` so far.
pub(crate) async fn serve(stream: TcpStream, received: Vec<u8>, ticket: Ticket) {
    let buffer = BytesMut::from(&received[..]);
    let mut connection = Connection {
        stream,
        buffer,
        ticket,
    };
    loop {
        match connection.exchange().await {
            Ok(Next::Request) => {}
            Ok(Next::Close) => return connection.close().await,
            Ok(Next::Bridge) => {
                let Connection {
                    stream,
                    buffer,
                    ticket,
                } = connection;
                return Box::pin(crate::bridge::serve_plain(stream, buffer.freeze(), ticket)).await;
            }
            Ok(Next::Follow(follow)) => return connection.follow(*follow),
            Err(error) => {
                tracing::trace!(%error, peer = %connection.ticket.peer, "connection");
                return;
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    ticket: Ticket,
}

/// What follows an exchange.
enum Next {
    Request,
    Close,
    Bridge,
    Follow(Box<FollowStart>),
}

/// An answer that has begun: its head, and what it follows.
pub(crate) struct FollowStart {
    /// The response's head, and bytes that come before the first chunk.
    pub(crate) head: Bytes,
    pub(crate) framing: Framing,
    pub(crate) follow: Follow,
}

/// What has been received.
enum Received {
    Head(Box<Head>),
    Bridge,
    Nothing,
    Refused(StatusCode),
}

impl Connection {
    /// One request and its answer.
    async fn exchange(&mut self) -> io::Result<Next> {
        let head = match self.receive_head().await? {
            Received::Head(head) => head,
            Received::Bridge => return Ok(Next::Bridge),
            Received::Nothing => return Ok(Next::Close),
            Received::Refused(status) => {
                self.ticket.keep_alive = false;
                // Whether it was a HEAD request is not known: an empty body fits both.
                let mut response =
                    respond::refuse(status, NO_STORE).map(|_| Payload::Whole(Vec::new()));
                response
                    .headers_mut()
                    .insert(CONTENT_LENGTH, HeaderValue::from(0));
                self.answer(&Method::GET, Version::HTTP_11, response)
                    .await?;
                return Ok(Next::Close);
            }
        };
        let length = match head.body {
            BodyKind::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
            BodyKind::Streamed => return Ok(Next::Bridge),
        };
        if length > self.ticket.server.config.body_bytes_buffered {
            return Ok(Next::Bridge);
        }
        self.buffer.advance(head.bytes);
        let body = self.receive_body(length).await?;
        self.ticket.fresh = false;
        self.ticket.keep_alive = head.keep_alive && !self.ticket.server.shutdown.is_cancelled();
        self.dispatch(head.parts, body).await
    }

    async fn dispatch(&mut self, parts: Parts, body: Bytes) -> io::Result<Next> {
        let (method, version) = (parts.method.clone(), parts.version);
        let server = Arc::clone(&self.ticket.server);
        match Route::parse(parts.uri.path()) {
            _ if parts.uri.path() == "*" && method == Method::OPTIONS => {
                self.answer(
                    &method,
                    version,
                    respond::refuse(StatusCode::NO_CONTENT, NO_STORE),
                )
                .await
            }
            Route::Live { broadcast, target } => {
                let mut response = Box::pin(server.live(&parts, broadcast, target)).await;
                let socket = self.stream.as_fd();
                hint::stamp(target, &parts.headers, socket, response.headers_mut());
                self.answer(&method, version, response).await
            }
            Route::Refused(status) => {
                self.answer(&method, version, respond::refuse(status, respond::SHORT))
                    .await
            }
            Route::App => {
                let trusted = &server.config.trusted_proxies;
                let viewer = trusted.viewer(self.ticket.peer, &parts.headers);
                let mut request = Request::from_parts(parts, axum::body::Body::from(body));
                request.extensions_mut().insert(ConnectInfo(viewer));
                let response = match Box::pin(server.app.clone().oneshot(request)).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                Box::pin(self.answer_app(&method, version, response)).await
            }
        }
    }

    /// Reads until a head is complete, the peer is gone or a limit is reached.
    async fn receive_head(&mut self) -> io::Result<Received> {
        let server = Arc::clone(&self.ticket.server);
        let config = &server.config;
        let patience = if self.ticket.fresh {
            config.idle_timeout
        } else {
            config.keep_alive
        };
        let mut deadline = Instant::now() + patience;
        let mut begun = false;
        loop {
            if !self.buffer.is_empty() {
                if !std::mem::replace(&mut begun, true) {
                    deadline = Instant::now() + config.head_timeout;
                }
                match head::is_http2(&self.buffer) {
                    Some(true) => return Ok(Received::Bridge),
                    Some(false) => match head::parse(&self.buffer, config.head_bytes_max) {
                        Ok(Some(head)) => return Ok(Received::Head(Box::new(head))),
                        Ok(None) => {}
                        Err(status) => return Ok(Received::Refused(status)),
                    },
                    None => {}
                }
            }
            let readable = async {
                tokio::select! {
                    () = server.shutdown.cancelled() => Ok(false),
                    ready = self.stream.readable() => ready.map(|()| true),
                }
            };
            match timeout_at(deadline, readable).await {
                Ok(Ok(true)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) if begun => return Ok(Received::Refused(StatusCode::REQUEST_TIMEOUT)),
                Ok(Ok(false)) | Err(_) => return Ok(Received::Nothing),
            }
            if !self.receive()? {
                return Ok(Received::Nothing);
            }
        }
    }

    /// Takes what the socket has. `false` at the end of the stream.
    fn receive(&mut self) -> io::Result<bool> {
        // Reserved only now: a connection that waits for its next request holds no buffer.
        self.buffer.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.buffer) {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn receive_body(&mut self, length: usize) -> io::Result<Bytes> {
        let deadline = Instant::now() + self.ticket.server.config.idle_timeout;
        while self.buffer.len() < length {
            timeout_at(deadline, self.stream.readable()).await??;
            if !self.receive()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let body = self.buffer.split_to(length).freeze();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(body)
    }

    async fn answer(
        &mut self,
        method: &Method,
        version: Version,
        response: Response<Payload>,
    ) -> io::Result<Next> {
        let (parts, payload) = response.into_parts();
        if parts.status.is_client_error() || parts.status.is_server_error() {
            self.ticket.server.metrics.refused(parts.status.as_u16());
        }
        let next = if self.ticket.keep_alive {
            Next::Request
        } else {
            Next::Close
        };
        match payload {
            Payload::Whole(slices) => {
                let head = head::write(
                    parts.status,
                    &parts.headers,
                    Delimited::AsIs,
                    self.ticket.keep_alive,
                );
                let mut queue = VecDeque::from([Bytes::from(head)]);
                if method != Method::HEAD {
                    queue.extend(slices);
                }
                self.write(queue).await?;
                Ok(next)
            }
            Payload::Growing(follow) => {
                let (head, framing) =
                    growing_head(&parts, version, self.ticket.keep_alive, &follow);
                if method == Method::HEAD {
                    self.write(VecDeque::from([head])).await?;
                    return Ok(next);
                }
                Ok(Next::Follow(Box::new(FollowStart {
                    head,
                    framing,
                    follow,
                })))
            }
        }
    }

    /// Sends an application's answer; bodies of unknown length go in chunks.
    async fn answer_app(
        &mut self,
        method: &Method,
        version: Version,
        response: Response<axum::body::Body>,
    ) -> io::Result<Next> {
        let (mut parts, mut body) = response.into_parts();
        parts.headers.remove(TRANSFER_ENCODING);
        let delimited = app_delimited(
            &mut parts.headers,
            parts.status,
            version,
            body.size_hint().exact(),
        );
        self.ticket.keep_alive &= delimited != Delimited::Close;
        let framing = if delimited == Delimited::Chunked {
            Framing::Chunked
        } else {
            Framing::Bare
        };
        let head = head::write(
            parts.status,
            &parts.headers,
            delimited,
            self.ticket.keep_alive,
        );
        let mut queue = VecDeque::from([Bytes::from(head)]);
        let bodiless = method == Method::HEAD || is_bodiless(parts.status);
        while let Some(frame) = if bodiless { None } else { body.frame().await } {
            let frame = frame.map_err(|error| io::Error::other(error.into_inner()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if framing == Framing::Chunked && !data.is_empty() {
                queue.push_back(format!("{:x}\r\n", data.len()).into());
                queue.extend([data, Bytes::from_static(b"\r\n")]);
            } else {
                queue.push_back(data);
            }
            self.write(std::mem::take(&mut queue)).await?;
        }
        if framing == Framing::Chunked && !bodiless {
            queue.push_back(Bytes::from_static(b"0\r\n\r\n"));
        }
        self.write(queue).await?;
        Ok(if self.ticket.keep_alive {
            Next::Request
        } else {
            Next::Close
        })
    }

    /// Writes everything, as long as the peer takes it at the least rate.
    async fn write(&mut self, mut queue: VecDeque<Bytes>) -> io::Result<()> {
        let config = &self.ticket.server.config;
        let mut window = RateWindow::new(std::time::Instant::now(), 0);
        let mut sent = 0_u64;
        queue.retain(|bytes| !bytes.is_empty());
        while !queue.is_empty() {
            match self.try_write(&queue) {
                Ok(count) => {
                    sent += count as u64;
                    advance(&mut queue, count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Whether it was time or room that came, the window tells if it was enough.
                    let _ = timeout_at(window.ends(config).into(), self.stream.writable()).await;
                    if window.is_too_slow(std::time::Instant::now(), sent, config) {
                        self.ticket.server.metrics.cut("rate");
                        let _ =
                            socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.ticket.server.metrics.bytes.increment(sent);
        Ok(())
    }

    fn try_write(&self, queue: &VecDeque<Bytes>) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        for (slice, bytes) in slices.iter_mut().zip(queue) {
            *slice = IoSlice::new(bytes);
        }
        self.stream
            .try_write_vectored(&slices[..queue.len().min(SLICES_MAX)])
    }

    /// Gives the socket to a fan-out shard.
    fn follow(self, start: FollowStart) {
        let Connection {
            stream,
            buffer,
            ticket,
        } = self;
        let server = Arc::clone(&ticket.server);
        let Some(shards) = server.shards() else {
            return;
        };
        match stream.into_std() {
            Ok(socket) => shards.adopt(Joiner {
                socket,
                start,
                pipelined: buffer.to_vec(),
                ticket,
            }),
            Err(error) => tracing::warn!(%error, "a viewer's socket cannot be handed over"),
        }
    }

    /// Closes so that the peer still reads the last answer, whatever it was sending.
    async fn close(mut self) {
        if socket2::SockRef::from(&self.stream)
            .shutdown(std::net::Shutdown::Write)
            .is_err()
        {
            return;
        }
        let patience = if self.ticket.server.shutdown.is_cancelled() {
            LINGER_STOPPING
        } else {
            LINGER
        };
        let deadline = Instant::now() + patience;
        let mut drained = 0;
        while drained < LINGER_BYTES
            && timeout_at(deadline, self.stream.readable())
                .await
                .is_ok_and(|ready| ready.is_ok())
        {
            self.buffer.clear();
            if !matches!(self.receive(), Ok(true)) {
                return;
            }
            drained += self.buffer.len();
        }
    }
}

/// The next request of a viewer, if all of it is there and it is for a growing object; then it is taken from `received`.
/// Any other request is left as it is.
pub(crate) fn follow_on(
    ticket: &mut Ticket,
    received: &mut Vec<u8>,
    socket: BorrowedFd<'_>,
) -> Option<FollowStart> {
    let server = &ticket.server;
    let head = head::parse(received, server.config.head_bytes_max).ok()??;
    if head.body != BodyKind::Length(0) || head.parts.method != Method::GET {
        return None;
    }
    let Route::Live { broadcast, target } = Route::parse(head.parts.uri.path()) else {
        return None;
    };
    let mut response = respond::growing_now(&server.source, &head.parts, broadcast, target)?;
    hint::stamp(target, &head.parts.headers, socket, response.headers_mut());
    let (parts, Payload::Growing(follow)) = response.into_parts() else {
        return None;
    };
    received.drain(..head.bytes);
    ticket.keep_alive = head.keep_alive && !server.shutdown.is_cancelled();
    let (head, framing) = growing_head(&parts, head.parts.version, ticket.keep_alive, &follow);
    Some(FollowStart {
        head,
        framing,
        follow,
    })
}

/// A growing answer's head, with what of its body is there before the first chunk.
fn growing_head(
    parts: &http::response::Parts,
    version: Version,
    keep_alive: bool,
    follow: &Follow,
) -> (Bytes, Framing) {
    let (framing, delimited) = match version {
        Version::HTTP_11 => (Framing::Chunked, Delimited::Chunked),
        _ => (Framing::Bare, Delimited::Close),
    };
    let mut head = head::write(parts.status, &parts.headers, delimited, keep_alive);
    if !follow.first.is_empty() {
        frame(&mut head, &follow.first, framing);
    }
    (head.into(), framing)
}

/// How an application's body is delimited; sets the length where it is known.
fn app_delimited(
    headers: &mut HeaderMap,
    status: StatusCode,
    version: Version,
    exact: Option<u64>,
) -> Delimited {
    if is_bodiless(status) || headers.contains_key(CONTENT_LENGTH) {
        return Delimited::AsIs;
    }
    match exact {
        Some(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            Delimited::AsIs
        }
        None if version == Version::HTTP_11 => Delimited::Chunked,
        None => Delimited::Close,
    }
}

fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

fn frame(out: &mut Vec<u8>, bytes: &[u8], framing: Framing) {
    match framing {
        Framing::Chunked => {
            out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Bare => out.extend_from_slice(bytes),
    }
}

fn advance(queue: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(front) = queue.front_mut() {
        if front.len() > count {
            front.advance(count);
            return;
        }
        count -= front.len();
        queue.pop_front();
    }
}

/// Room made for one read.
const READ_BYTES: usize = 2 * 1024;

/// Buffers of one vectored write.
const SLICES_MAX: usize = 64;

/// How long, and for how many bytes, a closed connection is still read.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_STOPPING: Duration = Duration::from_millis(100);
const LINGER_BYTES: usize = 64 * 1024;
