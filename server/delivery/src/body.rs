//! Media as a body for hyper.
//!
//! In → Out: a [`Payload`] → frames of shared bytes, pulled as the connection can send them; a torn object is an error, which
//! hyper turns into a stream reset or a connection without a last chunk.
//! Spec: RFC 9113, "RST_STREAM" (6.4).

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use metrics::Counter;
use tokio_util::sync::ReusableBoxFuture;

use crate::growing::{Growing, Progress, Reader, State};
use crate::pace::{BodyPace, Pace};
use crate::respond::Payload;

/// A body that tells the sweep how it is taken.
pub(crate) struct MediaBody {
    kind: Kind,
    pace: Arc<BodyPace>,
    bytes: Counter,
}

enum Kind {
    Whole { slices: VecDeque<Bytes>, left: u64 },
    Growing(Following),
}

struct Following {
    reader: Reader,
    first: Bytes,
    index: usize,
    changed: ReusableBoxFuture<'static, Progress>,
    armed: bool,
}

impl MediaBody {
    pub(crate) fn new(payload: Payload, pace: &Pace, bytes: Counter) -> Self {
        match payload {
            Payload::Whole(slices) => {
                let left = slices.iter().map(|slice| slice.len() as u64).sum();
                Self {
                    kind: Kind::Whole {
                        slices: slices.into(),
                        left,
                    },
                    pace: pace.body(None),
                    bytes,
                }
            }
            Payload::Growing(follow) => {
                let object = Arc::clone(follow.reader.object());
                let pace = pace.body(Some((Arc::clone(&object), follow.index)));
                let following = Following {
                    changed: ReusableBoxFuture::new(changed(
                        object,
                        follow.reader.object().progress(),
                    )),
                    armed: false,
                    reader: follow.reader,
                    first: follow.first,
                    index: follow.index,
                };
                Self {
                    kind: Kind::Growing(following),
                    pace,
                    bytes,
                }
            }
        }
    }
}

async fn changed(object: Arc<Growing>, seen: Progress) -> Progress {
    object.changed(seen).await
}

impl Following {
    /// The next bytes, and which chunk comes after them; `None` at a clean end.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<(Bytes, usize)>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok((std::mem::take(&mut self.first), self.index))));
        }
        loop {
            let progress = self.reader.object().progress();
            if progress.state == State::Aborted {
                return Poll::Ready(Some(Err(io::Error::other("the object is torn"))));
            }
            if self.index < progress.chunks
                && let Some(chunk) = self.reader.object().chunk(self.index)
            {
                self.index += 1;
                return Poll::Ready(Some(Ok((chunk.bare(), self.index))));
            }
            if progress.state == State::Complete {
                return Poll::Ready(None);
            }
            if !self.armed {
                self.changed
                    .set(changed(Arc::clone(self.reader.object()), progress));
                self.armed = true;
            }
            ready!(self.changed.poll(context));
            self.armed = false;
        }
    }
}

impl Body for MediaBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let (data, next) = match &mut self.kind {
            Kind::Whole { slices, left } => {
                let Some(front) = slices.front_mut() else {
                    return Poll::Ready(None);
                };
                let data = front.split_to(front.len().min(SLICE_BYTES));
                if front.is_empty() {
                    slices.pop_front();
                }
                *left -= data.len() as u64;
                (data, 0)
            }
            Kind::Growing(following) => match ready!(following.poll(context)) {
                Some(Ok(next)) => next,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            },
        };
        self.pace.gave(data.len(), next);
        self.bytes.increment(data.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole { slices, .. } => slices.is_empty(),
            Kind::Growing(following) => {
                let progress = following.reader.object().progress();
                following.first.is_empty()
                    && progress.state == State::Complete
                    && following.index >= progress.chunks
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole { left, .. } => SizeHint::with_exact(*left),
            Kind::Growing(_) => SizeHint::default(),
        }
    }
}

/// Bytes given at a time, so that the sweep sees a slow reader of a large object move.
const SLICE_BYTES: usize = 16 * 1024;
