//! The broadcast's own timeline: goes on over reconnects and jumps, driven by the wall clock.
//!
//! In → Out: session times and the wall-clock time of a session's first unit → broadcast times and program date-times.
//! Broadcast time 0 is the first access unit ever. A later session begins as far from it as the wall clock says, and
//! never before what was already sent, so neither media time nor program date-time goes back.
//!
//! Spec: RFC 8216bis, "EXT-X-PROGRAM-DATE-TIME", "EXT-X-DISCONTINUITY".

use media::{Delta, Duration, Timestamp, TrackKind, UnixTime};

/// Maps a session's time to the broadcast's.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// The wall-clock time of broadcast time 0.
    origin: Option<UnixTime>,
    shift: Delta,
    /// Nothing sent so far ends later.
    end: Timestamp,
    /// Nothing sent from here on begins earlier: where media ended before time was last mapped anew.
    floor: Timestamp,
    sent_picture: Option<Timestamp>,
    sent_sound: Option<Timestamp>,
    last_date: Option<(UnixTime, Timestamp)>,
}

/// Shifts are whole multiples of this, which every AAC sample rate and 90 kHz divide: media times keep their grid.
const GRID: i64 = 40_000_000;
/// Closer decode times could fall on the same tick.
pub(crate) const DISTANCE_MIN: Duration = Duration::from_nanos(500_000);
/// A wall clock that leaps further than this is not followed.
const LEAP_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Program date-times follow the wall clock back by this much at most.
const DATE_SLACK: Duration = Duration::from_millis(500);

impl Timeline {
    /// Broadcast time minus session time.
    pub(crate) const fn shift(&self) -> Delta {
        self.shift
    }

    /// A session's time as the broadcast's.
    pub(crate) fn map(&self, time: Timestamp) -> Timestamp {
        time + self.shift
    }

    /// Whether a unit of this kind may be sent: decode times grow on the wire, whatever sessions and tracks do, and
    /// nothing overlaps what was sent under an earlier mapping. Takes note of those that may.
    pub(crate) fn admit(&mut self, kind: TrackKind, dts: Timestamp) -> bool {
        let placed = self.map(dts);
        let sent = match kind {
            TrackKind::Video => &mut self.sent_picture,
            TrackKind::Audio => &mut self.sent_sound,
        };
        if placed < self.floor || sent.is_some_and(|sent| placed < sent + DISTANCE_MIN) {
            return false;
        }
        *sent = Some(placed);
        true
    }

    /// Takes note of how far media reaches now.
    pub(crate) fn reach(&mut self, end: Timestamp) {
        self.end = self.end.max(end);
    }

    /// A session (or what follows a jump) begins: places its first unit.
    pub(crate) fn rebase(&mut self, dts: Timestamp, pts: Timestamp, wall: UnixTime) {
        let earliest = self.end.since(dts);
        let wanted = self.origin.map(|origin| {
            let elapsed = wall.since(origin);
            Timestamp::from_nanos(elapsed.as_nanos()).since(pts)
        });
        let leap_max = Delta::from_nanos(i64::try_from(LEAP_MAX.as_nanos()).unwrap_or(i64::MAX));
        let shift = wanted
            .filter(|wanted| *wanted < earliest + leap_max)
            .map_or(earliest, |wanted| wanted.max(earliest));
        let nanos = shift.as_nanos();
        // Rounded up, so that nothing overlaps what was sent.
        let rest = nanos.rem_euclid(GRID);
        let up = if rest == 0 {
            nanos
        } else {
            nanos.saturating_add(GRID - rest)
        };
        self.shift = Delta::from_nanos(up);
        self.floor = self.end;
        if self.origin.is_none() {
            let placed = self.map(pts).as_nanos();
            self.origin = Some(wall + Delta::from_nanos(placed.saturating_neg()));
        }
    }

    /// Takes over the mapping of the packager that is followed.
    pub(crate) fn adopt(&mut self, shift: Delta) {
        if self.shift != shift {
            self.floor = self.end;
        }
        self.shift = shift;
    }

    /// The program date-time of a segment that begins at broadcast time `start`.
    pub(crate) fn date(&mut self, start: Timestamp, wall: UnixTime) -> UnixTime {
        let date = match self.last_date {
            None => wall,
            Some((last, last_start)) => {
                let elapsed = start
                    .since(last_start)
                    .to_duration()
                    .unwrap_or(Duration::ZERO);
                let expected = last + elapsed;
                let floor = last + Duration::from_millis(1);
                if wall + DATE_SLACK >= expected {
                    wall.max(floor)
                } else {
                    expected.max(floor)
                }
            }
        };
        self.last_date = Some((date, start));
        date
    }
}
