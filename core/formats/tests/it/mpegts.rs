//! Transport streams: what goes in comes out, loss costs what was lost, and garbage costs nothing more.
//!
//! In → Out: generated access units → packets → access units.
//! Spec: ISO/IEC 13818-1.

use formats::container::mpegts::demux::{Demuxer, Faults, Pes, adts_frames, nal_units};
use formats::container::mpegts::mux::{Mux, PACKET, Unit};
use media::{Rotation, Timescale, Timestamp, TrackKind};
use proptest::prelude::*;

use crate::tracks::{AVCC, audio, video};

const LC_48K: [u8; 2] = [0x11, 0x90];
const BASE: u64 = 90_000;

#[derive(Clone, Debug)]
struct Stored {
    kind: TrackKind,
    pts: i64,
    dts: i64,
    random_access: bool,
    payload: Vec<u8>,
}

impl Stored {
    fn unit(&self) -> Unit<'_> {
        Unit {
            kind: self.kind,
            pts: Timestamp::from_ticks(self.pts, Timescale::MPEG),
            dts: Timestamp::from_ticks(self.dts, Timescale::MPEG),
            random_access: self.random_access,
            payload: &self.payload,
        }
    }
}

/// One slice with its length before it; no byte that would look like a start code.
fn slice(header: u8, size: usize) -> Vec<u8> {
    let mut payload = (size as u32 + 1).to_be_bytes().to_vec();
    payload.push(header);
    payload.extend((0..size).map(|index| (index % 250) as u8 + 3));
    payload
}

fn units() -> impl Strategy<Value = Vec<Stored>> {
    let picture = (0_i64..1 << 40, 0_i64..20_000, any::<bool>(), 0_usize..3_000);
    let picture = picture.prop_map(|(dts, offset, random_access, size)| Stored {
        kind: TrackKind::Video,
        pts: dts + offset,
        dts,
        random_access,
        payload: slice(if random_access { 0x65 } else { 0x41 }, size),
    });
    let sound = (0_i64..1 << 40, 1_usize..2_000).prop_map(|(pts, size)| Stored {
        kind: TrackKind::Audio,
        pts,
        dts: pts,
        random_access: true,
        payload: (0..size).map(|index| (index % 255) as u8).collect(),
    });
    prop::collection::vec(prop_oneof![picture, sound], 1..8)
}

fn demux(bytes: &[u8], piece: usize) -> (Vec<Pes>, Faults) {
    let mut demuxer = Demuxer::default();
    for bytes in bytes.chunks(piece.max(1)) {
        demuxer.handle_bytes(bytes);
    }
    demuxer.finish();
    (
        std::iter::from_fn(|| demuxer.poll_pes()).collect(),
        demuxer.faults(),
    )
}

fn mux() -> Mux {
    Mux::new(&[video(Rotation::None), audio(48_000, &LC_48K)])
}

proptest! {
    #[test]
    fn packets_are_read_as_they_were_written(units in units(), piece in 1_usize..500) {
        let mut mux = mux();
        let mut bytes = Vec::new();
        for unit in &units {
            let written = mux.write(&[unit.unit()]);
            prop_assert_eq!(written.len() % PACKET, 0);
            bytes.extend_from_slice(&written);
        }
        // The demuxer wants to see the next sync byte before it trusts the first.
        let (found, faults) = demux(&[&bytes[..], &[0x47]].concat(), piece);
        prop_assert_eq!(faults, Faults::default());
        prop_assert_eq!(found.len(), units.len());
        let mask = (1_u64 << 33) - 1;
        for stream_type in [0x1b, 0x0f] {
            let kind = if stream_type == 0x1b { TrackKind::Video } else { TrackKind::Audio };
            let stored = units.iter().filter(|unit| unit.kind == kind);
            for (pes, unit) in found.iter().filter(|pes| pes.stream_type == stream_type).zip(stored) {
                prop_assert_eq!(pes.pts, Some((unit.pts as u64 + BASE) & mask));
                prop_assert_eq!(pes.dts, Some((unit.dts as u64 + BASE) & mask));
                prop_assert_eq!(pes.random_access, unit.random_access);
                if kind == TrackKind::Audio {
                    prop_assert_eq!(adts_frames(&pes.payload), vec![&unit.payload[..]]);
                    continue;
                }
                let nals = nal_units(&pes.payload);
                prop_assert_eq!(nals[0], &[9, 0xf0]);
                prop_assert_eq!(*nals.last().unwrap(), &unit.payload[4..]);
                let sets: Vec<&[u8]> = nals[1..nals.len() - 1].to_vec();
                let wanted: Vec<&[u8]> = if unit.random_access { vec![&AVCC[8..12], &AVCC[15..18]] } else { vec![] };
                prop_assert_eq!(sets, wanted);
                let clock = pes.clock.unwrap();
                prop_assert_eq!(clock, (unit.dts as u64 + BASE - 9_000) & mask);
            }
        }
    }

    #[test]
    fn lost_packets_cost_only_what_they_carried(units in units(), lost in 0_usize..200) {
        let mut mux = mux();
        let mut bytes = Vec::new();
        for unit in &units {
            bytes.extend_from_slice(&mux.write(&[unit.unit()]));
        }
        let whole = demux(&[&bytes[..], &[0x47]].concat(), 188).0;
        let packets = bytes.len() / PACKET;
        // The tables stay: without them nothing is found before the next segment.
        let lost = 2 + lost % (packets - 2).max(1);
        bytes.drain((lost * PACKET).min(bytes.len())..((lost + 1) * PACKET).min(bytes.len()));
        let (found, _) = demux(&[&bytes[..], &[0x47]].concat(), 188);
        prop_assert!(found.len() + 1 >= whole.len());
        for pes in &found {
            let torn = !whole.contains(pes);
            // Only a picture without a stated length may come out shortened, and only at its end.
            prop_assert!(!torn || whole.iter().any(|full| full.pts == pes.pts && full.payload.starts_with(&pes.payload)));
        }
    }

    #[test]
    fn hostile_bytes_never_panic(
        noise in prop::collection::vec(any::<u8>(), 0..600),
        at in 0_usize..2_000,
        units in units(),
        piece in 1_usize..400,
    ) {
        let mut mux = mux();
        let mut bytes: Vec<u8> = units.iter().flat_map(|unit| mux.write(&[unit.unit()])).collect();
        for (place, byte) in bytes.iter_mut().skip(at).zip(&noise) {
            *place = *byte;
        }
        let (found, _) = demux(&bytes, piece);
        for pes in found {
            let _ = (nal_units(&pes.payload).len(), adts_frames(&pes.payload).len());
        }
        let _ = demux(&noise, piece);
    }
}

#[test]
fn a_reader_that_starts_in_garbage_finds_the_grid() {
    let mut mux = mux();
    let picture = Stored {
        kind: TrackKind::Video,
        pts: 0,
        dts: 0,
        random_access: true,
        payload: slice(0x65, 500),
    };
    let bytes: Vec<u8> = (0..3)
        .flat_map(|_| {
            mux.start_segment();
            mux.write(&[picture.unit()])
        })
        .collect();
    let garbage = [0x47; 100];
    let (found, faults) = demux(&[&garbage[..], &bytes[50..], &[0x47]].concat(), 33);
    assert!(found.len() >= 2, "{}", found.len());
    assert!(faults.skipped > 0);
}

#[test]
fn lengths_are_stated_wherever_sixteen_bits_can() {
    let mut mux = mux();
    let length = |bytes: &[u8], pid: u8| {
        let packet = bytes
            .chunks(PACKET)
            .find(|packet| packet[1] & 0x40 != 0 && packet[2] == pid && packet[1] & 0x1f == 1);
        let packet = packet.unwrap();
        let start = packet
            .windows(4)
            .position(|window| window[..3] == [0, 0, 1] && window[3] >= 0xc0)
            .unwrap();
        u16::from_be_bytes([packet[start + 4], packet[start + 5]])
    };
    let picture = |size| Stored {
        kind: TrackKind::Video,
        pts: 0,
        dts: 0,
        random_access: false,
        payload: slice(0x41, size),
    };
    assert!(length(&mux.write(&[picture(5_000).unit()]), 0) > 5_000);
    assert_eq!(length(&mux.write(&[picture(70_000).unit()]), 0), 0);
    let sound = Stored {
        kind: TrackKind::Audio,
        pts: 0,
        dts: 0,
        random_access: true,
        payload: vec![1; 8_000],
    };
    let many: Vec<Unit<'_>> = std::iter::repeat_n(&sound, 9).map(Stored::unit).collect();
    let written = mux.write(&many);
    assert_eq!(length(&written, 1), 7 * 8_007 + 8);
    let (found, faults) = demux(&[&mux_tables()[..], &written[..], &[0x47]].concat(), 188);
    assert_eq!(
        found
            .iter()
            .map(|pes| adts_frames(&pes.payload).len())
            .sum::<usize>(),
        9
    );
    assert_eq!(faults.dropped, 0);
}

fn mux_tables() -> Vec<u8> {
    mux().write(&[]).to_vec()
}

#[test]
fn a_picture_is_given_out_with_its_last_packet() {
    let mut mux = mux();
    let picture = Stored {
        kind: TrackKind::Video,
        pts: 0,
        dts: 0,
        random_access: true,
        payload: slice(0x65, 900),
    };
    let written = mux.write(&[picture.unit()]);
    let mut demuxer = Demuxer::default();
    demuxer.handle_bytes(&written);
    assert!(
        demuxer.poll_pes().is_some(),
        "nobody has to wait for the next picture"
    );
}

#[test]
fn counters_go_on_over_segments_and_tables_open_each() {
    let mut mux = mux();
    let picture = Stored {
        kind: TrackKind::Video,
        pts: 0,
        dts: 0,
        random_access: true,
        payload: slice(0x65, 3_000),
    };
    let mut bytes = Vec::new();
    for _ in 0..40 {
        mux.start_segment();
        let written = mux.write(&[picture.unit()]);
        assert_eq!(
            (written[1] & 0x1f, written[2]),
            (0, 0),
            "the association table comes first"
        );
        assert_eq!(
            (written[PACKET + 1] & 0x1f, written[PACKET + 2]),
            (0x10, 0),
            "and then the map"
        );
        bytes.extend_from_slice(&written);
    }
    let (found, faults) = demux(&[&bytes[..], &[0x47]].concat(), 1_000);
    assert_eq!((found.len(), faults), (40, Faults::default()));
}
