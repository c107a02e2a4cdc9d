//! The timestamp normaliser: whatever clocks do, decoding time grows and wall-clock time follows presentation time.
//!
//! In → Out: eight bytes a unit (track, how the stamp moves, composition, time passed) → placed units, checked in order.
//! Covers: core/formats/src/timeline.rs, core/formats/src/timeline/grid.rs, core/formats/src/timeline/wall.rs,
//! core/formats/src/timeline/drift.rs, core/formats/src/timeline/least.rs
//! Spec: issue cases ING-11, ING-12, ING-15, ING-16.
#![no_main]

use formats::timeline::{Cadence, Clock, Normaliser, Stamp};
use libfuzzer_sys::fuzz_target;
use media::{Timescale, Timestamp, TrackKind, UnixTime};

const CADENCES: [Option<(u32, u32)>; 5] = [None, Some((1, 30)), Some((1_001, 24_000)), Some((1_024, 44_100)), Some((1, 240))];

fn cadence(choice: u8) -> Option<Cadence> {
    let (ticks, hertz) = CADENCES[usize::from(choice) % CADENCES.len()]?;
    Cadence::new(ticks, Timescale::new(hertz)?)
}

fuzz_target!(|input: &[u8]| {
    let Some((&[video, audio], steps)) = input.split_first_chunk::<2>() else { return };
    let mut normaliser = Normaliser::new(Clock::RTMP);
    normaliser.set_cadence(TrackKind::Video, cadence(video));
    normaliser.set_cadence(TrackKind::Audio, cadence(audio));
    let (mut stamp, mut now) = (0_u32, 1_800_000_000_000_u64);
    let mut last: [Option<Timestamp>; 2] = [None; 2];
    let mut newest: Option<(Timestamp, UnixTime)> = None;
    for step in steps.chunks_exact(8) {
        let number = u32::from_le_bytes([step[1], step[2], step[3], step[4]]);
        // Mostly small steps ahead, as publishers make; sometimes anything.
        stamp = match step[0] & 0x0F {
            0 => number,
            1 => stamp.wrapping_add(number),
            2 => stamp.wrapping_sub(number & 0xFFF),
            _ => stamp.wrapping_add(number & 0x3F),
        };
        now += u64::from(step[5]) * if step[0] & 0x40 == 0 { 1 } else { 100 };
        let sound = step[0] & 0x80 != 0;
        let composition = if sound { 0 } else { i64::from(i16::from_le_bytes([step[6], step[7]])) };
        let kind = if sound { TrackKind::Audio } else { TrackKind::Video };
        let placed = normaliser.place(kind, Stamp { dts: stamp.into(), composition }, UnixTime::from_millis(now));
        let Some(placed) = placed else { continue };
        let before = last[usize::from(sound)].replace(placed.dts);
        assert!(before.is_none_or(|before| placed.dts > before), "decoding time went from {before:?} to {:?}", placed.dts);
        assert!(placed.pts >= placed.dts);
        if let Some((pts, wall)) = newest
            && placed.pts >= pts
        {
            assert!(placed.wall >= wall, "wall time went back from {wall:?} at {pts:?} to {placed:?}");
        }
        if newest.is_none_or(|(pts, _)| placed.pts >= pts) {
            newest = Some((placed.pts, placed.wall));
        }
    }
});
