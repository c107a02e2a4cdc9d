//! One publisher's session: which tracks are announced when, and what is refused.
//!
//! In → Out: tag bodies in odd orders and odd codecs → events, notices, refusals.
//! Spec: the case catalogue (ING-07 to ING-10, ING-16, ING-30).

use bytes::Bytes;
use formats::codec::aac::AacError;
use formats::codec::h264::H264Error;
use formats::container::flv::demux::{FlvError, Metadata, Notice};
use media::{Event, Rotation, TrackConfig, TrackId};

use crate::publisher::{
    AAC, IDR, PPS, SLICE, Sps, Subject, Tracks, audio, audio_config, prefixed, record, video,
    video_config,
};

fn picture(key: bool) -> Bytes {
    video(key, 0, &prefixed(&[if key { &IDR } else { &SLICE }]))
}

#[test]
fn both_tracks_are_announced_with_the_first_unit() {
    let mut subject = Subject::with_both();
    assert!(subject.events.is_empty());
    subject.video(0, &picture(true)).unwrap();
    assert_eq!(subject.set_ids(), [[1, 2]]);
    assert_eq!(subject.units(TrackId::VIDEO).len(), 1);
}

#[test]
fn a_second_track_is_waited_for_no_longer_than_300_ms() {
    let mut subject = Subject::with_video();
    subject.play(0, 300, Tracks::Video);
    assert!(subject.events.is_empty());
    subject.play(300, 301, Tracks::Video);
    assert_eq!(subject.set_ids(), [[1]]);
    assert_eq!(
        subject.units(TrackId::VIDEO).len(),
        10,
        "nothing that waited is lost"
    );
}

#[test]
fn a_promise_of_picture_alone_ends_the_wait_at_once() {
    let mut subject = Subject::new();
    subject.demuxer.handle_metadata(Metadata {
        video: Some(true),
        audio: Some(false),
        ..Metadata::default()
    });
    subject
        .video(0, &video_config(&record(&[&Sps::default().nal()], &[&PPS])))
        .unwrap();
    subject.video(0, &picture(true)).unwrap();
    assert_eq!(subject.set_ids(), [[1]]);
}

#[test]
fn a_phone_that_turns_is_announced_at_the_next_random_access_point() {
    let mut subject = Subject::with_video();
    subject.play(0, 2_500, Tracks::Video);
    subject.demuxer.handle_metadata(Metadata {
        rotation: Rotation::Clockwise90,
        ..Metadata::default()
    });
    subject.play(2_500, 5_000, Tracks::Video);
    let rotations: Vec<_> = subject
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Tracks(tracks) => Some(&tracks[0].config),
            _ => None,
        })
        .map(|config| match config {
            TrackConfig::Video(video) => video.rotation,
            TrackConfig::Audio(_) => panic!("picture alone"),
        })
        .collect();
    assert_eq!(rotations, [Rotation::None, Rotation::Clockwise90]);
    assert_eq!(
        subject.units(TrackId::VIDEO).len(),
        150,
        "no picture is lost"
    );
}

#[test]
fn sound_that_starts_late_is_announced_at_the_next_random_access_point() {
    let mut subject = Subject::with_video();
    subject.play(0, 2_500, Tracks::Video);
    subject.audio(2_500, &audio_config(&AAC)).unwrap();
    subject.play(2_500, 5_000, Tracks::Both);
    assert_eq!(subject.set_ids(), [vec![1], vec![1, 2]]);
    let second = subject
        .events
        .iter()
        .rposition(|event| matches!(event, Event::Tracks(_)))
        .unwrap();
    let Event::Unit(next) = &subject.events[second + 1] else {
        panic!("a unit follows")
    };
    assert!(next.track == TrackId::VIDEO && next.random_access);
    assert_eq!(next.dts.as_millis(), 3_000);
    assert_eq!(
        subject.units(TrackId::VIDEO).len(),
        150,
        "no picture is lost"
    );
    assert!(subject.units(TrackId::AUDIO)[0].dts.as_millis() >= 2_995);
}

#[test]
fn ing_16_sound_alone_and_picture_later() {
    let mut subject = Subject::new();
    subject.audio(0, &audio_config(&AAC)).unwrap();
    subject.play(0, 1_000, Tracks::Audio);
    assert_eq!(subject.set_ids(), [[2]]);
    subject
        .video(
            1_000,
            &video_config(&record(&[&Sps::default().nal()], &[&PPS])),
        )
        .unwrap();
    subject.video(1_010, &picture(false)).unwrap();
    assert_eq!(
        subject.set_ids().len(),
        1,
        "a picture that nothing can start with announces nothing"
    );
    subject.play(2_000, 3_000, Tracks::Both);
    assert_eq!(subject.set_ids(), [vec![2], vec![1, 2]]);
    assert!(subject.units(TrackId::VIDEO)[0].random_access);
}

#[test]
fn ing_16_a_track_that_falls_silent_leaves_the_set_and_comes_back() {
    for silent in [Tracks::Audio, Tracks::Video] {
        let other = if silent == Tracks::Audio {
            Tracks::Video
        } else {
            Tracks::Audio
        };
        let left = if silent == Tracks::Audio { 1 } else { 2 };
        let mut subject = Subject::with_both();
        subject.play(0, 5_000, Tracks::Both);
        subject.play(5_000, 15_000, other);
        subject.play(15_000, 20_000, Tracks::Both);
        assert_eq!(subject.set_ids(), [vec![1, 2], vec![left], vec![1, 2]]);
        assert!(
            subject.breaks().is_empty(),
            "the session itself has no hole"
        );
        let offset = |track: TrackId| subject.units(track).last().unwrap().dts.as_millis();
        assert!(
            (offset(TrackId::VIDEO) - offset(TrackId::AUDIO)).abs() < 50,
            "still in step after the gap"
        );
    }
}

#[test]
fn a_configuration_that_changes_is_announced_before_its_first_picture() {
    let mut subject = Subject::with_both();
    subject.play(0, 1_500, Tracks::Both);
    let larger = record(
        &[&Sps {
            columns: 80,
            rows: 45,
            ..Sps::default()
        }
        .nal()],
        &[&PPS],
    );
    subject.video(1_500, &video_config(&larger)).unwrap();
    subject.video(1_500, &video_config(&larger)).unwrap();
    subject.play(1_501, 3_000, Tracks::Both);
    let sizes: Vec<_> = subject
        .sets()
        .iter()
        .map(|set| match &set[0].config {
            TrackConfig::Video(video) => video.width,
            TrackConfig::Audio(_) => 0,
        })
        .collect();
    assert_eq!(sizes, [640, 1_280]);
    let change = subject
        .events
        .iter()
        .rposition(|event| matches!(event, Event::Tracks(_)))
        .unwrap();
    let Event::Unit(next) = &subject.events[change + 1] else {
        panic!("a unit follows")
    };
    assert!(next.random_access && next.track == TrackId::VIDEO);
}

#[test]
fn ing_09_parameter_sets_that_change_with_each_key_picture_make_as_many_sets() {
    let mut subject = Subject::with_both();
    for second in 0..5 {
        let sps = Sps {
            columns: 40 + second,
            ..Sps::default()
        }
        .nal();
        subject
            .video(
                second * 1_000,
                &video(true, 0, &prefixed(&[&sps, &PPS, &IDR])),
            )
            .unwrap();
        subject.play(second * 1_000 + 33, second * 1_000 + 1_000, Tracks::Both);
    }
    assert_eq!(subject.sets().len(), 5);
    assert_eq!(subject.units(TrackId::VIDEO).len(), 150);
}

#[test]
fn ing_09_a_first_configuration_beyond_limits_refuses_the_session() {
    let bad = record(
        &[&Sps {
            references: 1 << 30,
            ..Sps::default()
        }
        .nal()],
        &[&PPS],
    );
    let error = Subject::new().video(0, &video_config(&bad)).unwrap_err();
    assert_eq!(error, FlvError::Video(H264Error::ReferenceFrames(1 << 30)));
    let mut subject = Subject::with_both();
    subject.play(0, 500, Tracks::Both);
    subject.video(500, &video_config(&bad)).unwrap();
    assert_eq!(
        subject.notices,
        [Notice::VideoConfigIgnored(H264Error::ReferenceFrames(
            1 << 30
        ))]
    );
    subject.play(500, 1_500, Tracks::Both);
    assert_eq!(subject.sets().len(), 1);
}

#[test]
fn ing_07_media_before_its_configuration_is_dropped_and_what_follows_plays() {
    let mut subject = Subject::new();
    subject.play(0, 1_000, Tracks::Both);
    assert!(subject.events.is_empty());
    assert!(subject.demuxer.dropped() > 0);
    subject.audio(1_000, &audio_config(&AAC)).unwrap();
    subject
        .video(
            1_000,
            &video_config(&record(&[&Sps::default().nal()], &[&PPS])),
        )
        .unwrap();
    subject.play(1_500, 3_000, Tracks::Both);
    assert_eq!(subject.set_ids(), [[1, 2]]);
    assert!(subject.units(TrackId::VIDEO)[0].random_access);
    assert_eq!(
        subject.units(TrackId::VIDEO).len(),
        30,
        "from the first key picture on"
    );
}

#[test]
fn ing_08_other_codecs_are_refused_by_name() {
    let refused = |result: Result<(), FlvError>| result.unwrap_err().to_string();
    let ex = |first: u8, four_cc: &[u8]| Bytes::from([&[first], four_cc, &[0; 8]].concat());
    for (four_cc, name) in [
        (b"hvc1", "HEVC"),
        (b"av01", "AV1"),
        (b"vp09", "VP9"),
        (b"zz\0\x01", "'zz\\x00\\x01'"),
    ] {
        let text = refused(Subject::new().video(0, &ex(0x90, four_cc)));
        assert!(text.contains(name) && text.contains("send H.264"), "{text}");
    }
    for (four_cc, name) in [(b"Opus", "Opus"), (b"fLaC", "FLAC"), (b"ac-3", "AC-3")] {
        let text = refused(Subject::new().audio(0, &ex(0x90, four_cc)));
        assert!(text.contains(name), "{text}");
    }
    let old_hevc = refused(Subject::new().video(0, &Bytes::from_static(&[0x1C, 0, 0, 0, 0, 1])));
    assert!(old_hevc.contains("HEVC"), "{old_hevc}");
    let mp3 = refused(Subject::new().audio(0, &Bytes::from_static(&[0x2F, 0xFF, 0xFB])));
    assert!(mp3.contains("MP3"), "{mp3}");
    assert!(refused(Subject::new().video(0, &ex(0x96, b"\0avc"))).contains("multitrack video"));
    assert!(refused(Subject::new().audio(0, &ex(0x95, b"\0mp4"))).contains("multitrack audio"));
}

#[test]
fn ing_08_enhanced_tags_of_our_own_codecs_play_and_hdr_metadata_is_passed_over() {
    let mut subject = Subject::new();
    let sets = record(&[&Sps::default().nal()], &[&PPS]);
    subject
        .video(0, &[&[0x90][..], b"avc1", &sets].concat().into())
        .unwrap();
    subject
        .audio(0, &[&[0x90][..], b"mp4a", &AAC].concat().into())
        .unwrap();
    subject
        .video(
            0,
            &[&[0x94][..], b"avc1", b"\x02\0\x09colorInfo"]
                .concat()
                .into(),
        )
        .unwrap();
    subject
        .video(
            0,
            &[&[0x91][..], b"avc1", &[0, 0, 66], &prefixed(&[&IDR])]
                .concat()
                .into(),
        )
        .unwrap();
    // A nanosecond offset in front, as a modifier.
    let modified = [&[0xA7, 2, 0, 0, 0, 0x03][..], b"avc1", &prefixed(&[&SLICE])].concat();
    subject.video(33, &modified.into()).unwrap();
    subject
        .audio(0, &[&[0x91][..], b"mp4a", &[0x21, 0x10]].concat().into())
        .unwrap();
    assert_eq!(subject.set_ids(), [[1, 2]]);
    let pictures = subject.units(TrackId::VIDEO);
    assert_eq!(pictures[0].pts.since(pictures[0].dts).as_millis(), 66);
    assert_eq!(pictures.len(), 2);
    assert_eq!(subject.units(TrackId::AUDIO).len(), 1);
}

#[test]
fn ing_10_broken_sound_costs_the_sound_and_the_picture_goes_on() {
    let adts = [0xFF, 0xF1, 0x50, 0x80, 0x01, 0x1F, 0xFC, 0x21, 0x10];
    for (config, reason) in [
        (&adts[..], AacError::Adts),
        (&[0x17, 0x80, 0, 0, 0x10], AacError::SampleRate(0)),
        (&[0x11, 0x80], AacError::Channels(0)),
    ] {
        let mut subject = Subject::with_video();
        subject.audio(0, &audio_config(config)).unwrap();
        subject.play(0, 3_000, Tracks::Both);
        assert_eq!(subject.notices, [Notice::AudioRefused(reason)]);
        assert_eq!(subject.set_ids(), [[1]]);
        assert_eq!(subject.units(TrackId::VIDEO).len(), 90);
    }
    let mut subject = Subject::with_both();
    subject.play(0, 1_000, Tracks::Both);
    subject
        .audio(1_000, &[&[0xAF, 1][..], &adts].concat().into())
        .unwrap();
    subject.play(1_000, 3_000, Tracks::Both);
    assert_eq!(subject.set_ids(), [vec![1, 2], vec![1]]);
}

#[test]
fn ing_10_broken_sound_without_any_picture_ends_the_session() {
    let mut subject = Subject::new();
    subject.audio(0, &audio_config(&[0x11, 0x80])).unwrap();
    let error = (0..1_000).find_map(|n| subject.audio(n * 21, &audio()).err());
    assert_eq!(error, Some(FlvError::Audio(AacError::Channels(0))));
}

#[test]
fn ing_30_flipped_bits_never_break_the_order_and_cost_little() {
    for per_million in [1_u64, 10, 100, 1_000] {
        let mut subject = Subject::with_both();
        let mut state = 0x9E37_79B9_7F4A_7C15 + per_million;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for n in 0..300_u32 {
            let mut body = video(
                n % 30 == 0,
                0,
                &prefixed(&[if n % 30 == 0 { &IDR } else { &SLICE }, &[0x41; 900]]),
            )
            .to_vec();
            // The first byte names the codec; flipping that is another test.
            for index in 8..body.len() * 8 {
                if random() % 1_000_000 < per_million {
                    body[index / 8] ^= 1 << (index % 8);
                }
            }
            subject.video(n * 100 / 3, &body.into()).unwrap();
        }
        let units = subject.units(TrackId::VIDEO);
        assert!(units.windows(2).all(|pair| pair[0].dts < pair[1].dts));
        let least = if per_million <= 10 { 250 } else { 1 };
        assert!(
            units.len() >= least,
            "{} pictures of 300 at {per_million} flips a million",
            units.len()
        );
    }
}

#[test]
fn what_waits_for_the_first_announcement_is_not_lost_at_the_end() {
    let mut subject = Subject::with_video();
    subject.play(0, 200, Tracks::Video);
    assert!(subject.events.is_empty());
    let rest: Vec<Event> = subject.demuxer.finish().collect();
    assert!(matches!(rest[0], Event::Tracks(_)));
    assert_eq!(rest.len(), 7);
}

#[test]
fn pkg_06_high_efficiency_sound_is_announced_as_such_with_its_own_configuration() {
    // Explicit, explicit with parametric stereo, and hidden behind a plain configuration.
    for (config, codecs, samples) in [
        (&[0x2B, 0x11, 0x88, 0x00][..], "mp4a.40.5", 2_048),
        (&[0xEB, 0x09, 0x88, 0x00], "mp4a.40.29", 2_048),
        (&[0x13, 0x10, 0x56, 0xE5, 0x98], "mp4a.40.5", 2_048),
        (&[0x11, 0x90], "mp4a.40.2", 1_024),
    ] {
        let mut subject = Subject::with_video();
        subject.audio(0, &audio_config(config)).unwrap();
        subject.video(0, &picture(true)).unwrap();
        let TrackConfig::Audio(audio) = &subject.sets()[0][1].config else {
            panic!("sound second")
        };
        assert_eq!(
            (&*audio.codec_string, audio.samples_per_unit),
            (codecs, samples)
        );
        assert_eq!(
            audio.decoder_config, config,
            "its tail is what tells decoders"
        );
        assert_eq!((audio.sample_rate, audio.channels), (48_000, 2));
    }
}
