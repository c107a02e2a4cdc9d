//! One request for a segment: its bytes as they come, and how it ended.
//!
//! In → Out: body pieces with their times → chunks with their times.
//! Spec: design "Segments".

use std::collections::VecDeque;

use media::{SegmentId, UnixTime};

use super::boxes::{BoxError, Chunk, ChunkReader, Init};
use super::{End, RequestId};

/// What may wait for the init section; more is a broken server or a segment far beyond any limit.
const HELD_BYTES_MAX: usize = 32 << 20;

/// A segment that is being fetched.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) request: RequestId,
    pub(super) segment: SegmentId,
    pub(super) asked_at: UnixTime,
    pub(super) head_at: Option<UnixTime>,
    pub(super) outcome: Option<Outcome>,
    /// Chunks that were handed out.
    pub(super) delivered: u64,
    reader: ChunkReader,
    held: Vec<(UnixTime, Vec<u8>)>,
    held_bytes: usize,
    chunks: VecDeque<(UnixTime, Chunk)>,
    error: Option<BoxError>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The body is over.
    Body(End),
    /// There is no such segment (404, 410), or not for us.
    Refused(u16),
}

impl Fetch {
    pub(super) fn new(request: RequestId, segment: SegmentId, asked_at: UnixTime) -> Self {
        Self {
            request,
            segment,
            asked_at,
            head_at: None,
            outcome: None,
            delivered: 0,
            reader: ChunkReader::default(),
            held: Vec::new(),
            held_bytes: 0,
            chunks: VecDeque::new(),
            error: None,
        }
    }

    /// Takes a piece of the body; without an init section yet, it is held.
    pub(super) fn push(&mut self, bytes: &[u8], init: Option<&Init>, now: UnixTime) {
        if let Some(init) = init {
            self.read(bytes, init, now);
        } else if self.held_bytes + bytes.len() <= HELD_BYTES_MAX {
            self.held_bytes += bytes.len();
            self.held.push((now, bytes.to_vec()));
        } else {
            self.error = Some(BoxError::Content("init section did not come in time"));
        }
    }

    /// The init section is there: what was held is read, as of the time it came.
    pub(super) fn release(&mut self, init: &Init) {
        for (at, bytes) in std::mem::take(&mut self.held) {
            self.read(&bytes, init, at);
        }
        self.held_bytes = 0;
    }

    /// The next complete chunk and when its last byte came.
    pub(super) fn poll(&mut self) -> Option<(UnixTime, Chunk)> {
        let chunk = self.chunks.pop_front()?;
        self.delivered += 1;
        Some(chunk)
    }

    /// What was wrong with the bytes, once.
    pub(super) fn poll_error(&mut self) -> Option<BoxError> {
        self.error.take()
    }

    /// Whether bytes still wait for the init section.
    pub(super) fn is_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether a clean end came between two chunks.
    pub(super) fn check_end(&self) -> Result<(), BoxError> {
        self.reader.end()
    }

    fn read(&mut self, bytes: &[u8], init: &Init, now: UnixTime) {
        if let Err(error) = self.reader.push(bytes, init) {
            self.error = Some(error);
        }
        while let Some(chunk) = self.reader.poll() {
            self.chunks.push_back((now, chunk));
        }
    }
}
