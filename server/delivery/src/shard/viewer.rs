//! One viewer of a growing object: its socket and its own place in the log.
//!
//! In → Out: the object's chunks → bytes on one non-blocking socket, in one `send` for one new chunk and one vectored write
//! for several; where it stopped is remembered as an index and an offset, nothing is copied.
//! Spec: RFC 9112, "Chunked Transfer Coding" (7.1).

use std::io::{self, IoSlice, Read as _, Write as _};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use mio::net::TcpStream;

use super::{Framing, Limits, Ticket};
use crate::growing::{Chunk, Growing, Progress, Reader, State};

/// A socket that follows a growing object.
pub(super) struct Viewer {
    pub(super) socket: TcpStream,
    pub(super) reader: Reader,
    pub(super) ticket: Ticket,
    /// Group of viewers of the same object, and the place in its list.
    pub(super) group: usize,
    pub(super) slot: usize,
    /// Whether it waits in the queue of viewers with a backlog.
    pub(super) queued: bool,
    /// Bytes that arrived after the request, for the next one.
    pub(super) pipelined: Vec<u8>,
    /// The peer has closed its sending side; it gets this object and no other.
    pub(super) half_closed: bool,
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

/// What a viewer starts with.
pub(super) struct Start {
    pub(super) head: Bytes,
    pub(super) index: usize,
    pub(super) framing: Framing,
    pub(super) pipelined: Vec<u8>,
    pub(super) now: Instant,
}

impl Viewer {
    pub(super) fn new(socket: TcpStream, reader: Reader, ticket: Ticket, start: Start) -> Self {
        Self {
            socket,
            reader,
            ticket,
            group: 0,
            slot: 0,
            queued: false,
            pipelined: start.pipelined,
            half_closed: false,
            head: start.head,
            framing: start.framing,
            index: start.index,
            offset: 0,
            tail: 0,
            blocked: None,
            joined: start.now,
            sent: 0,
        }
    }

    pub(super) fn object(&self) -> &Growing {
        self.reader.object()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Whether its answer can be followed by another on the same connection.
    pub(super) fn can_continue(&self) -> bool {
        self.ticket.keep_alive && !self.half_closed && self.framing == Framing::Chunked
    }

    /// The socket can take bytes again.
    pub(super) fn unblock(&mut self) {
        self.blocked = None;
    }

    /// Sends what is new, at most [`PUSH_BYTES_MAX`] or so. Adds the bytes sent to `bytes`.
    pub(super) fn push(&mut self, progress: Progress, bytes: &mut u64) -> Outcome {
        if progress.state == State::Aborted {
            return Outcome::Gone;
        }
        let mut budget = PUSH_BYTES_MAX;
        loop {
            let result = match self.only_chunk(progress) {
                Some(chunk) => (&self.socket).write(chunk),
                None => self.write_vectored(progress),
            };
            match result {
                Ok(0) => {
                    return if progress.state == State::Complete {
                        Outcome::Finished
                    } else {
                        Outcome::Current
                    };
                }
                Ok(count) => {
                    *bytes += count as u64;
                    self.sent += count as u64;
                    self.advance(count);
                    if self.is_current(progress) {
                        return if progress.state == State::Complete {
                            Outcome::Finished
                        } else {
                            Outcome::Current
                        };
                    }
                    budget = budget.saturating_sub(count);
                    if budget == 0 {
                        return Outcome::More;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked.get_or_insert(Blocked {
                        since: Instant::now(),
                        sent: self.sent,
                    });
                    return Outcome::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Outcome::Gone,
            }
        }
    }

    /// Takes what the peer sent. `false` when the connection has failed.
    pub(super) fn receive(&mut self, limits: &Limits) -> bool {
        let mut buffer = [0; 2048];
        while self.pipelined.len() < limits.pipelined_max {
            match self.socket.read(&mut buffer) {
                Ok(0) => {
                    self.half_closed = true;
                    return true;
                }
                Ok(count) => self.pipelined.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Why this viewer must go, if it must: too far behind, or reading too slowly.
    pub(super) fn overdue(&self, now: Instant, limits: &Limits) -> Option<&'static str> {
        let blocked = self.blocked?;
        let waiting_since = self
            .object()
            .chunk(self.index)
            .map_or(blocked.since, |chunk| chunk.appended().max(self.joined));
        if now.saturating_duration_since(waiting_since) > limits.behind_max {
            return Some("behind");
        }
        let stalled = now.saturating_duration_since(blocked.since);
        let due = stalled.as_secs().saturating_mul(limits.rate_min);
        (stalled > limits.rate_grace && self.sent - blocked.sent < due).then_some("rate")
    }

    /// Closes so that the peer cannot take what it has for the whole.
    pub(super) fn reset(self) {
        // Failing to set the option leaves an ordinary close, which a chunked body without its last chunk survives.
        let _ = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
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
            self.object().chunk(self.index)?
        } else {
            return None;
        };
        Some(&self.bytes_of(chunk)[self.offset..])
    }

    fn write_vectored(&self, progress: Progress) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let (mut used, mut total) = (0, 0);
        if !self.head.is_empty() {
            slices[0] = IoSlice::new(&self.head);
            (used, total) = (1, self.head.len());
        }
        let mut index = self.index;
        while used < SLICES_MAX - 1 && index < progress.chunks && total < PUSH_BYTES_MAX {
            let Some(chunk) = self.object().chunk(index) else {
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
            (&self.socket).write_vectored(&slices[..used])
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
