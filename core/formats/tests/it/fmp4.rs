//! Fragmented MP4: what goes in comes out, however the bytes are divided, and another reader agrees.
//!
//! In → Out: generated samples → chunks → samples.
//! Spec: ISO/IEC 14496-12.

use bytes::Bytes;
use formats::container::fmp4::demux::{DemuxError, Demuxer, Item, Limits};
use formats::container::fmp4::mux::{self, MuxError, ProducerTime, Run, Sample, TrackLayout};
use media::{Rotation, Track, TrackId, UnixTime};
use mp4_atom::Decode as _;
use proptest::prelude::*;

use crate::tracks::{AVCC, audio, video};

const LC_48K: [u8; 2] = [0x11, 0x90];

fn tracks() -> Vec<Track> {
    vec![video(Rotation::None), audio(48_000, &LC_48K)]
}

/// Reads everything, in pieces of the given sizes over and over.
fn demux(bytes: &[u8], pieces: &[usize]) -> Result<Vec<Item>, DemuxError> {
    let mut demuxer = Demuxer::new(Limits::default());
    let mut items = Vec::new();
    let mut rest = bytes;
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*piece).clamp(1, rest.len()));
        demuxer.handle_bytes(now)?;
        items.extend(std::iter::from_fn(|| demuxer.poll_item()));
        rest = later;
    }
    demuxer.finish()?;
    Ok(items)
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let sample = (
        1_u64..100_000,
        -90_000_i32..90_000,
        1_u32..100_000,
        any::<bool>(),
        0_usize..40,
    );
    (0_u64..1 << 40, prop::collection::vec(sample, 1..6)).prop_map(|(start, samples)| {
        let mut dts = start;
        let build = |(step, composition_offset, duration, sync, size)| {
            dts += step;
            Sample {
                dts,
                composition_offset,
                duration,
                sync,
                payload: Bytes::from(vec![size as u8; size]),
            }
        };
        samples.into_iter().map(build).collect()
    })
}

/// What a reader must see: each sample lasts until the next.
fn expected(track: TrackId, samples: &[Sample]) -> Vec<Item> {
    let duration = |index: usize| match samples.get(index + 1) {
        Some(next) => (next.dts - samples[index].dts) as u32,
        None => samples[index].duration,
    };
    let item = |(index, sample): (usize, &Sample)| {
        Item::Sample(formats::container::fmp4::demux::Sample {
            track,
            dts: sample.dts,
            composition_offset: sample.composition_offset,
            duration: duration(index),
            sync: sample.sync,
            payload: sample.payload.clone(),
        })
    };
    samples.iter().enumerate().map(item).collect()
}

proptest! {
    #[test]
    fn chunks_are_read_as_they_were_written(
        pictures in samples(),
        sounds in samples(),
        with_sound in any::<bool>(),
        stamp in prop::option::of(0_u64..1 << 50),
        sequence in 1_u32..,
        pieces in prop::collection::vec(1_usize..200, 1..5),
    ) {
        let tracks = tracks();
        let layouts: Vec<TrackLayout> = tracks.iter().map(TrackLayout::of).collect();
        let mut runs = vec![Run { layout: &layouts[0], samples: &pictures }];
        if with_sound {
            runs.push(Run { layout: &layouts[1], samples: &sounds });
        }
        let stamp = stamp.map(|media_time| ProducerTime {
            track: TrackId::VIDEO,
            media_time,
            wall: UnixTime::from_millis(1_795_350_896_789),
        });
        let mut bytes = mux::init_section(&tracks).unwrap().to_vec();
        bytes.extend_from_slice(&mux::chunk(sequence, stamp, &runs).unwrap());
        let items = demux(&bytes, &pieces).unwrap();
        let mut wanted: Vec<Item> = stamp.into_iter().map(Item::ProducerTime).collect();
        wanted.extend(expected(TrackId::VIDEO, &pictures));
        if with_sound {
            wanted.extend(expected(TrackId::AUDIO, &sounds));
        }
        wanted.push(Item::ChunkEnd);
        prop_assert!(matches!(&items[0], Item::Init(tracks) if tracks.len() == 2));
        prop_assert_eq!(&items[1..], &wanted[..]);
    }

    #[test]
    fn another_reader_agrees(pictures in samples(), sounds in samples()) {
        let tracks = tracks();
        let layouts: Vec<TrackLayout> = tracks.iter().map(TrackLayout::of).collect();
        let runs =
            [Run { layout: &layouts[0], samples: &pictures }, Run { layout: &layouts[1], samples: &sounds }];
        let bytes = mux::chunk(7, None, &runs).unwrap();
        let mut rest = &bytes[..];
        let moof = mp4_atom::Moof::decode(&mut rest).unwrap();
        prop_assert_eq!(moof.mfhd.sequence_number, 7);
        let head = bytes.len() - rest.len();
        for (traf, samples) in moof.traf.iter().zip([&pictures, &sounds]) {
            prop_assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, samples[0].dts);
            let run = &traf.trun[0];
            let mut at = usize::try_from(run.data_offset.unwrap()).unwrap();
            prop_assert!(at >= head + 8);
            for (entry, sample) in run.samples.iter().zip(samples) {
                prop_assert_eq!(entry.size.unwrap() as usize, sample.payload.len());
                prop_assert_eq!(entry.cts.unwrap_or(0), i64::from(sample.composition_offset));
                prop_assert_eq!(&bytes[at..at + sample.payload.len()], &sample.payload[..]);
                at += sample.payload.len();
            }
        }
    }

    #[test]
    fn hostile_bytes_never_panic_nor_grow(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        at in 0_usize..900,
        pieces in prop::collection::vec(1_usize..64, 1..4),
    ) {
        // A valid object with some of its bytes replaced reaches deeper than noise.
        let tracks = tracks();
        let layout = TrackLayout::of(&tracks[0]);
        let sample =
            Sample { dts: 5, composition_offset: 0, duration: 1, sync: true, payload: Bytes::from_static(b"picture") };
        let mut object = mux::init_section(&tracks).unwrap().to_vec();
        object.extend_from_slice(&mux::chunk(1, None, &[Run { layout: &layout, samples: &[sample] }]).unwrap());
        for (place, byte) in object.iter_mut().skip(at).zip(&bytes) {
            *place = *byte;
        }
        let _ = demux(&object, &pieces);
        let _ = demux(&bytes, &pieces);
    }
}

#[test]
fn init_section_says_live_and_keeps_configurations_as_they_are() {
    // HE-AAC: what stands behind the first two bytes must not be lost.
    let he_aac = [0x2b, 0x11, 0x88, 0x00];
    let bytes = mux::init_section(&[video(Rotation::None), audio(44_100, &he_aac)]).unwrap();
    let mut rest = &bytes[..];
    let ftyp = mp4_atom::Ftyp::decode(&mut rest).unwrap();
    assert_eq!(ftyp.major_brand, b"iso6".into());
    let moov = mp4_atom::Moov::decode(&mut rest).unwrap();
    assert_eq!(moov.mvhd.duration, 0);
    let mvex = moov.mvex.unwrap();
    assert_eq!(mvex.mehd, None);
    assert_eq!(mvex.trex.len(), 2);
    assert_eq!(mvex.trex[0].default_sample_duration, 3_000);
    assert_eq!(mvex.trex[1].default_sample_duration, 1_024);
    let items = demux(&bytes, &[usize::MAX]).unwrap();
    let [Item::Init(tracks)] = &items[..] else {
        panic!("{items:?}")
    };
    assert_eq!(tracks[0].decoder_config, AVCC[..]);
    assert_eq!(tracks[1].decoder_config, he_aac[..]);
    assert_eq!(
        (&tracks[0].sample_entry, &tracks[1].sample_entry),
        (b"avc1", b"mp4a")
    );
    assert_eq!(
        (tracks[0].timescale.hertz(), tracks[1].timescale.hertz()),
        (90_000, 44_100)
    );
}

#[test]
fn long_configurations_survive_and_absurd_ones_are_refused() {
    for length in [127, 128, 129, 16_383, 16_384, 60_000] {
        let config: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let bytes = mux::init_section(&[audio(48_000, &config)]).unwrap();
        let items = demux(&bytes, &[usize::MAX]).unwrap();
        let [Item::Init(tracks)] = &items[..] else {
            panic!("{items:?}")
        };
        assert_eq!(tracks[0].decoder_config, config);
    }
    let refused = mux::init_section(&[audio(48_000, &vec![0; 70_000])]);
    assert_eq!(
        refused,
        Err(MuxError::ConfigTooLong {
            track: TrackId::AUDIO,
            length: 70_000
        })
    );
    assert_eq!(mux::init_section(&[]), Err(MuxError::NoTracks));
}

#[test]
fn a_usual_chunk_costs_little() {
    let tracks = tracks();
    let layouts: Vec<TrackLayout> = tracks.iter().map(TrackLayout::of).collect();
    let sample = |duration| Sample {
        dts: 90_000,
        composition_offset: 0,
        duration,
        sync: duration == 1_024,
        payload: Bytes::from_static(b"x"),
    };
    let (picture, sound) = ([sample(3_000)], [sample(1_024)]);
    let video_only = mux::chunk(
        1,
        None,
        &[Run {
            layout: &layouts[0],
            samples: &picture,
        }],
    )
    .unwrap();
    assert_eq!(video_only.len() - 1, 100);
    let both = [
        Run {
            layout: &layouts[0],
            samples: &picture,
        },
        Run {
            layout: &layouts[1],
            samples: &sound,
        },
    ];
    assert_eq!(mux::chunk(1, None, &both).unwrap().len() - 2, 168);
}

#[test]
fn decode_times_must_grow() {
    let layout = TrackLayout::of(&tracks()[0]);
    let sample = |dts| Sample {
        dts,
        composition_offset: 0,
        duration: 1,
        sync: false,
        payload: Bytes::from_static(b"x"),
    };
    for samples in [
        [sample(5), sample(5)],
        [sample(5), sample(4)],
        [sample(0), sample(1 << 33)],
    ] {
        let outcome = mux::chunk(
            1,
            None,
            &[Run {
                layout: &layout,
                samples: &samples,
            }],
        );
        assert_eq!(
            outcome,
            Err(MuxError::DecodeTime {
                track: TrackId::VIDEO,
                index: 1
            })
        );
    }
    assert_eq!(mux::chunk(1, None, &[]), Err(MuxError::Empty));
}

#[test]
fn torn_and_oversized_objects_are_told() {
    let tracks = tracks();
    let layout = TrackLayout::of(&tracks[0]);
    let sample = Sample {
        dts: 5,
        composition_offset: 0,
        duration: 1,
        sync: true,
        payload: Bytes::from(vec![1; 1_000]),
    };
    let init = mux::init_section(&tracks).unwrap();
    let chunk = mux::chunk(
        1,
        None,
        &[Run {
            layout: &layout,
            samples: &[sample],
        }],
    )
    .unwrap();
    let object = [&init[..], &chunk[..]].concat();
    for cut in [object.len() - 1, object.len() - 1_001, init.len() + 3, 10] {
        assert_eq!(
            demux(&object[..cut], &[7]),
            Err(DemuxError::Truncated),
            "cut at {cut}"
        );
    }
    assert_eq!(
        demux(&chunk, &[7]),
        Err(DemuxError::UnknownTrack {
            offset: 0,
            track: TrackId::VIDEO
        })
    );
    let mut small = Demuxer::new(Limits {
        data: 999,
        ..Limits::default()
    });
    let offset = object.len() as u64 - 1_008;
    assert_eq!(
        small.handle_bytes(&object),
        Err(DemuxError::TooLarge { offset })
    );
    // A declared size is believed only up to the limit, and nothing is allocated for it.
    let mut declared = Demuxer::new(Limits::default());
    assert_eq!(
        declared.handle_bytes(b"\xff\xff\xff\xffmoov"),
        Err(DemuxError::TooLarge { offset: 0 })
    );
}
