//! Feeds the test picture and its sound to an encoder, on absolute deadlines.
//!
//! In → Out: the clock → one Matroska stream of raw pictures and PCM into ffmpeg's standard input.
//! Runs on a thread of its own: the writes block whenever the encoder is busy, and a frame's clock must be painted at the
//! last moment before its bytes leave.
//! Spec: docs/clock-strip.md.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use media::UnixTime;
use testkit::pattern::{FrameRate, Matroska, Picture, Size, Tone, matroska, tone};

/// How far sound runs ahead of the picture on its way into the encoder. ffmpeg's AAC encoder gives a unit out three units
/// (64 ms) after its first sample went in; without this head start the muxer would hold each picture until its sound has come.
const AUDIO_LEAD: Duration = Duration::from_millis(130);

/// A frame that would be painted later than this many frame times after its turn is left out.
const LATE_FRAMES_MAX: u64 = 2;

/// What is to be fed, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feed {
    pub(super) size: Size,
    pub(super) rate: FrameRate,
    pub(super) length: Option<Duration>,
}

/// Shared with the thread that shows progress.
#[derive(Debug, Default)]
pub(super) struct FeedState {
    /// Set to end the stream after the current frame.
    pub(super) stop: AtomicBool,
    /// Frames left out because the encoder or the machine was too slow.
    pub(super) skipped: AtomicU64,
}

impl Feed {
    /// Writes until the length is reached, `stop` is set, or the encoder closes its input.
    pub(super) fn run(self, mut pipe: impl Write, state: &FeedState) -> io::Result<()> {
        let mut picture = Picture::new(self.size, self.rate);
        let mut sound = Sound {
            tone: Tone::new(self.rate),
            next: 0,
            pcm: Vec::new(),
        };
        pipe.write_all(&Matroska::header(self.size, self.rate))?;
        let start = Instant::now();
        let mut index = 0;
        while !state.stop.load(Ordering::Relaxed) {
            index = self.turn(start, index, state);
            let media_nanos = self.rate.frame_nanos(index);
            let media_time = Duration::from_nanos(media_nanos);
            if self.length.is_some_and(|length| media_time >= length) {
                break;
            }
            // Not past the end: what is still inside the encoder then comes out all at once, ahead of its time.
            let sound_end = self
                .length
                .map_or(Duration::MAX, |length| length.max(media_time));
            sound.write_until((media_time + AUDIO_LEAD).min(sound_end), &mut pipe)?;
            let header = Matroska::block(matroska::VIDEO, media_nanos, picture.frame_length());
            let frame = picture.paint(index, wall_clock());
            pipe.write_all(&header)?;
            pipe.write_all(frame)?;
            index += 1;
        }
        pipe.flush()
    }

    /// Waits for the turn of frame `index`; gives a later index if that turn is long past.
    fn turn(self, start: Instant, index: u64, state: &FeedState) -> u64 {
        let due = start + Duration::from_nanos(self.rate.frame_nanos(index));
        let late = Instant::now().saturating_duration_since(due);
        if late > Duration::from_nanos(self.rate.frame_nanos(LATE_FRAMES_MAX)) {
            let missed =
                u64::try_from(late.as_nanos() / u128::from(self.rate.frame_nanos(1).max(1)))
                    .unwrap_or(0);
            state.skipped.fetch_add(missed, Ordering::Relaxed);
            return index + missed;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        index
    }
}

/// The sound, written in blocks that follow each other without a gap.
struct Sound {
    tone: Tone,
    next: u64,
    pcm: Vec<u8>,
}

impl Sound {
    fn write_until(&mut self, media_time: Duration, pipe: &mut impl Write) -> io::Result<()> {
        let end =
            u64::try_from(media_time.as_nanos() * u128::from(tone::SAMPLE_RATE) / 1_000_000_000)
                .unwrap_or(self.next);
        if end <= self.next {
            return Ok(());
        }
        self.pcm.clear();
        self.tone.render(self.next, end - self.next, &mut self.pcm);
        let nanos = u128::from(self.next) * 1_000_000_000 / u128::from(tone::SAMPLE_RATE);
        pipe.write_all(&Matroska::block(
            matroska::AUDIO,
            u64::try_from(nanos).unwrap_or(u64::MAX),
            self.pcm.len(),
        ))?;
        pipe.write_all(&self.pcm)?;
        self.next = end;
        Ok(())
    }
}

fn wall_clock() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
