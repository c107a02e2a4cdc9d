//! The growing object: an append-only log of chunks that many readers follow while one writer extends it.
//!
//! In → Out: a chunk of bytes, appended once → the same bytes, already framed for HTTP/1.1 chunked coding, for every reader
//! at its own index. Reading takes no lock; the writer's only lock guards the list of fan-out shards to tell.
//! States only move forward: held (announced, no byte yet) → open → complete or aborted. Complete and aborted are final.
//! Spec: RFC 9112, "Chunked Transfer Coding" (7.1); design "Segments".

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::Notify;

use crate::shard::Subscription;

/// Where a growing object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Announced; its first byte does not exist yet.
    Held,
    /// Chunks come.
    Open,
    /// Every byte is there; nothing changes any more.
    Complete,
    /// It will never be complete; readers must not see a clean end.
    Aborted,
}

/// How far a growing object has come: one consistent reading of its chunk count and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Chunks that can be read: indices `0..chunks`.
    pub chunks: usize,
    /// The state when that was the count.
    pub state: State,
}

impl Progress {
    /// Whether nothing will follow.
    pub fn is_final(self) -> bool {
        matches!(self.state, State::Complete | State::Aborted)
    }

    fn pack(self) -> u64 {
        let state = match self.state {
            State::Held => 0,
            State::Open => 1,
            State::Complete => 2,
            State::Aborted => 3,
        };
        ((self.chunks as u64) << 2) | state
    }

    fn unpack(packed: u64) -> Self {
        let state = match packed & 3 {
            0 => State::Held,
            1 => State::Open,
            2 => State::Complete,
            _ => State::Aborted,
        };
        Self {
            chunks: usize::try_from(packed >> 2).unwrap_or(usize::MAX),
            state,
        }
    }
}

/// One appended chunk: a single contiguous buffer, framed for chunked coding, with its place in the object.
#[derive(Clone, Debug)]
pub struct Chunk {
    framed: Bytes,
    prefix: u8,
    offset: u64,
    appended: Instant,
}

impl Chunk {
    fn new(bytes: &[u8], offset: u64, appended: Instant) -> Self {
        let mut size = SizeLine::default();
        // Writing to a fixed buffer that is long enough for any usize cannot fail.
        let _ = write!(size, "{:x}\r\n", bytes.len());
        let mut framed = BytesMut::with_capacity(size.len + bytes.len() + CRLF.len());
        framed.put_slice(&size.text[..size.len]);
        framed.put_slice(bytes);
        framed.put_slice(CRLF);
        Self {
            framed: framed.freeze(),
            prefix: u8::try_from(size.len).unwrap_or(u8::MAX),
            offset,
            appended,
        }
    }

    /// The chunk as it goes over HTTP/1.1: `size CRLF bytes CRLF`.
    pub fn framed(&self) -> &Bytes {
        &self.framed
    }

    /// The bytes themselves, sharing the buffer.
    pub fn bare(&self) -> Bytes {
        self.framed
            .slice(usize::from(self.prefix)..self.framed.len() - CRLF.len())
    }

    /// The bytes themselves, borrowed.
    pub fn bare_slice(&self) -> &[u8] {
        &self.framed[usize::from(self.prefix)..self.framed.len() - CRLF.len()]
    }

    /// Bytes without the framing.
    pub fn len(&self) -> usize {
        self.framed.len() - CRLF.len() - usize::from(self.prefix)
    }

    /// Never true: an empty chunk would end a chunked body, so none is ever stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the object before this chunk.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// When the writer appended it.
    pub fn appended(&self) -> Instant {
        self.appended
    }
}

/// An object that grows: written by one task through the writer of its track, read by anybody.
#[derive(Default)]
pub struct Growing {
    chunks: boxcar::Vec<Chunk>,
    progress: AtomicU64,
    bytes: AtomicU64,
    readers: AtomicUsize,
    changed: Notify,
    subscriptions: Mutex<Vec<Arc<Subscription>>>,
}

impl Growing {
    /// An object in the state [`State::Held`].
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Chunk count and state, read together.
    pub fn progress(&self) -> Progress {
        Progress::unpack(self.progress.load(Ordering::Acquire))
    }

    /// The chunk at an index below `progress().chunks`; `None` beyond.
    pub fn chunk(&self, index: usize) -> Option<&Chunk> {
        self.chunks.get(index)
    }

    /// Bytes appended so far, without framing.
    pub fn len(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether no byte is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Viewers that follow this object at the moment.
    pub fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed)
    }

    /// The bare bytes of `[start, end)` as shared slices; shorter if fewer exist.
    pub fn slices(&self, start: u64, end: u64) -> Vec<Bytes> {
        let count = self.progress().chunks;
        let mut low = 0;
        let mut high = count;
        while low < high {
            let middle = usize::midpoint(low, high);
            let before = self
                .chunks
                .get(middle)
                .is_some_and(|chunk| chunk.offset + chunk.len() as u64 <= start);
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let mut slices = Vec::new();
        for chunk in (low..count).map_while(|index| self.chunks.get(index)) {
            if chunk.offset >= end {
                break;
            }
            let len = chunk.len() as u64;
            let from = start.saturating_sub(chunk.offset).min(len);
            let to = (end - chunk.offset).min(len);
            if from < to {
                let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) else {
                    break;
                };
                slices.push(chunk.bare().slice(from..to));
            }
        }
        slices
    }

    /// Waits until the progress is not `seen` any more. Cancel-safe.
    pub async fn changed(&self, seen: Progress) -> Progress {
        loop {
            let mut notified = std::pin::pin!(self.changed.notified());
            notified.as_mut().enable();
            let now = self.progress();
            if now != seen {
                return now;
            }
            notified.await;
        }
    }

    /// Counts a reader for as long as the guard lives.
    pub(crate) fn read(self: &Arc<Self>) -> Reader {
        self.readers.fetch_add(1, Ordering::Relaxed);
        Reader(Arc::clone(self))
    }

    /// Tells `subscription` of every later append. What was appended before shows in `progress()` after this returns.
    pub(crate) fn subscribe(&self, subscription: Arc<Subscription>) {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(subscription);
    }

    /// Stops telling `subscription`.
    pub(crate) fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|other| !Arc::ptr_eq(other, subscription));
    }

    /// Held → open; nothing in any other state.
    pub(crate) fn open(&self) {
        let now = self.progress();
        if now.state == State::Held {
            self.publish(Progress {
                state: State::Open,
                ..now
            });
        }
    }

    /// Appends a chunk and wakes every reader. Opens a held object; an empty chunk and a final object are left alone.
    /// Single writer: calls must not overlap.
    pub(crate) fn append(&self, bytes: &[u8]) {
        let now = self.progress();
        if bytes.is_empty() || now.is_final() {
            return;
        }
        let offset = self.len();
        self.chunks.push(Chunk::new(bytes, offset, Instant::now()));
        self.bytes
            .store(offset + bytes.len() as u64, Ordering::Release);
        self.publish(Progress {
            chunks: now.chunks + 1,
            state: State::Open,
        });
    }

    /// Ends the object cleanly. An object that was never opened has no end to reach and is aborted instead.
    pub(crate) fn complete(&self) {
        let now = self.progress();
        match now.state {
            State::Held => self.abort(),
            State::Open => self.publish(Progress {
                state: State::Complete,
                ..now
            }),
            State::Complete | State::Aborted => {}
        }
    }

    /// Tears the object: readers are cut, nobody gets a clean end. A complete object stays complete.
    pub(crate) fn abort(&self) {
        let now = self.progress();
        if !now.is_final() {
            self.publish(Progress {
                state: State::Aborted,
                ..now
            });
        }
    }

    fn publish(&self, progress: Progress) {
        self.progress.store(progress.pack(), Ordering::Release);
        // The lock orders this store before any later subscriber's first look, so that no append is missed.
        for subscription in self
            .subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            subscription.notify();
        }
        self.changed.notify_waiters();
    }
}

impl std::fmt::Debug for Growing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Growing")
            .field("progress", &self.progress())
            .field("bytes", &self.len())
            .finish_non_exhaustive()
    }
}

/// A counted reader of a growing object.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Growing>);

impl Reader {
    pub(crate) fn object(&self) -> &Arc<Growing> {
        &self.0
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

const CRLF: &[u8] = b"\r\n";

#[derive(Default)]
struct SizeLine {
    text: [u8; 18],
    len: usize,
}

impl std::fmt::Write for SizeLine {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        self.text
            .get_mut(self.len..end)
            .ok_or(std::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(object: &Growing, start: u64, end: u64) -> String {
        String::from_utf8(object.slices(start, end).concat()).unwrap()
    }

    #[test]
    fn a_chunk_is_stored_framed_and_bare_in_one_buffer() {
        let object = Growing::new();
        object.append(&[7; 300]);
        let chunk = object.chunk(0).unwrap();
        assert!(chunk.framed().starts_with(b"12c\r\n"));
        assert!(chunk.framed().ends_with(b"\r\n"));
        assert_eq!(chunk.bare(), vec![7; 300]);
        assert_eq!(chunk.len(), 300);
    }

    #[test]
    fn any_byte_range_is_cut_from_the_chunks() {
        let object = Growing::new();
        for part in ["abc", "d", "efgh"] {
            object.append(part.as_bytes());
        }
        let whole = "abcdefgh";
        for start in 0..9 {
            for end in start..10 {
                let expect = &whole[start.min(8)..end.min(8)];
                assert_eq!(
                    text(&object, start as u64, end as u64),
                    expect,
                    "{start}..{end}"
                );
            }
        }
    }

    #[test]
    fn states_only_move_forward() {
        let object = Growing::new();
        assert_eq!(
            object.progress(),
            Progress {
                chunks: 0,
                state: State::Held
            }
        );
        object.append(b"x");
        object.complete();
        object.abort();
        object.append(b"y");
        assert_eq!(
            object.progress(),
            Progress {
                chunks: 1,
                state: State::Complete
            }
        );
    }

    #[test]
    fn an_object_that_never_began_cannot_end_cleanly() {
        let object = Growing::new();
        object.complete();
        assert_eq!(object.progress().state, State::Aborted);
    }

    #[tokio::test]
    async fn a_waiter_sees_every_change() {
        let object = Growing::new();
        let seen = object.progress();
        let waiter = tokio::spawn({
            let object = Arc::clone(&object);
            async move { object.changed(seen).await }
        });
        tokio::task::yield_now().await;
        object.append(b"x");
        assert_eq!(
            waiter.await.unwrap(),
            Progress {
                chunks: 1,
                state: State::Open
            }
        );
    }
}
