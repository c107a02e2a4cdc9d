//! Keeps the last key frames of a broadcast, and has pictures made of them while somebody asks.
//!
//! In → Out: the broadcast's events → a short roll of key frames; requests at the gallery → pictures in it, at most one of
//! each kind in its interval. Without a request no process runs and nothing is copied: a roll holds handles.
//! Spec: design "Paths" (`/live/{id}/thumb.jpg`).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use delivery::{Live, PictureKind};
use media::{AccessUnit, Event, Timestamp, Track, TrackId, VideoConfig};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Key frames of a preview.
const ROLL_MAX: usize = 6;
/// Bytes that a roll may hold; always room for one key frame.
const ROLL_BYTES_MAX: usize = 4 << 20;
/// Key frames of a roll are at least so far apart.
const APART: media::Duration = media::Duration::from_millis(900);
/// A picture of each kind is made no more often than this.
const THUMBNAIL_INTERVAL: Duration = Duration::from_secs(5);
const PREVIEW_INTERVAL: Duration = Duration::from_secs(10);

/// The last key frames, oldest first.
#[derive(Clone, Debug, Default)]
struct Roll {
    video: Option<Arc<VideoConfig>>,
    frames: VecDeque<AccessUnit>,
    /// Grows with each key frame.
    version: u64,
}

/// See the module. Dropping it ends the making of pictures; those that were made stay.
pub(crate) struct Photographer {
    roll: watch::Sender<Roll>,
    live: Arc<Live>,
    _makers: JoinSet<()>,
}

impl Photographer {
    /// Starts watching for requests; pictures are made by the ffmpeg at `program`.
    pub(crate) fn start(live: Arc<Live>, program: &Path) -> Self {
        let roll = watch::Sender::new(Roll::default());
        let mut makers = JoinSet::new();
        for (kind, interval) in [
            (PictureKind::Thumbnail, THUMBNAIL_INTERVAL),
            (PictureKind::Preview, PREVIEW_INTERVAL),
        ] {
            let maker = Maker {
                kind,
                interval,
                program: program.to_path_buf(),
                live: live.clone(),
                roll: roll.subscribe(),
            };
            makers.spawn(maker.run());
        }
        Self {
            roll,
            live,
            _makers: makers,
        }
    }

    /// Takes the broadcast's next event.
    pub(crate) fn handle(&self, event: &Event) {
        match event {
            Event::Tracks(tracks) => {
                let video = tracks.iter().find_map(Track::video);
                let video = video.map(|video| Arc::new(video.clone()));
                self.live.gallery().set_open(video.is_some());
                self.roll.send_if_modified(|roll| {
                    if roll.video != video {
                        roll.frames.clear();
                        roll.video = video;
                    }
                    false
                });
            }
            Event::Unit(unit) if unit.track == TrackId::VIDEO && unit.random_access => {
                self.roll.send_if_modified(|roll| roll.take(unit));
            }
            _ => {}
        }
    }
}

impl Drop for Photographer {
    fn drop(&mut self) {
        self.live.gallery().set_open(false);
    }
}

impl Roll {
    /// Whether the key frame was kept.
    fn take(&mut self, unit: &AccessUnit) -> bool {
        let newest = self.frames.back().map(|frame| frame.pts);
        let close = |newest: Timestamp| newest <= unit.pts && unit.pts < newest + APART;
        if newest.is_some_and(close) {
            return false;
        }
        self.frames.push_back(unit.clone());
        while self.frames.len() > ROLL_MAX || self.frames.len() > 1 && self.bytes() > ROLL_BYTES_MAX
        {
            self.frames.pop_front();
        }
        self.version += 1;
        true
    }

    fn bytes(&self) -> usize {
        self.frames.iter().map(|frame| frame.payload.len()).sum()
    }
}

/// Makes one kind of picture.
struct Maker {
    kind: PictureKind,
    interval: Duration,
    program: PathBuf,
    live: Arc<Live>,
    roll: watch::Receiver<Roll>,
}

impl Maker {
    async fn run(mut self) {
        let mut requests = self.live.gallery().requests(self.kind);
        let mut made = None;
        while requests.changed().await.is_ok() {
            // The first key frame of a broadcast may be a moment away.
            if self
                .roll
                .wait_for(|roll| !roll.frames.is_empty())
                .await
                .is_err()
            {
                return;
            }
            let roll = self.roll.borrow_and_update().clone();
            if made == Some(roll.version) {
                self.live.gallery().confirm(self.kind);
            } else {
                self.make(&roll).await;
                made = Some(roll.version);
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    async fn make(&self, roll: &Roll) {
        let Some(video) = &roll.video else { return };
        let (kind, result) = match self.kind {
            PictureKind::Thumbnail => {
                let Some(newest) = roll.frames.back() else {
                    return;
                };
                let made = transcode::picture_of(&self.program, video, newest).await;
                ("thumbnail", made)
            }
            PictureKind::Preview => {
                let frames: Vec<_> = roll.frames.iter().cloned().collect();
                let made = transcode::preview_of(&self.program, video, &frames).await;
                ("preview", made)
            }
        };
        let outcome = match result {
            Ok(bytes) => {
                self.live.gallery().hang(self.kind, bytes);
                "made"
            }
            Err(error) => {
                tracing::debug!(broadcast = %self.live.id(), kind, %error, "no picture");
                self.live.gallery().confirm(self.kind);
                "failed"
            }
        };
        metrics::counter!("nearcast_pictures_total", "kind" => kind, "outcome" => outcome)
            .increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media::UnixTime;

    fn key(millis: i64, size: usize) -> AccessUnit {
        let pts = Timestamp::from_millis(millis);
        AccessUnit {
            track: TrackId::VIDEO,
            pts,
            dts: pts,
            duration: None,
            wall: UnixTime::from_millis(0),
            random_access: true,
            payload: Bytes::from(vec![0; size]),
        }
    }

    fn held(units: &[(i64, usize)]) -> Vec<i64> {
        let mut roll = Roll::default();
        for (millis, size) in units {
            roll.take(&key(*millis, *size));
        }
        roll.frames
            .iter()
            .map(|frame| frame.pts.as_millis())
            .collect()
    }

    #[test]
    fn a_roll_holds_the_last_few_key_frames_that_lie_apart() {
        let each_half_second: Vec<_> = (0..20).map(|half| (half * 500, 10)).collect();
        assert_eq!(
            held(&each_half_second),
            [4_000, 5_000, 6_000, 7_000, 8_000, 9_000]
        );
    }

    #[test]
    fn a_roll_of_large_key_frames_is_shorter() {
        let large = |millis| (millis, ROLL_BYTES_MAX / 2);
        assert_eq!(
            held(&[large(0), large(2_000), large(4_000)]),
            [2_000, 4_000]
        );
        assert_eq!(held(&[(0, 2 * ROLL_BYTES_MAX)]), [0], "one always fits");
    }

    #[test]
    fn time_that_goes_back_does_not_stop_a_roll() {
        assert_eq!(held(&[(100_000, 1), (0, 1)]), [100_000, 0]);
    }
}
