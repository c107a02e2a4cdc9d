//! What decoders are told of the order of pictures, and when that is taken back.
//!
//! In → Out: silent parameter sets, pictures with and without B-frames → the hint in the announced configuration.
//! Spec: ITU-T H.264, E.2.1 (`max_num_reorder_frames`); issue "Every viewer's own quality".

use media::{TrackConfig, TrackId, VideoConfig};

use crate::publisher::{
    B_SLICE, IDR, PPS, SLICE, Sps, Subject, Tracks, prefixed, record, video, video_config,
};

/// High profile; the encoder could reorder, and does not say whether it does.
const SILENT: Sps = Sps {
    profile: 100,
    columns: 40,
    rows: 23,
    references: 4,
    order_type: 0,
    crop_bottom: 4,
    timing: Some((60, 1)),
    reorder: None,
};

fn publishes(sps: Sps) -> Subject {
    let mut subject = Subject::new();
    subject
        .video(0, &video_config(&record(&[&sps.nal()], &[&PPS])))
        .unwrap();
    subject
}

/// Pictures of 40 ms as `(which, composition offset)`, 12 to a second, with a key picture each second.
fn sends(subject: &mut Subject, seconds: std::ops::Range<u32>, pattern: &[(&[u8], i32)]) {
    for second in seconds {
        for picture in 0..12 {
            let (nal, composition) = match picture {
                0 => (&IDR[..], pattern[0].1),
                n => pattern[1 + (n - 1) % (pattern.len() - 1)],
            };
            let stamp = second * 1_000 + u32::try_from(picture).unwrap() * 40;
            subject
                .video(stamp, &video(picture == 0, composition, &prefixed(&[nal])))
                .unwrap();
        }
    }
}

const IN_ORDER: [(&[u8], i32); 2] = [(&IDR, 0), (&SLICE, 0)];
/// As most encoders do it: decoding begins early enough that no picture is shown before it is decoded.
const B_FRAMES: [(&[u8], i32); 4] = [(&IDR, 40), (&SLICE, 120), (&B_SLICE, 0), (&B_SLICE, 0)];
/// Nothing at the first picture tells that B-frames follow.
const LATE_B_FRAMES: [(&[u8], i32); 4] =
    [(&IDR, 0), (&SLICE, 80), (&B_SLICE, -40), (&B_SLICE, -40)];

/// The video configurations announced, in order.
fn announced(subject: &Subject) -> Vec<&VideoConfig> {
    fn video(config: &TrackConfig) -> Option<&VideoConfig> {
        match config {
            TrackConfig::Video(video) => Some(video),
            TrackConfig::Audio(_) => None,
        }
    }
    subject
        .sets()
        .into_iter()
        .filter_map(|set| video(&set[0].config))
        .collect()
}

fn has(config: &VideoConfig, sps: Sps) -> bool {
    let nal = sps.nal();
    config
        .decoder_config
        .windows(nal.len())
        .any(|window| window == nal)
}

fn hinted(sps: Sps) -> Sps {
    Sps {
        reorder: Some(0),
        ..sps
    }
}

#[test]
fn a_silent_stream_in_order_is_announced_once_with_the_hint() {
    let mut subject = publishes(SILENT);
    sends(&mut subject, 0..4, &IN_ORDER);
    let [config] = announced(&subject)[..] else {
        panic!("one set, not {}", subject.sets().len())
    };
    assert_eq!(config.reorder_frames, Some(0));
    assert!(has(config, hinted(SILENT)) && !has(config, SILENT));
}

#[test]
fn the_same_sets_in_the_stream_neither_contradict_the_hint_nor_announce_anything() {
    let mut subject = publishes(SILENT);
    for second in 0..3 {
        let body = prefixed(&[&SILENT.nal(), &PPS, &IDR]);
        subject
            .video(second * 1_000, &video(true, 0, &body))
            .unwrap();
    }
    assert_eq!(announced(&subject).len(), 1);
    let units = subject.units(TrackId::VIDEO);
    assert!(units.iter().all(|unit| unit.payload == prefixed(&[&IDR])));
}

#[test]
fn b_frames_from_the_first_picture_on_leave_the_set_as_it_was() {
    let mut subject = publishes(SILENT);
    sends(&mut subject, 0..4, &B_FRAMES);
    let [config] = announced(&subject)[..] else {
        panic!("one set, not {}", subject.sets().len())
    };
    assert_eq!(config.reorder_frames, None);
    assert!(has(config, SILENT));
}

#[test]
fn b_frames_that_come_later_bring_the_original_set_back_before_a_key_picture_and_cost_no_picture() {
    let mut subject = publishes(SILENT);
    sends(&mut subject, 0..3, &IN_ORDER);
    sends(&mut subject, 3..6, &LATE_B_FRAMES);
    sends(&mut subject, 6..8, &IN_ORDER);
    let hints: Vec<_> = announced(&subject)
        .iter()
        .map(|config| (config.reorder_frames, has(config, SILENT)))
        .collect();
    assert_eq!(
        hints,
        [(Some(0), false), (None, true)],
        "once, and for good"
    );
    assert_eq!(subject.units(TrackId::VIDEO).len(), 8 * 12);
    let second = subject
        .events
        .iter()
        .rposition(|event| matches!(event, media::Event::Tracks(_)))
        .unwrap();
    let media::Event::Unit(next) = &subject.events[second + 1] else {
        panic!("a unit follows")
    };
    assert!(next.random_access);
    assert_eq!(next.dts.as_millis(), 4_000, "the first key picture after");
}

#[test]
fn b_slices_alone_are_reason_enough_not_to_promise_order() {
    let mut subject = publishes(SILENT);
    sends(&mut subject, 0..2, &[(&IDR, 0), (&B_SLICE, 0)]);
    let hints: Vec<_> = announced(&subject)
        .iter()
        .map(|config| config.reorder_frames)
        .collect();
    assert_eq!(hints, [Some(0), None]);
}

#[test]
fn even_baseline_is_believed_only_until_its_pictures_come_out_of_order() {
    let baseline = Sps {
        profile: 66,
        ..SILENT
    };
    let mut subject = publishes(baseline);
    let same_delay = [(&IDR[..], 80), (&SLICE[..], 80)];
    sends(&mut subject, 0..2, &same_delay);
    assert!(
        has(announced(&subject)[0], hinted(baseline)),
        "a delay is no reordering"
    );
    sends(
        &mut subject,
        2..4,
        &[(&IDR, 0), (&SLICE, 80), (&SLICE, 0), (&SLICE, 0)],
    );
    let [_, second] = announced(&subject)[..] else {
        panic!("two sets, not {}", subject.sets().len())
    };
    assert!(has(second, baseline) && second.reorder_frames.is_none());
}

#[test]
fn an_explicit_hint_is_never_touched() {
    for frames in [0, 2] {
        let explicit = Sps {
            reorder: Some(frames),
            ..SILENT
        };
        let mut subject = publishes(explicit);
        sends(&mut subject, 0..2, &B_FRAMES);
        let [config] = announced(&subject)[..] else {
            panic!("one set, not {}", subject.sets().len())
        };
        assert_eq!(config.reorder_frames.map(u32::from), Some(frames));
        assert!(has(config, explicit));
    }
}

#[test]
fn clocks_that_jump_wrap_or_round_are_no_reordering() {
    let mut subject = publishes(SILENT);
    let mut stamp = u32::MAX - 2_000;
    for picture in 0..150_u32 {
        stamp = match picture {
            60 => stamp.wrapping_sub(5_000),
            90 => stamp.wrapping_add(60_000),
            _ => stamp.wrapping_add(if picture % 3 == 0 { 34 } else { 33 }),
        };
        let key = picture % 30 == 0;
        let nal = if key { IDR } else { SLICE };
        let rounding = i32::try_from(picture % 2).unwrap();
        subject
            .video(stamp, &video(key, rounding, &prefixed(&[&nal])))
            .unwrap();
    }
    assert!(
        announced(&subject)
            .iter()
            .all(|config| config.reorder_frames == Some(0))
    );
}

#[test]
fn the_hint_outlives_a_change_of_size() {
    let mut subject = publishes(SILENT);
    subject.play(0, 2_000, Tracks::Video);
    let turned = Sps {
        columns: 23,
        rows: 40,
        ..SILENT
    };
    subject
        .video(2_000, &video_config(&record(&[&turned.nal()], &[&PPS])))
        .unwrap();
    subject.play(2_000, 4_000, Tracks::Video);
    let [_, second] = announced(&subject)[..] else {
        panic!("two sets, not {}", subject.sets().len())
    };
    assert!(has(second, hinted(turned)));
}
