//! HTTP/1.1 responses as they arrive, for viewers that judge them: exact about how a body ends.
//!
//! In → Out: bytes of a connection → head, body pieces (borrowed, never copied), end.
//! Spec: RFC 9112, "Message Body Length" (6.3), "Chunked Transfer Coding" (7.1).

use crate::viewer::Head;

/// The longest head, and the longest chunk-size line.
const HEAD_MAX: usize = 16 << 10;

/// Why bytes are not an HTTP response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Http1Error {
    /// The head is too long or not a head.
    #[error("the response head cannot be read")]
    Head,
    /// A chunk-size line or the end of a chunk is wrong.
    #[error("the chunked coding is broken")]
    Chunk,
    /// Bytes where no response is expected.
    #[error("bytes beyond the response")]
    Beyond,
}

/// The next piece of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// Status and headers.
    Head(Head),
    /// A piece of the body.
    Body(&'a [u8]),
    /// The body is over, cleanly.
    End,
}

/// Reads the responses of one connection, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    state: State,
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No request is out.
    #[default]
    Idle,
    Head,
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    UntilClose,
}

impl Reader {
    /// A request was sent: a response is expected.
    pub fn expect(&mut self) {
        self.state = State::Head;
        self.line.clear();
    }

    /// Whether a response is expected or under way.
    pub fn is_busy(&self) -> bool {
        self.state != State::Idle
    }

    /// Whether the connection may close now without cutting a body off.
    pub fn may_close(&self) -> bool {
        matches!(self.state, State::Idle | State::UntilClose)
    }

    /// Takes bytes off the front of `bytes` for the next item; `None` when more are needed.
    pub fn read<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Item<'a>>, Http1Error> {
        loop {
            match self.state {
                State::Idle if bytes.is_empty() => return Ok(None),
                State::Idle => return Err(Http1Error::Beyond),
                State::Head => {
                    let Some(head) = self.head(bytes)? else {
                        return Ok(None);
                    };
                    return Ok(Some(Item::Head(head)));
                }
                State::Length(0) => {
                    self.state = State::Idle;
                    return Ok(Some(Item::End));
                }
                State::Length(left) | State::Chunk(left) => {
                    let Some((piece, left)) = piece(bytes, left) else {
                        return Ok(None);
                    };
                    self.state = match self.state {
                        State::Length(_) => State::Length(left),
                        _ if left == 0 => State::ChunkEnd,
                        _ => State::Chunk(left),
                    };
                    return Ok(Some(Item::Body(piece)));
                }
                State::UntilClose => {
                    let piece = std::mem::take(bytes);
                    return Ok((!piece.is_empty()).then_some(Item::Body(piece)));
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => {
                    let Some(end) = self.line(bytes)? else {
                        return Ok(None);
                    };
                    if end {
                        return Ok(Some(Item::End));
                    }
                }
            }
        }
    }

    fn head(&mut self, bytes: &mut &[u8]) -> Result<Option<Head>, Http1Error> {
        while let Some((byte, rest)) = bytes.split_first() {
            self.line.push(*byte);
            *bytes = rest;
            if self.line.ends_with(b"\r\n\r\n") {
                let head = parse_head(&self.line).ok_or(Http1Error::Head)?;
                self.line = Vec::new();
                self.state = body_state(&head);
                return Ok(Some(head));
            }
            if self.line.len() > HEAD_MAX {
                return Err(Http1Error::Head);
            }
        }
        Ok(None)
    }

    /// Takes one line of the chunked coding; `Some(true)` if it was the last.
    fn line(&mut self, bytes: &mut &[u8]) -> Result<Option<bool>, Http1Error> {
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > HEAD_MAX {
                    return Err(Http1Error::Chunk);
                }
                continue;
            }
            let line = self.line.strip_suffix(b"\r").ok_or(Http1Error::Chunk)?;
            let (next, end) = match self.state {
                State::ChunkSize => match chunk_size(line)? {
                    0 => (State::Trailer, false),
                    size => (State::Chunk(size), false),
                },
                State::ChunkEnd if line.is_empty() => (State::ChunkSize, false),
                State::ChunkEnd => return Err(Http1Error::Chunk),
                _ if line.is_empty() => (State::Idle, true),
                state => (state, false),
            };
            self.line.clear();
            self.state = next;
            return Ok(Some(end));
        }
        Ok(None)
    }
}

fn piece<'a>(bytes: &mut &'a [u8], left: u64) -> Option<(&'a [u8], u64)> {
    if bytes.is_empty() {
        return None;
    }
    let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    let (piece, rest) = bytes.split_at(take);
    *bytes = rest;
    Some((piece, left - take as u64))
}

fn chunk_size(line: &[u8]) -> Result<u64, Http1Error> {
    let text = std::str::from_utf8(line).map_err(|_| Http1Error::Chunk)?;
    let digits = text.split(';').next().unwrap_or("").trim();
    u64::from_str_radix(digits, 16).map_err(|_| Http1Error::Chunk)
}

fn parse_head(bytes: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.splitn(3, ' ');
    if !first.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = first.next()?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Head { status, headers })
}

fn body_state(head: &Head) -> State {
    if head.status == 204 || head.status == 304 || head.status < 200 {
        return State::Length(0);
    }
    let coding = head.header("transfer-encoding").unwrap_or("");
    if coding.eq_ignore_ascii_case("chunked") {
        return State::ChunkSize;
    }
    match head.header("content-length").map(str::parse) {
        Some(Ok(length)) => State::Length(length),
        _ => State::UntilClose,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `wire` in pieces of `step` bytes: status, body, whether it ended.
    fn read(wire: &[u8], step: usize) -> Result<(u16, Vec<u8>, bool), Http1Error> {
        let mut reader = Reader::default();
        reader.expect();
        let (mut status, mut body, mut ended) = (0, Vec::new(), false);
        for mut piece in wire.chunks(step) {
            while let Some(item) = reader.read(&mut piece)? {
                match item {
                    Item::Head(head) => status = head.status,
                    Item::Body(bytes) => body.extend_from_slice(bytes),
                    Item::End => ended = true,
                }
            }
        }
        Ok((status, body, ended))
    }

    #[test]
    fn a_chunked_body_is_read_however_it_is_cut() {
        let wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n";
        for step in 1..wire.len() {
            let expected = Ok((200, b"hello world".to_vec(), true));
            assert_eq!(read(wire, step), expected, "{step}");
        }
    }

    #[test]
    fn a_cut_chunked_body_has_no_end() {
        let wire = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        assert_eq!(read(wire, 7), Ok((200, b"hello".to_vec(), false)));
    }

    #[test]
    fn lengths_count_and_what_follows_is_refused() {
        let wire = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(read(wire, 3), Ok((404, b"no".to_vec(), true)));
        let wire = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno!";
        assert_eq!(read(wire, 100), Err(Http1Error::Beyond));
    }

    #[test]
    fn broken_framing_is_an_error() {
        let start = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for broken in [&b"zz\r\n"[..], b"2\r\nabc\r\n", b"2\nab"] {
            assert_eq!(
                read(&[start, broken].concat(), 100),
                Err(Http1Error::Chunk),
                "{broken:?}"
            );
        }
        assert_eq!(read(b"SSH-2.0\r\n\r\n", 100), Err(Http1Error::Head));
    }
}
