//! A viewer of a few hundred bytes: follows segments by their numbers, counts bytes and time, reads no media.
//!
//! In → Out: bytes of up to two connections → requests, counts.
//! Like our player on HTTP/1.1 it has two connections and asks for the next segment while this one runs. A guide (one
//! reference viewer for all) tells where to join.
//! Spec: design "Paths", "Segments".

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use media::{Epoch, Msn, SegmentId};
use testkit::http1::{Http1Error, Item, Reader};

/// Where the broadcast is, for all light viewers of a run.
#[derive(Debug, Default)]
pub struct Guide {
    segment: AtomicU64,
}

impl Guide {
    /// The segment that runs now.
    pub fn set(&self, segment: SegmentId) {
        let packed = u64::from(segment.epoch.0) << 40 | (segment.msn.0 & 0xFF_FFFF_FFFF);
        self.segment.store(packed, Ordering::Relaxed);
    }

    /// The segment that runs now, once there is one.
    pub fn segment(&self) -> Option<SegmentId> {
        let packed = self.segment.load(Ordering::Relaxed);
        let epoch = Epoch(u32::try_from(packed >> 40).unwrap_or(0));
        let msn = Msn(packed & 0xFF_FFFF_FFFF);
        (packed != 0).then_some(SegmentId { epoch, msn })
    }
}

/// What a light viewer follows.
#[derive(Clone, Debug)]
pub enum Course {
    /// Growing segments below this folder, such as `/live/x/source/`.
    Segments(String),
    /// Growing segments of the interaction track below this folder, on one connection, each asked for when the one before ends.
    Lines(String),
    /// One response without an end.
    Endless(String),
    /// Complete files `{folder}{0..count}` one after the other, one each period.
    Files {
        /// Folder.
        folder: String,
        /// How many there are.
        count: u64,
        /// Time from one to the next.
        period: Duration,
    },
}

/// Sums over light viewers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LightSums {
    /// Body bytes.
    pub bytes: u64,
    /// Complete responses.
    pub segments: u64,
    /// Responses that were refused.
    pub refused: u64,
    /// Responses that were cut off.
    pub aborted: u64,
    /// Times that no byte came for half a second while a response was under way.
    pub stalls: u64,
}

impl LightSums {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.segments += other.segments;
        self.refused += other.refused;
        self.aborted += other.aborted;
        self.stalls += other.stalls;
    }
}

/// Looks at the bytes of bodies; `()` does not.
pub trait Watch {
    /// A response's head came.
    fn head(&mut self) {}
    /// A piece of its body came.
    fn body(&mut self, _lane: usize, _bytes: &[u8]) {}
}

impl Watch for () {}

/// No byte for this long is a stall.
const STALL: Duration = Duration::from_millis(500);
/// After a refusal or a cut, the guide is asked again this much later.
const REJOIN: Duration = Duration::from_millis(300);

/// The machine.
#[derive(Debug)]
pub struct Light {
    lanes: [Lane; 2],
    current: usize,
    last: Option<SegmentId>,
    /// How long after the begin of a segment the next is asked for.
    ahead_after: Duration,
    begun: Instant,
    last_byte: Instant,
    stalled: bool,
    rejoin_at: Option<Instant>,
    /// Counts files.
    file: u64,
    next_file: Option<Instant>,
    /// What happened since it was last taken.
    pub sums: LightSums,
}

#[derive(Debug, Default)]
struct Lane {
    reader: Reader,
    asked: Option<SegmentId>,
    refused: bool,
}

impl Light {
    /// A viewer that joins now; `ahead_after` spreads viewers over a segment's length.
    pub fn new(ahead_after: Duration, now: Instant) -> Self {
        Self {
            lanes: [Lane::default(), Lane::default()],
            current: 0,
            last: None,
            ahead_after,
            begun: now,
            last_byte: now,
            stalled: false,
            rejoin_at: None,
            file: u64::try_from(ahead_after.as_millis()).unwrap_or(0),
            next_file: None,
            sums: LightSums::default(),
        }
    }

    /// The next request to send, and on which connection.
    pub fn wish(
        &mut self,
        course: &Course,
        guide: &Guide,
        now: Instant,
    ) -> Option<(usize, String)> {
        let busy = self.lanes[self.current].reader.is_busy();
        match course {
            Course::Endless(path) if !busy => Some(self.start(self.current, path.clone(), now)),
            Course::Endless(_) => None,
            Course::Files {
                folder,
                count,
                period,
            } => {
                if busy || self.next_file.is_some_and(|at| now < at) {
                    return None;
                }
                self.file += 1;
                self.next_file = Some(now + *period);
                Some(self.start(self.current, format!("{folder}{}", self.file % count), now))
            }
            Course::Lines(_) if busy => None,
            Course::Lines(folder) => {
                let (lane, segment) = self.segment_wish(false, guide, now)?;
                self.lanes[lane].asked = Some(segment);
                Some(self.start(lane, format!("{folder}{segment}.jsonl"), now))
            }
            Course::Segments(folder) => {
                let (lane, segment) = self.segment_wish(busy, guide, now)?;
                self.lanes[lane].asked = Some(segment);
                Some(self.start(lane, format!("{folder}{segment}.m4s"), now))
            }
        }
    }

    fn segment_wish(
        &mut self,
        busy: bool,
        guide: &Guide,
        now: Instant,
    ) -> Option<(usize, SegmentId)> {
        if self.rejoin_at.is_some_and(|at| now < at) {
            return None;
        }
        let other = 1 - self.current;
        if busy {
            let due = now >= self.begun + self.ahead_after && !self.lanes[other].reader.is_busy();
            let running = self.lanes[self.current].asked?;
            return due.then(|| (other, after(running)));
        }
        if self.rejoin_at.take().is_none()
            && let Some(last) = self.last
        {
            return Some((self.current, after(last)));
        }
        let segment = guide.segment()?;
        self.begun = now;
        Some((self.current, segment))
    }

    fn start(&mut self, lane: usize, path: String, now: Instant) -> (usize, String) {
        if lane == self.current {
            self.last_byte = now;
        }
        self.lanes[lane].reader.expect();
        (lane, path)
    }

    /// Bytes came. `Err` means that this connection is to be closed.
    pub fn handle_bytes(
        &mut self,
        lane: usize,
        mut bytes: &[u8],
        watch: &mut impl Watch,
        now: Instant,
    ) -> Result<(), Http1Error> {
        if lane == self.current {
            self.last_byte = now;
            self.stalled = false;
        }
        loop {
            match self.lanes[lane].reader.read(&mut bytes) {
                Ok(Some(Item::Head(head))) => {
                    self.lanes[lane].refused = head.status != 200;
                    watch.head();
                }
                Ok(Some(Item::Body(body))) => {
                    self.sums.bytes += body.len() as u64;
                    watch.body(lane, body);
                }
                Ok(Some(Item::End)) => self.end(lane, now),
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// A connection was closed by the other side.
    pub fn handle_close(&mut self, lane: usize, now: Instant) {
        if self.lanes[lane].reader.is_busy() && !self.lanes[lane].reader.may_close() {
            self.sums.aborted += 1;
            self.rejoin_at = Some(now + REJOIN);
        }
        self.lanes[lane] = Lane::default();
    }

    /// Time has passed.
    pub fn handle_time(&mut self, now: Instant) {
        if !self.stalled
            && self.lanes[self.current].reader.is_busy()
            && now > self.last_byte + STALL
        {
            self.stalled = true;
            self.sums.stalls += 1;
        }
    }

    fn end(&mut self, lane: usize, now: Instant) {
        let asked = self.lanes[lane].asked.take();
        if std::mem::take(&mut self.lanes[lane].refused) {
            self.sums.refused += 1;
            self.rejoin_at = Some(now + REJOIN);
            return;
        }
        self.sums.segments += 1;
        if asked.is_some() {
            self.last = asked;
            self.begun = now;
            self.last_byte = now;
            if lane == self.current && self.lanes[1 - lane].reader.is_busy() {
                self.current = 1 - lane;
            }
        }
    }
}

fn after(segment: SegmentId) -> SegmentId {
    SegmentId {
        epoch: segment.epoch,
        msn: Msn(segment.msn.0 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROWING: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const ENDED: &[u8] = b"0\r\n\r\n";

    fn setting() -> (Light, Guide, Course, Instant) {
        let guide = Guide::default();
        guide.set(SegmentId {
            epoch: Epoch(2),
            msn: Msn(7),
        });
        let now = Instant::now();
        let course = Course::Segments("/live/x/source/".to_owned());
        (Light::new(Duration::from_secs(1), now), guide, course, now)
    }

    #[test]
    fn the_next_segment_is_asked_for_on_the_other_connection() {
        let (mut light, guide, course, now) = setting();
        let first = light.wish(&course, &guide, now);
        assert_eq!(first, Some((0, "/live/x/source/2.7.m4s".to_owned())));
        light.handle_bytes(0, GROWING, &mut (), now).unwrap();
        assert_eq!(light.wish(&course, &guide, now), None);
        let later = now + Duration::from_secs(1);
        let second = light.wish(&course, &guide, later);
        assert_eq!(second, Some((1, "/live/x/source/2.8.m4s".to_owned())));
        light.handle_bytes(0, ENDED, &mut (), later).unwrap();
        assert_eq!(light.wish(&course, &guide, later), None);
        light.handle_bytes(1, GROWING, &mut (), later).unwrap();
        let third = light.wish(&course, &guide, later + Duration::from_secs(1));
        assert_eq!(third, Some((0, "/live/x/source/2.9.m4s".to_owned())));
    }

    #[test]
    fn a_cut_response_is_counted_and_the_guide_is_asked_again() {
        let (mut light, guide, course, now) = setting();
        light.wish(&course, &guide, now).unwrap();
        light.handle_bytes(0, GROWING, &mut (), now).unwrap();
        light.handle_close(0, now);
        assert_eq!(light.sums.aborted, 1);
        assert_eq!(light.wish(&course, &guide, now), None);
        guide.set(SegmentId {
            epoch: Epoch(3),
            msn: Msn(9),
        });
        let rejoin = light.wish(&course, &guide, now + REJOIN);
        assert_eq!(rejoin, Some((0, "/live/x/source/3.9.m4s".to_owned())));
    }

    #[test]
    fn silence_is_one_stall_however_long() {
        let (mut light, guide, course, now) = setting();
        light.wish(&course, &guide, now).unwrap();
        for tenths in 0..50 {
            light.handle_time(now + Duration::from_millis(tenths * 100));
        }
        assert_eq!(light.sums.stalls, 1);
    }
}
