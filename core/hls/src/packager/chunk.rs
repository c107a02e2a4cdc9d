//! One chunk in the making: access units that leave together.
//!
//! In → Out: access units of one or two tracks → `moof`+`mdat`, the same as transport stream packets, and how far media
//! reaches with them.
//! Spec: ISO/IEC 23000-19 7.3.2.3 (chunk).

use std::sync::Arc;

use bytes::Bytes;
use formats::container::fmp4::mux::{self as fmp4, ProducerTime, Run, Sample, TrackLayout};
use formats::container::mpegts::mux::{self as mpegts, Unit};
use media::{AccessUnit, Delta, Duration, Rounding, Timestamp, TrackKind, UnixTime};

use super::lane::Lane;

/// An access unit that was taken, in session time.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) pts: Timestamp,
    pub(super) dts: Timestamp,
    pub(super) duration: Duration,
    pub(super) random_access: bool,
    pub(super) wall: UnixTime,
    pub(super) payload: Bytes,
}

impl Taken {
    /// Takes a unit of this lane; its wall-clock time is not later than `now`.
    pub(super) fn new(unit: &AccessUnit, lane: &Lane, now: UnixTime) -> Self {
        Self {
            pts: unit.pts,
            dts: unit.dts,
            duration: lane.usual(),
            random_access: unit.random_access,
            wall: unit.wall.min(now),
            payload: unit.payload.clone(),
        }
    }

    pub(super) fn end(&self) -> Timestamp {
        self.dts + self.duration
    }
}

/// What will leave together.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) video: Vec<Taken>,
    pub(super) audio: Vec<Taken>,
    pub(super) bytes: usize,
}

/// A chunk ready to leave.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) ts: Option<Bytes>,
    pub(super) independent: bool,
    /// Decode and presentation time of its first unit.
    pub(super) first: (Timestamp, Timestamp),
    /// How far its pictures reach in session time, or its sound where it has no picture.
    pub(super) end: Timestamp,
    /// How far anything in it reaches in session presentation time.
    pub(super) end_shown: Timestamp,
    pub(super) payload: usize,
    pub(super) pictures: usize,
}

impl Pending {
    pub(super) fn push(&mut self, kind: TrackKind, unit: Taken) {
        self.bytes += unit.payload.len();
        match kind {
            TrackKind::Video => self.video.push(unit),
            TrackKind::Audio => self.audio.push(unit),
        }
    }

    /// From the first unit's decode time to the end of the last one's, pictures first.
    pub(super) fn length(&self) -> Duration {
        let units = if self.video.is_empty() {
            &self.audio
        } else {
            &self.video
        };
        match (units.first(), units.last()) {
            (Some(first), Some(last)) => last
                .end()
                .since(first.dts)
                .to_duration()
                .unwrap_or(Duration::ZERO),
            _ => Duration::ZERO,
        }
    }
}

/// Writes chunks of one epoch.
#[derive(Debug)]
pub(super) struct Writer {
    sequence: u32,
    ts: Option<mpegts::Mux>,
}

/// What a writer needs to know beside the units.
pub(super) struct Context<'a> {
    /// Whether there are pictures in this epoch, so that sound alone is no place to start.
    pub(super) has_picture: bool,
    pub(super) video: Option<&'a mut Lane>,
    pub(super) audio: Option<&'a mut Lane>,
    pub(super) shift: Delta,
    /// The moment of the first unit, for the first chunk of a segment.
    pub(super) date: Option<UnixTime>,
}

impl Writer {
    pub(super) const fn new(ts: Option<mpegts::Mux>) -> Self {
        Self { sequence: 0, ts }
    }

    pub(super) fn set_tracks(&mut self, tracks: &Arc<[media::Track]>) {
        if let Some(ts) = &mut self.ts {
            ts.set_tracks(tracks);
        }
    }

    pub(super) fn start_segment(&mut self) {
        if let Some(ts) = &mut self.ts {
            ts.start_segment();
        }
    }

    /// Writes and empties `pending`; `None` if it held nothing that can be written.
    pub(super) fn write(&mut self, pending: &mut Pending, context: Context<'_>) -> Option<Chunk> {
        let Pending {
            video,
            mut audio,
            bytes: payload,
        } = std::mem::take(pending);
        // From before the very first unit of the broadcast, where media time begins: it has no place.
        audio.retain(|unit| unit.dts + context.shift >= Timestamp::ZERO);
        let first = video.first().or(audio.first())?;
        let independent = first.random_access && video.is_empty() != context.has_picture;
        let end = video.last().or(audio.last())?.end();
        let end_shown = video
            .iter()
            .chain(&audio)
            .map(|unit| unit.pts + unit.duration)
            .max()?;
        let shift = context.shift;
        let first = (first.dts, first.pts);
        let mut prepared: Vec<(TrackLayout, Vec<Sample>)> = Vec::with_capacity(2);
        for (lane, units) in [(context.video, &video), (context.audio, &audio)] {
            if let Some(lane) = lane.filter(|_| !units.is_empty()) {
                prepared.push((lane.layout, samples(lane, units, shift)));
            }
        }
        let runs: Vec<Run<'_>> = prepared
            .iter()
            .map(|(layout, samples)| Run { layout, samples })
            .collect();
        let stamp = context
            .date
            .zip(prepared.first())
            .map(|(wall, (layout, _))| {
                let media_time = (first.1 + shift).to_ticks(layout.timescale, Rounding::Nearest);
                ProducerTime {
                    track: layout.id,
                    media_time: u64::try_from(media_time).unwrap_or(0),
                    wall,
                }
            });
        self.sequence = self.sequence.wrapping_add(1).max(1);
        // Lanes let only growing decode times pass and bound what a chunk holds, so this does not fail.
        let bytes = fmp4::chunk(self.sequence, stamp, &runs).ok()?;
        let ts = self.ts.as_mut().map(|ts| {
            let video = video.iter().map(|unit| (TrackKind::Video, unit));
            let audio = audio.iter().map(|unit| (TrackKind::Audio, unit));
            let units: Vec<Unit<'_>> = video
                .chain(audio)
                .map(|(kind, unit)| Unit {
                    kind,
                    pts: unit.pts + shift,
                    dts: unit.dts + shift,
                    random_access: unit.random_access,
                    payload: &unit.payload,
                })
                .collect();
            ts.write(&units)
        });
        Some(Chunk {
            bytes,
            ts,
            independent,
            first,
            end,
            end_shown,
            payload,
            pictures: video.len(),
        })
    }
}

fn samples(lane: &mut Lane, units: &[Taken], shift: Delta) -> Vec<Sample> {
    let scale = lane.layout.timescale;
    let kind = lane.layout.kind;
    let mut samples = Vec::with_capacity(units.len());
    for unit in units {
        let ticks = (unit.dts + shift).to_ticks(scale, Rounding::Nearest);
        let duration = match kind {
            TrackKind::Audio => i64::from(lane.layout.default_duration),
            TrackKind::Video => {
                i64::try_from(unit.duration.to_ticks(scale, Rounding::Nearest)).unwrap_or(0)
            }
        };
        let dts = match kind {
            TrackKind::Audio => lane.place(ticks, duration),
            TrackKind::Video => ticks,
        };
        let offset = (unit.pts + shift).to_ticks(scale, Rounding::Nearest) - ticks;
        samples.push(Sample {
            dts: u64::try_from(dts).unwrap_or(0),
            composition_offset: i32::try_from(offset).unwrap_or(0),
            duration: u32::try_from(duration.max(1)).unwrap_or(1),
            sync: unit.random_access,
            payload: unit.payload.clone(),
        });
    }
    samples
}
