//! One viewer of growing objects: its socket, and its own place in the log of the object it follows.
//!
//! In → Out: the object's chunks → bytes on one non-blocking socket, in one `send` for one new chunk and one vectored write
//! for several; where it stopped is remembered as an index and an offset, nothing is copied.
//! Between two objects a viewer follows none and waits for its next request.
//! Spec: RFC 9112, "Chunked Transfer Coding" (7.1).

use std::io::{self, IoSlice, Read as _, Write as _};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use mio::net::TcpStream;

use super::{Framing, Limits, Ticket};
use crate::connection::FollowStart;
use crate::growing::{Chunk, Growing, Progress, Reader, State};

/// A socket that follows a growing object, or is about to.
pub(super) struct Viewer {
    pub(super) socket: TcpStream,
    pub(super) ticket: Ticket,
    /// Group of viewers of the same object, and the place in its list.
    pub(super) group: usize,
    pub(super) slot: usize,
    /// Whether it waits in the queue of viewers with a backlog.
    pub(super) queued: bool,
    /// Bytes that arrived after the request, for the next one.
    pub(super) pipelined: Vec<u8>,
    /// The peer has closed its sending side; it gets this object and no other.
    half_closed: bool,
    follows: Follows,
}

enum Follows {
    Object(Place),
    /// Nothing, since then.
    Nothing(Instant),
}

/// Where in which log.
struct Place {
    reader: Reader,
    head: Bytes,
    framing: Framing,
    index: usize,
    offset: usize,
    tail: u8,
    blocked: Option<Blocked>,
    joined: Instant,
    sent: u64,
}

#[derive(Clone, Copy)]
struct Blocked {
    since: Instant,
    sent: u64,
}

/// Where a push left a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Everything there is has been sent.
    Current,
    /// The socket took what it could; it will say when it can take more.
    Blocked,
    /// There is more to send, and it is somebody else's turn.
    More,
    /// The object is complete and all of it is sent.
    Finished,
    /// The object is torn, or the connection is.
    Gone,
}

impl Viewer {
    /// A viewer that follows nothing yet.
    pub(super) fn new(socket: TcpStream, ticket: Ticket, pipelined: Vec<u8>, now: Instant) -> Self {
        Self {
            socket,
            ticket,
            group: 0,
            slot: 0,
            queued: false,
            pipelined,
            half_closed: false,
            follows: Follows::Nothing(now),
        }
    }

    /// Begins to follow an object.
    pub(super) fn start(&mut self, start: FollowStart, now: Instant) {
        self.follows = Follows::Object(Place {
            reader: start.follow.reader,
            head: start.head,
            framing: start.framing,
            index: start.follow.index,
            offset: 0,
            tail: 0,
            blocked: None,
            joined: now,
            sent: 0,
        });
    }

    /// Lets go of the object. `false` if no other answer can follow on this connection.
    pub(super) fn park(&mut self, now: Instant) -> bool {
        let framing = match &self.follows {
            Follows::Object(place) => place.framing,
            Follows::Nothing(_) => Framing::Chunked,
        };
        self.follows = Follows::Nothing(now);
        let open = self.ticket.keep_alive && !self.half_closed;
        open && framing == Framing::Chunked && !self.ticket.server.shutdown.is_cancelled()
    }

    pub(super) fn object(&self) -> Option<&std::sync::Arc<Growing>> {
        self.place().map(|place| place.reader.object())
    }

    /// Whether it follows nothing.
    pub(super) fn is_parked(&self) -> bool {
        self.place().is_none()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.place().is_some_and(|place| place.blocked.is_some())
    }

    /// The socket can take bytes again. `true` if that was waited for.
    pub(super) fn unblock(&mut self) -> bool {
        match &mut self.follows {
            Follows::Object(place) => place.blocked.take().is_some(),
            Follows::Nothing(_) => false,
        }
    }

    /// Sends what is new, at most [`PUSH_BYTES_MAX`] or so. Adds the bytes sent to `bytes`.
    pub(super) fn push(&mut self, progress: Progress, bytes: &mut u64) -> Outcome {
        match &mut self.follows {
            Follows::Object(place) => place.push(&self.socket, progress, bytes),
            Follows::Nothing(_) => Outcome::Current,
        }
    }

    /// Takes what the peer sent; `ended` if the peer will send no more. `false` when the connection is of no use any more.
    pub(super) fn receive(&mut self, ended: bool, limits: &Limits) -> bool {
        let mut buffer = [0; 2048];
        while self.pipelined.len() < limits.pipelined_max {
            match self.socket.read(&mut buffer) {
                Ok(0) => {
                    self.half_closed = true;
                    break;
                }
                Ok(count) => {
                    self.pipelined.extend_from_slice(&buffer[..count]);
                    // A short read has emptied the socket, and whatever comes later is a new event.
                    if count < buffer.len() && !ended {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        !(self.half_closed && self.is_parked())
    }

    /// Why this viewer must go, if it must: too far behind, reading too slowly, or silent for too long.
    pub(super) fn overdue(&self, now: Instant, limits: &Limits) -> Option<&'static str> {
        let place = match &self.follows {
            Follows::Object(place) => place,
            Follows::Nothing(since) => {
                let over = now.saturating_duration_since(*since) > limits.keep_alive;
                return (over || self.ticket.server.shutdown.is_cancelled()).then_some("idle");
            }
        };
        let blocked = place.blocked?;
        let waiting = place.reader.object().chunk(place.index);
        let waiting_since =
            waiting.map_or(blocked.since, |chunk| chunk.appended().max(place.joined));
        if now.saturating_duration_since(waiting_since) > limits.behind_max {
            return Some("behind");
        }
        let stalled = now.saturating_duration_since(blocked.since);
        let due = stalled.as_secs().saturating_mul(limits.rate_min);
        (stalled > limits.rate_grace && place.sent - blocked.sent < due).then_some("rate")
    }

    /// Closes; if it followed something, so that the peer cannot take what it has for the whole.
    pub(super) fn close(self) {
        if !self.is_parked() {
            // Failing to set the option leaves an ordinary close, which a chunked body without its last chunk survives.
            let _ = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        }
    }

    fn place(&self) -> Option<&Place> {
        match &self.follows {
            Follows::Object(place) => Some(place),
            Follows::Nothing(_) => None,
        }
    }
}

impl Place {
    fn push(&mut self, mut socket: &TcpStream, progress: Progress, bytes: &mut u64) -> Outcome {
        if progress.state == State::Aborted {
            return Outcome::Gone;
        }
        let mut budget = PUSH_BYTES_MAX;
        loop {
            let result = match self.only_chunk(progress) {
                Some(chunk) => socket.write(chunk),
                None => self.write_vectored(socket, progress),
            };
            match result {
                Ok(0) => return self.up_to_date(progress),
                Ok(count) => {
                    *bytes += count as u64;
                    self.sent += count as u64;
                    self.advance(count);
                    if self.is_current(progress) {
                        return self.up_to_date(progress);
                    }
                    budget = budget.saturating_sub(count);
                    if budget == 0 {
                        return Outcome::More;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let sent = self.sent;
                    self.blocked.get_or_insert_with(|| Blocked {
                        since: Instant::now(),
                        sent,
                    });
                    return Outcome::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Outcome::Gone,
            }
        }
    }

    fn up_to_date(&self, progress: Progress) -> Outcome {
        let complete = progress.state == State::Complete && self.is_current(progress);
        if complete {
            Outcome::Finished
        } else {
            Outcome::Current
        }
    }

    fn is_current(&self, progress: Progress) -> bool {
        let tail_due =
            progress.state == State::Complete && usize::from(self.tail) < self.tail_bytes().len();
        self.head.is_empty() && self.index >= progress.chunks && !tail_due
    }

    /// The bytes to send if they are the rest of exactly one chunk.
    fn only_chunk(&self, progress: Progress) -> Option<&[u8]> {
        let alone = self.head.is_empty()
            && self.index + 1 == progress.chunks
            && progress.state == State::Open;
        let chunk = if alone {
            self.reader.object().chunk(self.index)?
        } else {
            return None;
        };
        Some(&self.bytes_of(chunk)[self.offset..])
    }

    fn write_vectored(&self, mut socket: &TcpStream, progress: Progress) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let (mut used, mut total) = (0, 0);
        if !self.head.is_empty() {
            slices[0] = IoSlice::new(&self.head);
            (used, total) = (1, self.head.len());
        }
        let mut index = self.index;
        while used < SLICES_MAX - 1 && index < progress.chunks && total < PUSH_BYTES_MAX {
            let Some(chunk) = self.reader.object().chunk(index) else {
                break;
            };
            let skip = if index == self.index { self.offset } else { 0 };
            let bytes = &self.bytes_of(chunk)[skip..];
            slices[used] = IoSlice::new(bytes);
            used += 1;
            total += bytes.len();
            index += 1;
        }
        let tail = &self.tail_bytes()[usize::from(self.tail)..];
        if index >= progress.chunks && progress.state == State::Complete && !tail.is_empty() {
            slices[used] = IoSlice::new(tail);
            used += 1;
        }
        if used == 0 {
            Ok(0)
        } else {
            socket.write_vectored(&slices[..used])
        }
    }

    fn advance(&mut self, mut count: usize) {
        let from_head = count.min(self.head.len());
        self.head.advance(from_head);
        if self.head.is_empty() {
            // The head may be a slice of a larger buffer: let go of it.
            self.head = Bytes::new();
        }
        count -= from_head;
        while count > 0 {
            let Some(chunk) = self.reader.object().chunk(self.index) else {
                break;
            };
            let left = self.bytes_of(chunk).len() - self.offset;
            if count < left {
                self.offset += count;
                return;
            }
            count -= left;
            self.index += 1;
            self.offset = 0;
        }
        self.tail += u8::try_from(count).unwrap_or(u8::MAX);
    }

    fn bytes_of<'a>(&self, chunk: &'a Chunk) -> &'a [u8] {
        match self.framing {
            Framing::Chunked => chunk.framed(),
            Framing::Bare => chunk.bare_slice(),
        }
    }

    fn tail_bytes(&self) -> &'static [u8] {
        match self.framing {
            Framing::Chunked => b"0\r\n\r\n",
            Framing::Bare => b"",
        }
    }
}

/// About how much one viewer may take in one turn, so that a crowd of joiners does not delay the live edge of the others.
const PUSH_BYTES_MAX: usize = 128 * 1024;

/// Buffers of one vectored write: a head, chunks, a tail.
const SLICES_MAX: usize = 64;
