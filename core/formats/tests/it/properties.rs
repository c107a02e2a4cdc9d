//! What holds for every input.
//!
//! In → Out: random stamps, random bytes → order, monotone time, no panic.
//! Spec: the invariants I1 and I3 of the case catalogue.

use bytes::Bytes;
use formats::codec::{aac, h264};
use formats::timeline::{Cadence, Clock, Normaliser, Stamp};
use media::{Event, Timescale, TrackKind, UnixTime};
use proptest::prelude::*;

use crate::publisher::{Sps, Subject, prefixed};

/// One unit of a publisher whose clock does what it likes.
#[derive(Clone, Debug)]
struct Tick {
    audio: bool,
    /// How the stamp is made from the one before, or anew.
    stamp: Step,
    composition: i32,
    /// Milliseconds since the last arrival.
    passed: u64,
}

#[derive(Clone, Debug)]
enum Step {
    By(i32),
    To(u32),
}

fn tick() -> impl Strategy<Value = Tick> {
    let step = prop_oneof![
        20 => (0..60_i32).prop_map(Step::By),
        2 => (-700..5_000_i32).prop_map(Step::By),
        1 => any::<i32>().prop_map(Step::By),
        1 => any::<u32>().prop_map(Step::To),
        1 => prop_oneof![Just(0), Just(0xFF_FFFF), Just(0x7FFF_FFFF), Just(u32::MAX)].prop_map(Step::To),
    ];
    let composition = prop_oneof![10 => 0..200_i32, 1 => -0x80_0000..0x80_0000_i32];
    let passed = prop_oneof![20 => 0..50_u64, 1 => 0..20_000_u64];
    (any::<bool>(), step, composition, passed).prop_map(|(audio, stamp, composition, passed)| {
        Tick {
            audio,
            stamp,
            composition,
            passed,
        }
    })
}

/// A sequence parameter set that is silent about reordering.
fn silent_sps() -> impl Strategy<Value = Sps> {
    (
        prop::sample::select(vec![66, 77, 88, 100]),
        1..=1_024_u32,
        1..=1_024_u32,
        0..=16_u32,
        prop::sample::select(vec![0, 2]),
        0..8_u32,
        prop::option::of((any::<u32>(), any::<u32>())),
    )
        .prop_map(
            |(profile, columns, rows, references, order_type, crop_bottom, timing)| Sps {
                profile,
                columns,
                rows,
                references,
                order_type,
                crop_bottom: crop_bottom.min(rows * 8 - 1),
                timing,
                reorder: None,
            },
        )
}

proptest! {
    #[test]
    fn a_set_given_the_hint_is_the_one_that_an_encoder_with_the_hint_writes(silent in silent_sps()) {
        let original = silent.nal();
        let parsed = h264::Sps::parse(&original).unwrap();
        prop_assert!(parsed.is_silent());
        let rewritten = parsed.with_low_delay(&original).unwrap();
        // Byte for byte: nothing but the hint differs.
        let expect = Sps { reorder: Some(0), ..silent }.nal();
        prop_assert_eq!(&rewritten, &expect);
        let again = h264::Sps::parse(&rewritten).unwrap();
        prop_assert_eq!(again.reorder_frames, Some(0));
        prop_assert_eq!(again.with_low_delay(&rewritten), None, "once is enough");
        prop_assert_eq!(again.codec_string(), parsed.codec_string());
        prop_assert_eq!(
            (again.id, again.width, again.height, again.frame_duration, again.reference_frames),
            (parsed.id, parsed.width, parsed.height, parsed.frame_duration, parsed.reference_frames)
        );
    }

    #[test]
    fn decoding_time_grows_and_wall_time_follows_whatever_the_clock_does(ticks in prop::collection::vec(tick(), 1..400)) {
        let mut normaliser = Normaliser::new(Clock::RTMP);
        normaliser.set_cadence(TrackKind::Audio, Cadence::new(1_024, Timescale::new(44_100).unwrap()));
        normaliser.set_cadence(TrackKind::Video, Cadence::new(1_001, Timescale::new(30_000).unwrap()));
        let (mut stamp, mut now) = (0_u32, 1_800_000_000_000_u64);
        let mut last = [None; 2];
        let mut walls = Vec::new();
        for tick in ticks {
            stamp = match tick.stamp {
                Step::By(step) => stamp.wrapping_add_signed(step),
                Step::To(stamp) => stamp,
            };
            now += tick.passed;
            let kind = if tick.audio { TrackKind::Audio } else { TrackKind::Video };
            let composition = if tick.audio { 0 } else { tick.composition.into() };
            let Some(placed) =
                normaliser.place(kind, Stamp { dts: stamp.into(), composition }, UnixTime::from_millis(now))
            else {
                continue;
            };
            let last = &mut last[usize::from(tick.audio)];
            prop_assert!(last.is_none_or(|last| placed.dts > last), "{:?} after {:?}", placed.dts, last);
            prop_assert!(placed.pts >= placed.dts);
            *last = Some(placed.dts);
            walls.push((placed.pts, placed.wall));
        }
        // Reordering by up to half a second is resolved exactly; beyond that pictures are out of any decoder's reach.
        let mut newest = walls[0];
        for &(pts, wall) in &walls {
            if pts >= newest.0 {
                prop_assert!(wall >= newest.1, "wall time went back between {:?} and {:?}", newest, (pts, wall));
                newest = (pts, wall);
            }
        }
    }

    #[test]
    fn no_tag_body_breaks_the_demuxer(bodies in prop::collection::vec((any::<bool>(), 0..4_u8, any::<u32>(), prop::collection::vec(any::<u8>(), 0..80)), 1..60)) {
        let mut subject = Subject::with_both();
        for (audio, shape, millis, mut body) in bodies {
            // Steer some of the bytes past the first checks.
            match shape {
                0 => drop(body.splice(0..0, if audio { vec![0xAF, 1] } else { vec![0x17, 1, 0, 0, 0] })),
                1 => drop(body.splice(0..0, if audio { vec![0xAF, 0] } else { vec![0x17, 0, 0, 0, 0, 1] })),
                2 => body = [&[0x17, 1, 0, 0, 0], &prefixed(&[&[0x65, 1], &body])[..]].concat(),
                _ => {}
            }
            let _ = if audio { subject.audio(millis, &body.into()) } else { subject.video(millis, &body.into()) };
        }
        let mut last = [None; 3];
        for event in &subject.events {
            if let Event::Unit(unit) = event {
                let last = &mut last[usize::try_from(unit.track.0).unwrap()];
                prop_assert!(last.is_none_or(|last| unit.dts > last));
                *last = Some(unit.dts);
            }
        }
    }

    #[test]
    fn no_bytes_break_the_codec_parsers(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = aac::parse_config(&bytes);
        if let Ok(sps) = h264::Sps::parse(&bytes) {
            prop_assert!(sps.width <= h264::SIDE_MAX && sps.height <= h264::SIDE_MAX);
            if let Some(rewritten) = sps.with_low_delay(&bytes) {
                let again = h264::Sps::parse(&rewritten).unwrap();
                prop_assert_eq!((again.width, again.height, again.reorder_frames), (sps.width, sps.height, Some(0)));
            }
        }
        let mut stream = h264::Stream::new();
        let _ = stream.handle_record(&bytes);
        let _ = stream.handle_picture(&bytes);
    }
}
