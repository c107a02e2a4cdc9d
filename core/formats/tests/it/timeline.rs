//! The timestamp normaliser against everything that clocks do.
//!
//! In → Out: stamps as senders make them → positions on one timeline.
//! Spec: the case catalogue (ING-11, ING-12, ING-15, ING-16).

use formats::timeline::{Cadence, Clock, Normaliser, Placed, Stamp};
use media::DiscontinuityReason::{self, Backwards, Gap, Jump};
use media::{Duration, Timescale, TrackKind, UnixTime};

fn arrival(millis: u64) -> UnixTime {
    UnixTime::from_millis(1_800_000_000_000 + millis)
}

struct Line {
    normaliser: Normaliser,
    placed: Vec<(TrackKind, Placed)>,
}

impl Line {
    fn new() -> Self {
        Self {
            normaliser: Normaliser::new(Clock::RTMP),
            placed: Vec::new(),
        }
    }

    fn with_sound(sample_rate: u32) -> Self {
        let mut line = Self::new();
        let cadence = Cadence::new(1_024, Timescale::new(sample_rate).unwrap());
        line.normaliser.set_cadence(TrackKind::Audio, cadence);
        line
    }

    fn with_rate(frames: u32, ticks: u32) -> Self {
        let mut line = Self::new();
        line.normaliser.set_cadence(
            TrackKind::Video,
            Cadence::new(ticks, Timescale::new(frames).unwrap()),
        );
        line
    }

    fn unit(&mut self, kind: TrackKind, dts: u32, composition: i64, arrives: u64) {
        let stamp = Stamp {
            dts: dts.into(),
            composition,
        };
        self.placed.extend(
            self.normaliser
                .place(kind, stamp, arrival(arrives))
                .map(|placed| (kind, placed)),
        );
    }

    fn video(&mut self, dts: u32, arrives: u64) {
        self.unit(TrackKind::Video, dts, 0, arrives);
    }

    fn audio(&mut self, dts: u32, arrives: u64) {
        self.unit(TrackKind::Audio, dts, 0, arrives);
    }

    fn of(&self, kind: TrackKind) -> Vec<Placed> {
        self.placed
            .iter()
            .filter(|placed| placed.0 == kind)
            .map(|placed| placed.1)
            .collect()
    }

    fn millis(&self, kind: TrackKind) -> Vec<i64> {
        self.of(kind)
            .iter()
            .map(|placed| placed.dts.as_millis())
            .collect()
    }

    fn breaks(&self) -> Vec<DiscontinuityReason> {
        self.placed
            .iter()
            .filter_map(|placed| placed.1.discontinuity)
            .collect()
    }

    #[track_caller]
    fn assert_sound(&self) {
        for kind in [TrackKind::Video, TrackKind::Audio] {
            let placed = self.of(kind);
            assert!(
                placed.windows(2).all(|pair| pair[0].dts < pair[1].dts),
                "decoding order"
            );
        }
        let mut shown: Vec<_> = self
            .placed
            .iter()
            .map(|placed| (placed.1.pts, placed.1.wall))
            .collect();
        shown.sort_unstable_by_key(|shown| shown.0);
        assert!(
            shown.windows(2).all(|pair| pair[0].1 <= pair[1].1),
            "wall time grows with media time"
        );
    }
}

/// Thirty pictures a second from a counter that starts just before `boundary` and goes on to `after` of it.
fn cross(boundary: u32, after: impl Fn(u32) -> u32) -> Line {
    let mut line = Line::with_rate(30, 1);
    for n in 0..120_u32 {
        let elapsed = n * 100 / 3;
        let stamp = if elapsed < 2_000 {
            boundary.wrapping_sub(2_000).wrapping_add(elapsed)
        } else {
            after(elapsed - 2_000)
        };
        line.video(stamp, elapsed.into());
    }
    line
}

#[test]
fn ing_12_the_32_bit_wrap_is_not_seen() {
    let line = cross(0, |past| past);
    assert!(line.breaks().is_empty());
    assert_eq!(*line.millis(TrackKind::Video).last().unwrap(), 3_966);
    line.assert_sound();
}

#[test]
fn ing_12_counters_of_31_and_24_bits_wrap_unseen() {
    for bits in [31, 24] {
        for wraps in [true, false] {
            let line = cross(
                1 << bits,
                |past| if wraps { past } else { (1 << bits) + past },
            );
            assert!(line.breaks().is_empty(), "{bits} bits, wraps: {wraps}");
            assert_eq!(*line.millis(TrackKind::Video).last().unwrap(), 3_966);
        }
    }
}

#[test]
fn ing_12_tracks_that_wrap_one_after_the_other_stay_together() {
    let mut line = Line::with_sound(48_000);
    let start = u32::MAX - 999;
    for n in 0..60_u32 {
        line.video(start.wrapping_add(n * 100 / 3), (n * 100 / 3).into());
        for m in (n * 100 / 3 * 3 / 64)..((n + 1) * 100 / 3 * 3 / 64) {
            // Sound that comes 100 ms behind its picture.
            line.audio(
                start.wrapping_sub(100).wrapping_add(m * 64 / 3),
                (n * 100 / 3).into(),
            );
        }
    }
    assert!(line.breaks().is_empty());
    line.assert_sound();
    let behind = line.millis(TrackKind::Video).last().unwrap()
        - line.millis(TrackKind::Audio).last().unwrap();
    assert!((80..=130).contains(&behind), "{behind} ms");
}

#[test]
fn ing_11_a_stamp_past_24_bits_goes_on() {
    let line = cross(0xFF_FFFF, |past| 0xFF_FFFF + past);
    assert!(line.breaks().is_empty());
    assert_eq!(*line.millis(TrackKind::Video).last().unwrap(), 3_966);
}

#[test]
fn ing_15_a_step_back_to_zero_is_one_break_and_time_goes_on() {
    let mut line = Line::new();
    let mut at = |from: u32, stamp: u32| {
        for n in 0..60 {
            let elapsed = n * 100 / 3;
            line.video(stamp + elapsed, (from + elapsed).into());
            line.audio(stamp + elapsed, (from + elapsed).into());
        }
    };
    at(0, 100_000);
    at(2_000, 0);
    assert_eq!(line.breaks(), [Backwards]);
    line.assert_sound();
    let video = line.millis(TrackKind::Video);
    assert!(
        (30..=40).contains(&(video[60] - video[59])),
        "{} to {}",
        video[59],
        video[60]
    );
    let apart = video.last().unwrap() - line.millis(TrackKind::Audio).last().unwrap();
    assert!(apart.abs() < 40, "sound and picture are {apart} ms apart");
}

#[test]
fn a_leap_ahead_that_the_wall_clock_does_not_explain_is_closed_up() {
    let mut line = Line::with_rate(30, 1);
    for n in 0..60_u32 {
        let leap = if n < 30 { 0 } else { 3_600_000 };
        line.video(leap + n * 100 / 3, (n * 100 / 3).into());
    }
    assert_eq!(line.breaks(), [Jump]);
    line.assert_sound();
    assert!((1_950..2_000).contains(line.millis(TrackKind::Video).last().unwrap()));
}

#[test]
fn a_silence_of_both_tracks_is_a_gap_and_keeps_its_length() {
    let mut line = Line::with_sound(48_000);
    for from in [0, 13_000] {
        for n in 0..90_u32 {
            let now = from + n * 100 / 3;
            line.video(now, now.into());
            line.audio(now, now.into());
        }
    }
    assert_eq!(line.breaks(), [Gap]);
    line.assert_sound();
    let video = line.millis(TrackKind::Video);
    assert!((10_033..=10_034).contains(&(video[90] - video[89])));
}

#[test]
fn a_hole_in_one_track_is_no_break_of_the_session() {
    for holed in [TrackKind::Audio, TrackKind::Video] {
        let mut line = Line::with_sound(48_000);
        for n in 0..600_u32 {
            let now = n * 100 / 3;
            let hole = (5_000..15_000).contains(&now);
            for kind in [TrackKind::Video, TrackKind::Audio] {
                if !(hole && kind == holed) {
                    line.unit(kind, now, 0, now.into());
                }
            }
        }
        assert!(line.breaks().is_empty());
        line.assert_sound();
        let last = |kind| *line.millis(kind).last().unwrap();
        assert!((last(TrackKind::Video) - last(TrackKind::Audio)).abs() < 40);
    }
}

#[test]
fn pictures_far_apart_by_nature_make_one_gap_at_most() {
    let mut line = Line::new();
    for n in 0..20_u32 {
        line.video(n * 5_000, (n * 5_000).into());
    }
    assert!(line.breaks().len() <= 1, "{:?}", line.breaks());
    line.assert_sound();
}

#[test]
fn stamps_rounded_to_milliseconds_are_put_back_on_the_grid_at_every_common_rate() {
    for (frames, ticks) in [
        (24_000, 1_001),
        (24, 1),
        (25, 1),
        (30_000, 1_001),
        (30, 1),
        (50, 1),
        (60_000, 1_001),
        (60, 1),
    ] {
        // Rounded down, to nearest, and up, as encoders do.
        for rounding in [0_u64, 500, 999] {
            let mut line = Line::with_rate(frames, ticks);
            for n in 0..2_000_u64 {
                let micros = n * 1_000_000 * u64::from(ticks) / u64::from(frames);
                let stamp = (micros + rounding) / 1_000;
                line.video(u32::try_from(stamp).unwrap(), stamp);
            }
            let exact = 1_000_000_000 * i64::from(ticks) / i64::from(frames);
            let placed = line.of(TrackKind::Video);
            assert!(
                placed
                    .windows(2)
                    .all(|pair| (pair[1].dts.since(pair[0].dts).as_nanos() - exact).abs() <= 1),
                "{frames}/{ticks} rounded by {rounding}"
            );
            assert_eq!(
                placed[1]
                    .duration
                    .unwrap()
                    .as_nanos()
                    .abs_diff(exact.unsigned_abs())
                    / 2,
                0
            );
        }
    }
}

#[test]
fn a_frame_rate_that_nobody_tells_is_found() {
    for (frames, ticks) in [(30_000_u64, 1_001_u64), (25, 1), (60, 1)] {
        let mut line = Line::new();
        for n in 0..400_u64 {
            let stamp = (n * 1_000 * ticks + frames / 2) / frames;
            line.video(u32::try_from(stamp).unwrap(), stamp);
        }
        let exact = 1_000_000_000 * i64::try_from(ticks).unwrap() / i64::try_from(frames).unwrap();
        let placed = line.of(TrackKind::Video);
        assert!(
            placed[100..]
                .windows(2)
                .all(|pair| (pair[1].dts.since(pair[0].dts).as_nanos() - exact).abs() <= 1)
        );
    }
}

#[test]
fn a_frame_rate_told_wrong_does_no_harm() {
    for (told, real) in [
        ((60, 1), 30_u64),
        ((15, 1), 30),
        ((25, 1), 30),
        ((240, 1), 60),
    ] {
        let mut line = Line::with_rate(told.0, told.1);
        for n in 0..600_u64 {
            let stamp = n * 1_000 / real;
            line.video(u32::try_from(stamp).unwrap(), stamp);
        }
        line.assert_sound();
        for (n, placed) in line.of(TrackKind::Video).iter().enumerate() {
            let expect = 1_000_000_000 * i64::try_from(n).unwrap() / i64::try_from(real).unwrap();
            let error = placed.dts.as_nanos() - expect;
            assert!(
                error.abs() < 3_000_000,
                "told {told:?}, real {real}: picture {n} is {error} ns off"
            );
        }
    }
}

#[test]
fn uneven_frames_keep_their_own_times() {
    let mut line = Line::with_rate(30, 1);
    let (mut now, mut expect) = (0_u32, Vec::new());
    for n in 0..300_u32 {
        expect.push(i64::from(now));
        line.video(now, now.into());
        now += 20 + n * 7 % 31;
    }
    let placed = line.millis(TrackKind::Video);
    assert!(
        placed
            .iter()
            .zip(&expect)
            .all(|(placed, expect)| (placed - expect).abs() <= 2)
    );
}

#[test]
fn b_frames_are_shown_on_the_grid_and_never_before_they_are_decoded() {
    let mut line = Line::with_rate(30_000, 1_001);
    // I P B B order with two frames of reordering, each value rounded on its own.
    for n in 0..300_u64 {
        let shift = [2_u64, 4, 1, 1][usize::try_from(n % 4).unwrap()];
        let millis = |frames: u64| (frames * 1_001_000 + 15_000) / 30_000;
        let dts = millis(n);
        line.unit(
            TrackKind::Video,
            u32::try_from(dts).unwrap(),
            i64::try_from(millis(n + shift) - dts).unwrap(),
            dts,
        );
    }
    line.assert_sound();
    let frame = 1_001_000_000_000 / 30_000;
    for placed in line.of(TrackKind::Video) {
        let offset = placed.pts.since(placed.dts).as_nanos();
        assert!(offset >= 0);
        let rest = offset.rem_euclid(frame);
        assert!(
            rest.min(frame - rest) <= 4,
            "{offset} ns is not a whole number of frames"
        );
    }
}

#[test]
fn negative_and_absurd_composition_offsets_are_contained() {
    let mut line = Line::with_rate(30, 1);
    for (n, offset) in [0, -40, -8_388_608, 8_388_607, 66].into_iter().enumerate() {
        let now = u32::try_from(n).unwrap() * 33;
        line.unit(TrackKind::Video, now, offset, now.into());
    }
    let offsets: Vec<_> = line
        .of(TrackKind::Video)
        .iter()
        .map(|p| p.pts.since(p.dts).as_millis())
        .collect();
    assert_eq!(offsets, [0, 0, 0, 0, 66]);
}

#[test]
fn sound_follows_its_samples_exactly_whatever_the_stamps_round_to() {
    for rate in [44_100_u64, 48_000, 22_050] {
        let mut line = Line::with_sound(u32::try_from(rate).unwrap());
        for n in 0..20_000_u64 {
            // Jitter of a capture clock on top of rounding.
            let stamp = n * 1_024 * 1_000 / rate + n * 7_919 % 5;
            line.audio(u32::try_from(stamp).unwrap(), stamp);
        }
        let placed = line.of(TrackKind::Audio);
        let scale = Timescale::new(u32::try_from(rate).unwrap()).unwrap();
        assert!(placed.windows(2).all(|pair| {
            let ticks = |placed: &Placed| placed.dts.to_ticks(scale, media::Rounding::Nearest);
            ticks(&pair[1]) - ticks(&pair[0]) == 1_024
        }));
    }
}

#[test]
fn ing_16_sound_that_drifts_by_one_percent_stays_with_its_stamps() {
    for per_thousand in [990_u64, 1_010] {
        let mut line = Line::with_sound(48_000);
        for n in 0..10_000_u64 {
            let stamp = n * 1_024 * per_thousand / 48_000;
            line.audio(u32::try_from(stamp).unwrap(), stamp);
        }
        line.assert_sound();
        let placed = line.of(TrackKind::Audio);
        assert!(placed.len() >= 9_990);
        for (n, placed) in placed.iter().enumerate().skip(placed.len() - 1_000) {
            let stamp = i64::try_from(n as u64 * 1_024 * per_thousand / 48_000).unwrap();
            let error = placed.dts.as_millis() - stamp;
            assert!(error.abs() < 40, "unit {n} is {error} ms off");
        }
        // No audible step: each unit follows the one before within half a millisecond.
        let unit = 1_024_000_000 / 48;
        assert!(
            placed
                .windows(2)
                .all(|pair| (pair[1].dts.since(pair[0].dts).as_nanos() - unit).abs() < 500_000)
        );
    }
}

#[test]
fn ing_16_sound_whose_stamps_drift_by_one_percent_is_brought_back_to_the_picture() {
    for per_thousand in [990_u64, 1_010] {
        let mut line = Line::with_sound(48_000);
        let (mut next_audio, mut worst) = (0_u64, 0);
        for n in 0..30 * 600_u64 {
            let now = n * 100 / 3;
            line.video(u32::try_from(now).unwrap(), now);
            // Sound that happens now, stamped by a clock that is one percent off.
            while next_audio * 64 * per_thousand / 3_000 <= now * per_thousand / 1_000 {
                line.audio(
                    u32::try_from(next_audio * 64 * per_thousand / 3_000).unwrap(),
                    now,
                );
                next_audio += 1;
            }
            let at = |kind| {
                line.placed
                    .iter()
                    .rev()
                    .find(|placed| placed.0 == kind)
                    .unwrap()
                    .1
                    .pts
            };
            let apart = at(TrackKind::Audio).since(at(TrackKind::Video)).as_millis();
            worst = if now > 60_000 {
                worst.max(apart.abs())
            } else {
                0
            };
        }
        line.assert_sound();
        assert!(line.breaks().is_empty());
        assert!(worst < 700, "{worst} ms apart at {per_thousand}");
    }
}

#[test]
fn ing_12_counters_of_other_protocols_wrap_unseen() {
    for (hertz, bits) in [(90_000, 32), (90_000, 33), (1_000_000, 32)] {
        let clock = Clock {
            timescale: Timescale::new(hertz).unwrap(),
            bits,
        };
        let mut normaliser = Normaliser::new(clock);
        let mut last = None;
        for n in 0..300_u64 {
            let stamp =
                ((1 << bits) - u64::from(hertz) * 5 + n * u64::from(hertz) / 30) % (1 << bits);
            let stamp = Stamp {
                dts: stamp,
                composition: 0,
            };
            let placed = normaliser
                .place(TrackKind::Video, stamp, arrival(n * 100 / 3))
                .unwrap();
            assert_eq!(placed.discontinuity, None, "{hertz} Hz, {bits} bits");
            last = Some(placed.dts);
        }
        assert!(
            (9_960..=9_970).contains(&last.unwrap().as_millis()),
            "{last:?}"
        );
    }
}

#[test]
fn sound_that_is_sent_twice_is_dropped_once() {
    let mut line = Line::with_sound(48_000);
    for n in (0..100).chain(80..200_u32) {
        let stamp = n * 64 / 3;
        line.audio(stamp, 4_000.min(stamp.into()));
    }
    line.assert_sound();
    assert!(line.breaks().is_empty());
    assert!(
        (195..=205).contains(&line.placed.len()),
        "{} units",
        line.placed.len()
    );
}

#[test]
fn wall_time_finds_the_least_delay_behind_a_burst_and_jitter() {
    let mut line = Line::with_rate(30, 1);
    for n in 0..300_u64 {
        let stamp = n * 100 / 3;
        // The first 400 ms arrive at once, late; after that each picture has up to 50 ms of jitter.
        let arrives = if stamp < 400 {
            400
        } else {
            stamp + 20 + n * 37 % 50
        };
        line.video(u32::try_from(stamp).unwrap(), arrives.max(400));
    }
    line.assert_sound();
    let error = |n: u64| {
        let placed = line.of(TrackKind::Video)[usize::try_from(n).unwrap()];
        placed.wall.since(arrival(n * 100 / 3 + 20)).as_millis()
    };
    assert!(
        (60..299).all(|n| error(n).abs() <= 5),
        "{:?}",
        (60..299).map(error).max()
    );
}

#[test]
fn wall_time_follows_a_publisher_whose_clock_is_slow() {
    let mut line = Line::with_rate(30, 1);
    for n in 0..9_000_u64 {
        let stamp = n * 100 / 3;
        line.video(u32::try_from(stamp).unwrap(), stamp * 1_001 / 1_000);
    }
    line.assert_sound();
    let last = line.of(TrackKind::Video)[8_999];
    let error = last
        .wall
        .since(arrival(8_999 * 100 / 3 * 1_001 / 1_000))
        .as_millis();
    assert!(error.abs() <= 15, "{error} ms after five minutes");
}

#[test]
fn a_second_track_with_a_clock_of_its_own_is_laid_beside_the_first() {
    let mut line = Line::with_sound(48_000);
    for n in 0..150_u32 {
        line.video(n * 100 / 3, (n * 100 / 3).into());
        line.audio(3_000_000_000 + n * 64 / 3, (n * 100 / 3).into());
    }
    assert!(line.breaks().is_empty());
    line.assert_sound();
    assert!(line.millis(TrackKind::Audio)[0].abs() < 40);
}

#[test]
fn durations_are_those_of_the_cadence() {
    let line = cross(0, |past| past);
    let whole = Duration::from_ticks(1, Timescale::new(30).unwrap()).as_nanos();
    assert!(
        line.of(TrackKind::Video).iter().all(|placed| placed
            .duration
            .unwrap()
            .as_nanos()
            .abs_diff(whole)
            <= 1)
    );
}
