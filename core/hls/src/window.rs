//! The live window of one rendition: which segments and parts a playlist may list now.
//!
//! In → Out: packager outputs → [`Snapshot`] for playlists, blocking reload and delivery.
//! Numbers never go back, also across a publisher's reconnect: media sequence numbers only grow, and part indices only
//! grow within their segment. The window holds numbers, not bytes; how much it lists is bounded by [`WindowConfig`].
//!
//! Spec: RFC 8216bis, "EXT-X-MEDIA-SEQUENCE", "EXT-X-PART", "EXT-X-DISCONTINUITY-SEQUENCE", 6.2.2 "Live Playlists".

use std::collections::VecDeque;
use std::sync::Arc;

use media::{Duration, Msn, SegmentId, Track};

use crate::snapshot::{Bitrate, Snapshot, State};
use crate::{Output, Part, Segment, Start};

/// How much a window lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowConfig {
    /// Complete segments are listed until newer ones last this long. Never less than three target durations are listed.
    pub length: Duration,
    /// At most this many complete segments are listed, however short; at least 4.
    pub segments_max: usize,
    /// At most this many bytes are listed (fMP4 and MPEG-TS together), except that three segments always are.
    pub bytes_max: u64,
    /// A segment is answered for this long after the playlist dropped it, and for its own duration.
    pub linger: Duration,
    /// `EXT-X-TARGETDURATION` to begin with, rounded to seconds; grows if a segment turns out longer.
    pub segment_target: Duration,
    /// `PART-TARGET` while no segment has told one.
    pub part_target: Duration,
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self {
            length: Duration::from_secs(30),
            segments_max: 64,
            bytes_max: 256 << 20,
            linger: Duration::from_secs(12),
            segment_target: Duration::from_secs(2),
            part_target: Duration::from_millis(150),
        }
    }
}

/// What one rendition lists, oldest segment first. Owned by the broadcast's task.
#[derive(Debug)]
pub struct Window {
    config: WindowConfig,
    segments: VecDeque<Arc<Segment>>,
    current: Option<Segment>,
    lingering: VecDeque<(SegmentId, Duration)>,
    next: SegmentId,
    next_discontinuity: bool,
    state: State,
    tracks: Arc<[Track]>,
    frame_duration: Option<Duration>,
    target_secs: u64,
    discontinuity_sequence: u64,
    version: u64,
    cached: Option<Arc<Snapshot>>,
}

impl Window {
    /// An empty window that expects the first segment of `start`.
    pub fn new(config: WindowConfig, start: Start) -> Self {
        let target_secs = rounded_secs(config.segment_target).max(1);
        Self {
            config,
            segments: VecDeque::new(),
            current: None,
            lingering: VecDeque::new(),
            next: SegmentId {
                epoch: start.epoch,
                msn: start.msn,
            },
            next_discontinuity: false,
            state: State::Away,
            tracks: Arc::from([]),
            frame_duration: None,
            target_secs,
            discontinuity_sequence: start.discontinuity_sequence,
            version: 0,
            cached: None,
        }
    }

    /// Takes note of one output. Outputs that do not fit (a chunk of a segment that is not open) are ignored.
    pub fn apply(&mut self, output: &Output) {
        let changed = match output {
            Output::Init { tracks, .. } => {
                self.tracks = Arc::clone(tracks);
                true
            }
            Output::SegmentStart { frame_duration, .. } => {
                self.frame_duration = *frame_duration;
                self.start_segment(output)
            }
            Output::Chunk { .. } => {
                self.add_chunk(output);
                false
            }
            Output::Part {
                segment,
                chunks,
                duration,
                independent,
                ..
            } => {
                let part = Part {
                    chunks: chunks.clone(),
                    duration: *duration,
                    independent: *independent,
                };
                self.add_part(*segment, part)
            }
            Output::SegmentEnd { id, duration } => self.end_segment(*id, *duration),
            Output::Interrupted { next, away } => {
                self.next = *next;
                self.next_discontinuity = true;
                self.state = if *away { State::Away } else { State::Live };
                true
            }
            Output::Finished => {
                self.state = State::Ended;
                true
            }
        };
        if changed {
            self.version += 1;
            self.cached = None;
        }
    }

    /// The window as readers may see it now; the same `Arc` until something changes.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        if let Some(cached) = &self.cached {
            return Arc::clone(cached);
        }
        let listed = || {
            self.segments
                .iter()
                .map(|segment| &**segment)
                .chain(&self.current)
        };
        let snapshot = Arc::new(Snapshot {
            version: self.version,
            state: self.state,
            segments: self.segments.iter().cloned().collect(),
            current: self.current.clone().map(Arc::new),
            next: self.next,
            next_discontinuity: self.next_discontinuity,
            lingering: self.lingering.iter().map(|(id, _)| *id).collect(),
            target_duration: Duration::from_secs(self.target_secs),
            part_target: listed()
                .map(|segment| segment.part_target)
                .max()
                .unwrap_or(self.config.part_target),
            discontinuity_sequence: self.discontinuity_sequence,
            tracks: Arc::clone(&self.tracks),
            frame_duration: self.frame_duration,
            bitrate: measure(listed(), |segment| segment.bytes),
            ts_bitrate: measure(listed(), |segment| segment.ts_bytes),
        });
        self.cached = Some(Arc::clone(&snapshot));
        snapshot
    }

    fn start_segment(&mut self, output: &Output) -> bool {
        let Output::SegmentStart {
            id,
            discontinuity,
            program_date_time,
            part_target,
            ..
        } = output
        else {
            return false;
        };
        if id.msn < self.next.msn || self.current.is_some() {
            return false;
        }
        if id.msn > self.next.msn {
            // A rendition that paused comes back with the numbers of those that went on: a playlist has no holes.
            while self.drop_oldest() {}
        }
        self.current = Some(Segment {
            id: *id,
            discontinuity: *discontinuity,
            program_date_time: *program_date_time,
            duration: Duration::ZERO,
            parts: Vec::new(),
            part_target: *part_target,
            chunks: 0,
            bytes: 0,
            ts_bytes: 0,
            independent: false,
        });
        self.next = SegmentId {
            epoch: id.epoch,
            msn: id.msn.next(),
        };
        self.next_discontinuity = false;
        self.state = State::Live;
        true
    }

    fn add_chunk(&mut self, output: &Output) {
        let Output::Chunk {
            segment,
            bytes,
            ts,
            duration,
            independent,
        } = output
        else {
            return;
        };
        let Some(current) = self
            .current
            .as_mut()
            .filter(|current| current.id == *segment)
        else {
            return;
        };
        if current.chunks == 0 {
            current.independent = *independent;
        }
        current.chunks += 1;
        current.bytes += bytes.len() as u64;
        current.ts_bytes += ts.as_ref().map_or(0, |ts| ts.len() as u64);
        current.duration += *duration;
        self.target_secs = self.target_secs.max(rounded_secs(current.duration));
    }

    fn add_part(&mut self, segment: SegmentId, part: Part) -> bool {
        let Some(current) = self
            .current
            .as_mut()
            .filter(|current| current.id == segment)
        else {
            return false;
        };
        current.parts.push(part);
        true
    }

    fn end_segment(&mut self, id: SegmentId, duration: Duration) -> bool {
        let Some(mut segment) = self.current.take_if(|current| current.id == id) else {
            return false;
        };
        segment.duration = duration;
        self.target_secs = self.target_secs.max(rounded_secs(duration));
        self.segments.push_back(Arc::new(segment));
        self.evict();
        true
    }

    fn evict(&mut self) {
        let floor = Duration::from_secs(self.target_secs * 3).max(self.config.length);
        while let Some(oldest) = self.segments.front() {
            let newer = total(self.segments.iter().skip(1), |segment| {
                segment.duration.as_nanos()
            });
            let bytes = total(self.segments.iter(), |segment| {
                segment.bytes + segment.ts_bytes
            });
            let too_many = self.segments.len() > self.config.segments_max.max(4);
            let too_big = bytes > self.config.bytes_max && self.segments.len() > 3;
            if !(newer >= floor.as_nanos() || too_many || too_big) {
                break;
            }
            let _ = oldest;
            self.drop_oldest();
        }
    }

    /// Takes the oldest segment off the list; `false` if there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.segments.pop_front() else {
            return false;
        };
        self.discontinuity_sequence += u64::from(oldest.discontinuity);
        self.lingering.push_back((oldest.id, oldest.duration));
        while let Some((_, first)) = self.lingering.front() {
            let newer = total(self.lingering.iter().skip(1), |(_, duration)| {
                duration.as_nanos()
            });
            if newer < (self.config.linger + *first).as_nanos()
                && self.lingering.len() <= self.config.segments_max
            {
                break;
            }
            self.lingering.pop_front();
        }
        true
    }

    /// The oldest number that is still answered; delivery may forget everything before it.
    pub fn kept_from(&self) -> Msn {
        let lingering = self.lingering.front().map(|(id, _)| id.msn);
        let listed = self.segments.front().map(|segment| segment.id.msn);
        let current = self.current.as_ref().map(|segment| segment.id.msn);
        lingering.or(listed).or(current).unwrap_or(self.next.msn)
    }
}

fn total<T>(items: impl Iterator<Item = T>, value: impl Fn(T) -> u64) -> u64 {
    items.map(value).fold(0, u64::saturating_add)
}

/// Seconds to the nearest, as the rule for `EXT-X-TARGETDURATION` counts them.
fn rounded_secs(duration: Duration) -> u64 {
    (duration + Duration::from_millis(500)).as_nanos() / 1_000_000_000
}

fn measure<'a>(
    segments: impl Iterator<Item = &'a Segment>,
    bytes: impl Fn(&Segment) -> u64,
) -> Bitrate {
    // A segment shorter than this says nothing of a rate: its random access point alone would make the peak.
    const SHORTEST: Duration = Duration::from_millis(500);
    let rate = |bytes: u64, nanos: u64| {
        let bits = u128::from(bytes) * 8 * 1_000_000_000;
        u64::try_from(bits / u128::from(nanos.max(1))).unwrap_or(u64::MAX)
    };
    let (mut all_bytes, mut all_nanos, mut peak) = (0_u64, 0_u64, 0_u64);
    for segment in segments {
        all_bytes += bytes(segment);
        all_nanos += segment.duration.as_nanos();
        if segment.duration >= SHORTEST {
            peak = peak.max(rate(bytes(segment), segment.duration.as_nanos()));
        }
    }
    let average_bps = if all_nanos == 0 {
        0
    } else {
        rate(all_bytes, all_nanos)
    };
    Bitrate {
        peak_bps: peak.max(average_bps),
        average_bps,
    }
}
