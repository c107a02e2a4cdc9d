//! A model of play-out: when the picture would stand still, and how far behind the edge it is shown.
//!
//! In → Out: media as it arrives → position, stalls, jumps.
//! The wanted buffer grows with each stall; what is above it is played a twentieth faster, and far above it is skipped.
//! Spec: design "The player"; none of its constants is normative.

use media::{Delta, Duration, Timestamp, UnixTime};

/// How a viewer plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutConfig {
    /// Media wanted ahead of the position, to begin with.
    pub buffer: Duration,
    /// How much more is wanted after each stall.
    pub stall_step: Duration,
    /// The most that is ever wanted.
    pub buffer_max: Duration,
}

impl Default for PlayoutConfig {
    fn default() -> Self {
        Self {
            buffer: Duration::from_millis(200),
            stall_step: Duration::from_millis(50),
            buffer_max: Duration::from_secs(2),
        }
    }
}

/// Above the wanted buffer by more than this, playing is a twentieth faster.
const SURPLUS: Duration = Duration::from_millis(30);
/// Above the wanted buffer by more than this, the surplus is skipped.
const SURPLUS_MAX: Duration = Duration::from_secs(1);

/// What arriving media did to the play-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayoutChange {
    /// The picture stood still for so long and goes on.
    Stalled(Duration),
    /// So much media was skipped to come back to the edge.
    Jumped(Duration),
}

/// Whether media was made before the viewer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// Before.
    Yes,
    /// While it was watching.
    No,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Playout {
    config: PlayoutConfig,
    wanted: Duration,
    edge: Option<Timestamp>,
    position: Timestamp,
    /// When `position` was true; `None` before the start.
    updated: Option<UnixTime>,
    starved_since: Option<UnixTime>,
}

impl Playout {
    /// A viewer that has nothing yet.
    pub fn new(config: PlayoutConfig) -> Self {
        Self {
            config,
            wanted: config.buffer,
            edge: None,
            position: Timestamp::ZERO,
            updated: None,
            starved_since: None,
        }
    }

    /// Media from `begin` to `end` has arrived. What was made before the viewer came (`Backlog::Yes`) arrives in one burst:
    /// the picture starts when that is over, near its end.
    pub fn extend(
        &mut self,
        (begin, end): (Timestamp, Timestamp),
        backlog: Backlog,
        now: UnixTime,
    ) -> Option<PlayoutChange> {
        self.advance(now);
        let before = self.edge;
        let edge = before.map_or(end, |before| before.max(end));
        self.edge = Some(edge);
        if before.is_none() {
            self.position = begin;
        }
        if self.updated.is_none() {
            if backlog == Backlog::No {
                self.start(now);
            }
            return None;
        }
        if let Some(since) = self.starved_since {
            // What was not sent cannot be waited for.
            if before.is_some_and(|before| begin > before) {
                self.position = begin;
            }
            return self.resume(since, now);
        }
        self.skip_surplus(edge)
    }

    /// Where the picture is, once it moves.
    pub fn position(&mut self, now: UnixTime) -> Option<Timestamp> {
        self.advance(now);
        self.updated.map(|_| self.position)
    }

    /// Media ahead of the position.
    pub fn buffered(&self) -> Duration {
        let edge = self.edge.unwrap_or(self.position);
        edge.since(self.position).to_duration().unwrap_or_default()
    }

    /// How long the picture has been standing still, if it does.
    pub fn starved(&mut self, now: UnixTime) -> Option<Duration> {
        self.advance(now);
        let since = self.starved_since?;
        now.since(since).to_duration()
    }

    /// Forgets a stall that is the publisher's, not the network's: nothing was there to be sent.
    pub fn interrupt(&mut self) {
        self.edge = None;
        self.updated = None;
        self.starved_since = None;
    }

    fn start(&mut self, now: UnixTime) {
        if self.buffered() < self.wanted {
            return;
        }
        let surplus = self.buffered().saturating_sub(self.wanted);
        self.position += surplus;
        self.updated = Some(now);
    }

    fn resume(&mut self, since: UnixTime, now: UnixTime) -> Option<PlayoutChange> {
        if self.buffered() < self.wanted {
            return None;
        }
        self.starved_since = None;
        self.updated = Some(now);
        let grown = self.wanted + self.config.stall_step;
        self.wanted = grown.min(self.config.buffer_max.max(self.wanted));
        Some(PlayoutChange::Stalled(now.since(since).magnitude()))
    }

    fn skip_surplus(&mut self, edge: Timestamp) -> Option<PlayoutChange> {
        let surplus = self.buffered().saturating_sub(self.wanted);
        if surplus <= SURPLUS_MAX {
            return None;
        }
        self.position = edge - self.wanted;
        Some(PlayoutChange::Jumped(surplus))
    }

    fn advance(&mut self, now: UnixTime) {
        let (Some(updated), Some(edge)) = (self.updated, self.edge) else {
            return;
        };
        let Some(elapsed) = now.since(updated).to_duration() else {
            return;
        };
        if self.starved_since.is_some() {
            return;
        }
        self.updated = Some(now);
        let buffered = self.buffered();
        let faster = buffered > self.wanted + SURPLUS;
        let played = if faster {
            Duration::from_nanos(elapsed.as_nanos() + elapsed.as_nanos() / 20)
        } else {
            elapsed
        };
        if played <= buffered {
            self.position += played;
            return;
        }
        let short = played.saturating_sub(buffered).as_nanos();
        self.position = edge;
        self.starved_since = Some(now + Delta::from_nanos(-i64::try_from(short).unwrap_or(0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> UnixTime {
        UnixTime::from_millis(1_000_000 + millis)
    }

    fn media(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Feeds frames of 40 ms, each at the time that `arrives` gives it.
    fn play(frames: i64, arrives: impl Fn(i64) -> u64) -> (Playout, Vec<PlayoutChange>) {
        let mut playout = Playout::new(PlayoutConfig::default());
        let mut changes = Vec::new();
        for frame in 0..frames {
            let span = (media(frame * 40), media(frame * 40 + 40));
            let now = arrives(frame);
            let backlog = if now == 0 { Backlog::Yes } else { Backlog::No };
            changes.extend(playout.extend(span, backlog, at(now)));
        }
        (playout, changes)
    }

    fn steady(frame: i64) -> u64 {
        (frame + 1).unsigned_abs() * 40
    }

    #[test]
    fn steady_arrival_never_stalls() {
        let (mut playout, changes) = play(500, steady);
        assert_eq!(changes, []);
        assert_eq!(playout.buffered(), Duration::from_millis(200));
        assert_eq!(playout.position(at(500 * 40)), Some(media(500 * 40 - 200)));
    }

    #[test]
    fn a_late_frame_within_the_buffer_is_not_a_stall() {
        let (_, changes) = play(100, |frame| {
            if (50..53).contains(&frame) {
                steady(50) + 150
            } else {
                steady(frame)
            }
        });
        assert_eq!(changes, []);
    }

    #[test]
    fn a_pause_longer_than_the_buffer_is_a_stall_of_what_is_over() {
        let (_, changes) = play(100, |frame| {
            steady(frame) + if frame >= 50 { 500 } else { 0 }
        });
        // Dry 200 ms after frame 49 came; 200 ms are there again with frame 54, which comes 700 ms after frame 49.
        assert_eq!(
            changes,
            [PlayoutChange::Stalled(Duration::from_millis(500))]
        );
    }

    #[test]
    fn a_join_starts_near_the_end_of_the_backlog() {
        let (mut playout, changes) = play(51, |frame| if frame < 50 { 0 } else { 40 });
        assert_eq!(changes, []);
        assert_eq!(playout.position(at(40)), Some(media(51 * 40 - 200)));
    }

    #[test]
    fn a_surplus_is_played_faster_until_it_is_gone() {
        let burst = |frame: i64| {
            if frame < 20 {
                5 * 40
            } else {
                steady(frame - 15)
            }
        };
        let (playout, changes) = play(1_000, |frame| {
            if frame < 5 {
                steady(frame)
            } else {
                burst(frame)
            }
        });
        assert_eq!(changes, []);
        assert!(
            playout.buffered() <= Duration::from_millis(232),
            "{:?}",
            playout.buffered()
        );
    }

    #[test]
    fn far_behind_the_surplus_is_skipped() {
        let (playout, changes) = play(
            100,
            |frame| if frame < 5 { steady(frame) } else { steady(5) },
        );
        assert!(
            matches!(changes[..], [PlayoutChange::Jumped(_), ..]),
            "{changes:?}"
        );
        assert!(playout.buffered() <= Duration::from_millis(1_240));
    }
}
