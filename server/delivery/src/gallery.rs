//! Pictures of a broadcast: a still one and a short moving one, made by somebody else and only while somebody asks.
//!
//! In → Out: requests for a picture → a number that its maker watches; what the maker puts here → bytes for every request.
//! One picture of each kind is kept. A request that finds none, or an old one, waits a moment for the next.
//! Spec: design "Paths" (`/live/{id}/thumb.jpg`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

/// Which picture of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureKind {
    /// `thumb.jpg`: the last key frame.
    Thumbnail,
    /// `preview.webp`: the last key frames, one after another.
    Preview,
}

/// A picture, if it could be made, and when it was known to be the newest.
#[derive(Clone, Debug)]
struct Picture {
    bytes: Option<Bytes>,
    taken: Instant,
}

/// The pictures of one broadcast.
#[derive(Debug, Default)]
pub struct Gallery {
    open: AtomicBool,
    thumbnail: Frame,
    preview: Frame,
}

#[derive(Debug, Default)]
struct Frame {
    picture: watch::Sender<Option<Picture>>,
    requests: watch::Sender<u64>,
}

/// A picture that is older than this is served only if no newer one comes.
const FRESH: Duration = Duration::from_secs(15);
/// How long a request waits for a picture.
const PATIENCE: Duration = Duration::from_secs(4);

impl Gallery {
    /// Says whether pictures are made: requests wait for them, and the API names their addresses.
    pub fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// Whether pictures are made.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Changes whenever somebody asks for a picture of this kind.
    pub fn requests(&self, kind: PictureKind) -> watch::Receiver<u64> {
        self.frame(kind).requests.subscribe()
    }

    /// Puts a new picture up.
    pub fn hang(&self, kind: PictureKind, bytes: Bytes) {
        self.put(kind, |_| Some(bytes));
    }

    /// Says that what hangs there is the newest there can be; nothing, if nothing could be made.
    pub fn confirm(&self, kind: PictureKind) {
        self.put(kind, |before| before);
    }

    fn put(&self, kind: PictureKind, bytes: impl FnOnce(Option<Bytes>) -> Option<Bytes>) {
        let taken = Instant::now();
        self.frame(kind).picture.send_modify(|picture| {
            let before = picture.take().and_then(|picture| picture.bytes);
            let bytes = bytes(before);
            *picture = Some(Picture { bytes, taken });
        });
    }

    /// The picture, after a moment if it is still to be made; `None` if there is none.
    pub(crate) async fn look(&self, kind: PictureKind) -> Option<Bytes> {
        let frame = self.frame(kind);
        let mut pictures = frame.picture.subscribe();
        frame.requests.send_modify(|count| *count += 1);
        let until = Instant::now() + PATIENCE;
        loop {
            let picture = pictures.borrow_and_update().clone();
            let fresh = picture
                .as_ref()
                .is_some_and(|picture| picture.taken.elapsed() < FRESH);
            if fresh || !self.is_open() || Instant::now() >= until {
                return picture.and_then(|picture| picture.bytes);
            }
            // A time-out is not an answer: the next look is.
            let _ = tokio::time::timeout_at(until.into(), pictures.changed()).await;
        }
    }

    const fn frame(&self, kind: PictureKind) -> &Frame {
        match kind {
            PictureKind::Thumbnail => &self.thumbnail,
            PictureKind::Preview => &self.preview,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PictureKind::{Preview, Thumbnail};

    #[tokio::test]
    async fn a_request_wakes_the_maker_and_gets_what_it_makes() {
        let gallery = std::sync::Arc::new(Gallery::default());
        assert_eq!(gallery.look(Thumbnail).await, None, "nobody makes any");
        gallery.set_open(true);
        let mut requests = gallery.requests(Thumbnail);
        let maker = std::sync::Arc::clone(&gallery);
        let made = tokio::spawn(async move {
            requests.changed().await.expect("somebody asks");
            maker.hang(Thumbnail, Bytes::from_static(b"picture"));
        });
        let seen = gallery.look(Thumbnail).await;
        made.await.expect("the maker lives");
        assert_eq!(seen.as_deref(), Some(&b"picture"[..]));
        gallery.set_open(false);
        assert_eq!(gallery.look(Preview).await, None);
        assert!(
            gallery.look(Thumbnail).await.is_some(),
            "the last one stays"
        );
    }
}
