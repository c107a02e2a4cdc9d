//! The WebSocket of broadcaster and moderators: micro-beats down, moderation up.
//!
//! In → Out: a one-time ticket and the page's own origin → the snapshot line, then messages; commands → inputs of the room.
//! Nothing here trusts a cookie. Messages are at most 4 KiB, twenty a second; who reads too slowly gets a fresh snapshot, who does
//! not read at all is cut.
//! Spec: docs/ix.md, "The socket"; RFC 6455; cases IX-04, IX-05, IX-21.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use media::BroadcastId;
use room::wire::{self, Command};
use room::{Actor, Draft, Input, Name, Prefix};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};

use crate::api;
use crate::collector::prefix_of;
use crate::room_task::Message;
use crate::rooms::{Handle, Rooms};

/// Tickets that wait to be used, and who may ask for tokens; both bounded.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    issued: Mutex<BTreeMap<String, (BroadcastId, Actor, Instant)>>,
    minted: Mutex<BTreeMap<Prefix, (u32, Instant)>>,
}

impl Tickets {
    const LIFE: Duration = Duration::from_secs(30);
    const ISSUED_MAX: usize = 4_096;
    /// Tokens for one network in ten seconds.
    const MINTED_MAX: u32 = 10_000;
    const MINT_WINDOW: Duration = Duration::from_secs(10);
    const PREFIXES_MAX: usize = 8_192;

    /// A ticket for one use; `None` if too many wait.
    pub(crate) fn issue(&self, room: &BroadcastId, actor: Actor) -> Option<String> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.len() >= Self::ISSUED_MAX {
            issued.retain(|_, (_, _, at)| at.elapsed() < Self::LIFE);
        }
        if issued.len() >= Self::ISSUED_MAX {
            return None;
        }
        let ticket = format!("{:032x}", rand::random::<u128>());
        issued.insert(ticket.clone(), (room.clone(), actor, Instant::now()));
        Some(ticket)
    }

    /// Takes a ticket; it is good once.
    fn redeem(&self, room: &BroadcastId, ticket: &str) -> Option<Actor> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let (issued_for, actor, at) = issued.remove(ticket)?;
        (issued_for == *room && at.elapsed() < Self::LIFE).then_some(actor)
    }

    /// Whether this network may have another viewer token.
    pub(crate) fn may_mint(&self, address: IpAddr) -> bool {
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        if minted.len() >= Self::PREFIXES_MAX {
            minted.retain(|_, (_, since)| since.elapsed() < Self::MINT_WINDOW);
        }
        if minted.len() >= Self::PREFIXES_MAX {
            return false;
        }
        let (count, since) = minted
            .entry(prefix_of(address))
            .or_insert((0, Instant::now()));
        if since.elapsed() >= Self::MINT_WINDOW {
            (*count, *since) = (0, Instant::now());
        }
        *count += 1;
        *count <= Self::MINTED_MAX
    }
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    ticket: String,
}

/// `GET …/ws?ticket=…`.
pub(crate) async fn open(
    State(rooms): State<Rooms>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let room = match api::room_of(&rooms, &id) {
        Ok(room) => room,
        Err(response) => return *response,
    };
    // The origin first: a stranger's page must not be able to burn a ticket.
    if !is_own_origin(&headers) {
        return api::error(
            StatusCode::FORBIDDEN,
            "origin",
            "sockets are for this server's own pages only",
        );
    }
    let Some(actor) = rooms.inner().tickets.redeem(&room.id, &asked.ticket) else {
        return api::error(
            StatusCode::FORBIDDEN,
            "ticket",
            "this ticket is unknown, used or too old: ask for another",
        );
    };
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(MESSAGE_BYTES_MAX)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .on_upgrade(move |socket| serve(socket, room, actor))
}

const MESSAGE_BYTES_MAX: usize = 4 * 1024;
const WRITE_BYTES_MAX: usize = 256 * 1024;
/// A reader that takes nothing for so long is cut.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames a second that a peer may send, pings included.
const FRAMES_PER_SECOND: u32 = 20;

/// Whether the page that asks is ours: its origin is the host that it asks.
fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &axum::http::HeaderValue| value.to_str().ok())
    };
    let (Some(origin), Some(host)) = (text(header::ORIGIN), text(header::HOST)) else {
        return false;
    };
    let own = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    own.is_some_and(|own| own.eq_ignore_ascii_case(host))
}

/// Tells the room to count its sockets again, whatever way this one ends.
struct Leaving(Arc<Handle>);

impl Drop for Leaving {
    fn drop(&mut self) {
        // A full inbox: the next socket's coming or going counts again.
        let _ = self.0.inbox.try_send(Message::Staff(None));
    }
}

async fn serve(mut socket: WebSocket, room: Arc<Handle>, actor: Actor) {
    let leaving = Leaving(Arc::clone(&room));
    let Some(mut messages) = greet(&mut socket, &room).await else {
        return;
    };
    let (mut frames, mut second) = (0_u32, Instant::now());
    loop {
        tokio::select! {
            message = messages.recv() => {
                let alive = match message {
                    Ok(text) => send(&mut socket, &text).await,
                    // Too slow for every message: the newest state instead of a queue.
                    Err(RecvError::Lagged(_)) => match greet(&mut socket, &room).await {
                        Some(fresh) => {
                            messages = fresh;
                            true
                        }
                        None => false,
                    },
                    Err(RecvError::Closed) => false,
                };
                if !alive {
                    break;
                }
            }
            frame = socket.recv() => {
                if second.elapsed() >= Duration::from_secs(1) {
                    (frames, second) = (0, Instant::now());
                }
                frames += 1;
                if frames > FRAMES_PER_SECOND {
                    close(&mut socket, close_code::POLICY, "too many messages").await;
                    break;
                }
                match frame {
                    Some(Ok(Frame::Text(text))) => {
                        if let Err(why) = take(&room, actor, text.as_bytes()) {
                            let text = serde_json::json!({ "k": "failed", "message": why }).to_string();
                            if !send(&mut socket, &text).await {
                                break;
                            }
                        }
                    }
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                    Some(Ok(Frame::Binary(_))) => {
                        close(&mut socket, close_code::UNSUPPORTED, "text only").await;
                        break;
                    }
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
                }
            }
        }
    }
    // Gone from the count before the room counts again.
    drop(messages);
    drop(leaving);
}

/// Sends where the room stands; what follows it. `None` if the room or the peer is gone.
async fn greet(socket: &mut WebSocket, room: &Handle) -> Option<broadcast::Receiver<Arc<str>>> {
    let (reply, greeting) = oneshot::channel();
    room.inbox.send(Message::Staff(Some(reply))).await.ok()?;
    let (first, messages) = greeting.await.ok()?;
    for line in first {
        if !send(socket, &line).await {
            return None;
        }
    }
    Some(messages)
}

async fn send(socket: &mut WebSocket, text: &str) -> bool {
    let sent = tokio::time::timeout(WRITE_TIMEOUT, socket.send(Frame::Text(text.into()))).await;
    matches!(sent, Ok(Ok(())))
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = Frame::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    }));
    // The peer may be gone already.
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.send(frame)).await;
}

/// Does one command, or says why not.
fn take(room: &Handle, actor: Actor, message: &[u8]) -> Result<(), String> {
    let message = match wire::parse_command(message).map_err(|why| why.to_string())? {
        Command::Moderate(action) => Message::Input(Box::new(Input::Moderate(actor, action))),
        Command::Comment(id, text, media) => {
            let text = text.map_err(|why| why.to_string())?;
            let Actor::Broadcaster = actor else {
                return Err("moderators comment as viewers, on the watch page".to_owned());
            };
            let name = Name::parse("broadcaster").map_err(|why| why.to_string())?;
            let author = room::ViewerId(0);
            let draft = Draft {
                id,
                author,
                name,
                text,
                media,
                by_broadcaster: true,
            };
            Message::Comment(Box::new(draft), oneshot::channel().0)
        }
    };
    room.inbox
        .try_send(message)
        .map_err(|_| "the room is too busy: try again".to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn own(origin: Option<&str>, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        is_own_origin(&headers)
    }

    #[test]
    fn ix_21_only_the_servers_own_origin_opens_a_socket() {
        assert!(own(Some("http://live.example:8080"), "live.example:8080"));
        assert!(own(Some("https://live.example"), "LIVE.example"));
        for origin in [
            None,
            Some("null"),
            Some("https://evil.example"),
            Some("http://live.example:8080.evil.example"),
            Some("live.example:8080"),
            Some("file://"),
        ] {
            assert!(!own(origin, "live.example:8080"), "{origin:?}");
        }
    }

    #[test]
    fn a_ticket_is_good_once_and_in_its_room() {
        let (show, other) = (
            BroadcastId::parse("show").unwrap(),
            BroadcastId::parse("other").unwrap(),
        );
        let tickets = Tickets::default();
        let ticket = tickets.issue(&show, Actor::Broadcaster).unwrap();
        assert_eq!(tickets.redeem(&show, &ticket), Some(Actor::Broadcaster));
        assert_eq!(tickets.redeem(&show, &ticket), None);
        let ticket = tickets.issue(&show, Actor::Broadcaster).unwrap();
        assert_eq!(tickets.redeem(&other, &ticket), None);
    }

    /// A socket whose room is this test; what it says after the handshake is read by the test or not at all.
    async fn silent() -> (
        tokio::net::TcpStream,
        broadcast::Sender<Arc<str>>,
        oneshot::Receiver<()>,
    ) {
        let (inbox, mut messages) = tokio::sync::mpsc::channel(16);
        let staff = broadcast::Sender::<Arc<str>>::new(64);
        let room = Arc::new(Handle {
            id: BroadcastId::parse("show").unwrap(),
            collector: Arc::new(crate::collector::Collector::new(
                room::IntakePolicy::default(),
            )),
            inbox,
        });
        let source = staff.clone();
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if let Message::Staff(Some(reply)) = message {
                    let _ = reply.send((vec!["the snapshot".into()], source.subscribe()));
                }
            }
        });
        let (ended, end) = oneshot::channel();
        let ended = Arc::new(Mutex::new(Some(ended)));
        let app = axum::Router::new().route(
            "/",
            axum::routing::get(move |upgrade: WebSocketUpgrade| {
                let (room, ended) = (Arc::clone(&room), Arc::clone(&ended));
                async move {
                    upgrade.on_upgrade(async move |socket| {
                        serve(socket, room, Actor::Broadcaster).await;
                        let ended = ended.lock().unwrap().take();
                        let _ = ended.unwrap().send(());
                    })
                }
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        while staff.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        (stream, staff, end)
    }

    /// Sends until the socket's queue is full because its reader takes nothing.
    async fn flood(staff: &broadcast::Sender<Arc<str>>) {
        let big: Arc<str> = "x".repeat(60_000).into();
        for _ in 0..8 {
            // Nobody there: the socket has ended.
            let _ = staff.send(Arc::clone(&big));
        }
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn ix_04_a_reader_that_never_reads_is_cut_after_half_a_minute() {
        let (_stream, staff, mut end) = silent().await;
        tokio::time::pause();
        let mut seconds = 0;
        while end.try_recv().is_err() {
            flood(&staff).await;
            tokio::time::advance(Duration::from_secs(1)).await;
            seconds += 1;
            assert!(seconds < 600, "it is held for ever");
        }
        assert!(seconds >= 30, "cut after {seconds} s");
    }

    #[tokio::test]
    async fn ix_04_a_slow_reader_gets_the_newest_snapshot_instead_of_a_queue() {
        let (mut stream, staff, _end) = silent().await;
        for _ in 0..40 {
            flood(&staff).await;
        }
        let sent = 40 * 8 * 60_000;
        let mut received = Vec::new();
        // The first snapshot is in the first kilobyte.
        let again = |received: &[u8]| {
            let last = received.get(1_000..).unwrap_or_default();
            let last = &last[last.len().saturating_sub(200_000)..];
            String::from_utf8_lossy(last).contains("the snapshot")
        };
        let reading = async {
            let mut buffer = vec![0; 100_000];
            while !again(&received) {
                let count = stream.read(&mut buffer).await.unwrap();
                received.extend_from_slice(&buffer[..count]);
            }
        };
        tokio::time::timeout(Duration::from_mins(1), reading)
            .await
            .unwrap();
        assert!(received.len() < sent, "everything was kept for it");
    }
}
