//! H.264 as publishers send it, good and bad.
//!
//! In → Out: decoder configuration records and coded pictures → configurations, payloads and refusals.
//! Spec: the case catalogue (ING-09, ING-31, PKG-06).

use bytes::Bytes;
use formats::codec::h264::{H264Error, SEI_LENGTH_MAX, Sps as Parsed, Stream};
use media::Duration;

use crate::publisher::{IDR, PPS, SLICE, Sps, prefixed, record};

fn stream(sps: &Sps) -> Stream {
    let mut stream = Stream::new();
    stream
        .handle_record(&record(&[&sps.nal()], &[&PPS]).into())
        .unwrap();
    stream
}

#[test]
fn a_configuration_tells_size_rate_and_reordering() {
    let config = stream(&Sps {
        timing: Some((60_000, 1_001)),
        ..Sps::default()
    })
    .config()
    .unwrap()
    .unwrap();
    assert_eq!((config.width, config.height), (640, 360));
    assert_eq!(
        config.frame_duration,
        Some(Duration::from_nanos(33_366_667))
    );
    assert_eq!(config.reorder_frames, Some(0));
    assert_eq!(config.codec_string, "avc1.42c01e");
    let silent = Sps {
        profile: 77,
        timing: None,
        reorder: None,
        ..Sps::default()
    };
    let config = stream(&silent).config().unwrap().unwrap();
    assert_eq!((config.frame_duration, config.reorder_frames), (None, None));
}

#[test]
fn a_stream_that_cannot_reorder_says_so_to_hardware_decoders() {
    for sps in [
        Sps {
            timing: None,
            reorder: None,
            ..Sps::default()
        },
        Sps {
            reorder: None,
            ..Sps::default()
        },
        Sps {
            profile: 100,
            order_type: 2,
            reorder: None,
            ..Sps::default()
        },
    ] {
        let original = sps.nal();
        let parsed = Parsed::parse(&original).unwrap();
        let rewritten = parsed
            .with_low_delay(&original)
            .expect("it is silent about reordering");
        let again = Parsed::parse(&rewritten).unwrap();
        assert_eq!((again.width, again.height), (parsed.width, parsed.height));
        assert_eq!(
            (again.reorder_frames, again.frame_duration),
            (Some(0), parsed.frame_duration)
        );
        assert_eq!(again.with_low_delay(&rewritten), None, "and now it is not");
        let config = stream(&sps).config().unwrap().unwrap();
        assert!(
            config
                .decoder_config
                .windows(rewritten.len())
                .any(|window| window == rewritten)
        );
    }
}

#[test]
fn ing_09_sizes_references_and_crops_beyond_limits_are_refused() {
    let refused = |sps: Sps| Parsed::parse(&sps.nal()).unwrap_err();
    let fine = Sps::default();
    assert_eq!(
        refused(Sps {
            references: 0x7FFF_FFFF,
            ..fine
        }),
        H264Error::ReferenceFrames(0x7FFF_FFFF)
    );
    assert_eq!(
        refused(Sps {
            columns: 1_025,
            ..fine
        }),
        H264Error::PictureTooLarge
    );
    assert_eq!(
        refused(Sps {
            rows: u32::MAX,
            ..fine
        }),
        H264Error::PictureTooLarge
    );
    assert_eq!(
        refused(Sps {
            crop_bottom: 184,
            ..fine
        }),
        H264Error::Crop
    );
    assert_eq!(
        refused(Sps {
            crop_bottom: u32::MAX - 1,
            ..fine
        }),
        H264Error::Crop
    );
    assert!(
        Parsed::parse(
            &Sps {
                columns: 1_024,
                rows: 1_024,
                ..fine
            }
            .nal()
        )
        .is_ok()
    );
    let whole = fine.nal();
    for length in 0..10 {
        assert!(
            Parsed::parse(&whole[..length]).is_err(),
            "{length} bytes of an SPS"
        );
    }
}

#[test]
fn ing_09_a_record_without_parameter_sets_waits_for_those_in_the_stream() {
    let mut stream = Stream::new();
    stream.handle_record(&record(&[], &[]).into()).unwrap();
    assert_eq!(stream.config(), Ok(None));
    let body = prefixed(&[&Sps::default().nal(), &PPS, &IDR]);
    let picture = stream.handle_picture(&body.into()).unwrap().unwrap();
    assert!(picture.config_changed && picture.idr);
    assert_eq!(
        picture.payload,
        prefixed(&[&IDR]),
        "parameter sets are taken out"
    );
    assert!(stream.config().unwrap().is_some());
}

#[test]
fn a_picture_that_needs_no_change_is_not_copied() {
    let body = Bytes::from(prefixed(&[&[6, 5, 1, 0, 0x80], &IDR]));
    let picture = stream(&Sps::default())
        .handle_picture(&body)
        .unwrap()
        .unwrap();
    assert_eq!(picture.payload.as_ptr(), body.as_ptr());
}

#[test]
fn ing_31_delimiters_filler_huge_sei_and_unknown_units_are_taken_out() {
    let huge = [&[6_u8, 5][..], &vec![1; SEI_LENGTH_MAX]].concat();
    let filler = [12_u8, 0xFF, 0xFF, 0x80];
    let body = prefixed(&[
        &[9, 0xF0],
        &huge,
        &[6, 5, 1, 0, 0x80],
        &filler,
        &[30, 1],
        &[0],
        &[],
        &IDR,
    ]);
    let picture = stream(&Sps::default())
        .handle_picture(&body.into())
        .unwrap()
        .unwrap();
    assert_eq!(picture.payload, prefixed(&[&[6, 5, 1, 0, 0x80], &IDR]));
}

#[test]
fn ing_31_annex_b_and_other_length_sizes_come_out_with_four_byte_lengths() {
    let sps = Sps::default().nal();
    let annex_b = |nals: &[&[u8]]| {
        nals.iter()
            .flat_map(|nal| [&[0, 0, 0, 1], *nal].concat())
            .collect::<Vec<_>>()
    };
    let mut stream = Stream::new();
    assert_eq!(
        stream.handle_record(&annex_b(&[&sps, &PPS]).into()),
        Ok(true)
    );
    let picture = stream
        .handle_picture(&annex_b(&[&IDR, &SLICE]).into())
        .unwrap()
        .unwrap();
    assert_eq!(picture.payload, prefixed(&[&IDR, &SLICE]));

    let mut short = record(&[&sps], &[&PPS]);
    short[4] = 0xFD;
    stream.handle_record(&short.into()).unwrap();
    let body = [&[0, 5][..], &IDR, &[0, 5], &SLICE].concat();
    assert_eq!(
        stream
            .handle_picture(&body.into())
            .unwrap()
            .unwrap()
            .payload,
        prefixed(&[&IDR, &SLICE])
    );
}

#[test]
fn lengths_that_do_not_add_up_cost_the_picture_only() {
    let mut stream = stream(&Sps::default());
    for body in [&[0, 0, 0, 9, 0x65][..], &[0, 0], &[0xFF; 40]] {
        assert_eq!(
            stream.handle_picture(&Bytes::copy_from_slice(body)),
            Err(H264Error::Framing)
        );
    }
    assert_eq!(
        stream.handle_picture(&prefixed(&[&[9, 0xF0]]).into()),
        Ok(None),
        "nothing to show"
    );
    assert!(
        stream
            .handle_picture(&prefixed(&[&IDR]).into())
            .unwrap()
            .is_some()
    );
}

#[test]
fn changed_sets_in_the_stream_are_noticed_once() {
    let mut stream = stream(&Sps::default());
    let larger = Sps {
        columns: 80,
        ..Sps::default()
    }
    .nal();
    let body = Bytes::from(prefixed(&[&larger, &PPS, &IDR]));
    assert!(
        stream
            .handle_picture(&body)
            .unwrap()
            .unwrap()
            .config_changed
    );
    assert!(
        !stream
            .handle_picture(&body)
            .unwrap()
            .unwrap()
            .config_changed
    );
    assert_eq!(stream.config().unwrap().unwrap().width, 1_280);
}

#[test]
fn parameter_sets_are_bounded_in_number_and_length() {
    let mut stream = stream(&Sps::default());
    for number in 0..200_u32 {
        let pps = crate::publisher::Bits::default()
            .ue(number)
            .u(0xFF, 8)
            .nal(0x68);
        stream
            .handle_picture(&prefixed(&[&pps, &IDR]).into())
            .unwrap();
    }
    assert!(stream.config().unwrap().unwrap().decoder_config.len() < 400);
    let long = [&[0x68][..], &vec![0xFF; 5_000]].concat();
    assert!(
        !stream
            .handle_picture(&prefixed(&[&long, &IDR]).into())
            .unwrap()
            .unwrap()
            .config_changed
    );
}

#[test]
fn pkg_06_the_codec_string_is_what_the_set_says_whatever_the_record_says() {
    // Encoders that copy a template into the record, or state a level that their picture exceeds by far.
    let mut lying = record(
        &[&Sps {
            profile: 100,
            columns: 120,
            rows: 68,
            ..Sps::default()
        }
        .nal()],
        &[&PPS],
    );
    lying[1..4].copy_from_slice(&[66, 0, 10]);
    let mut stream = Stream::new();
    stream.handle_record(&lying.into()).unwrap();
    let config = stream.config().unwrap().unwrap();
    assert_eq!((config.width, config.height), (1_920, 1_080));
    assert_eq!(config.codec_string, "avc1.64c01e");
    assert_eq!(
        config.decoder_config[1..4],
        [0x64, 0xC0, 0x1E],
        "nor does the init section repeat it"
    );
}
