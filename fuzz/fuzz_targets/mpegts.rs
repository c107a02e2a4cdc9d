//! Transport streams: any bytes, in any pieces, cost bounded memory, never a panic, and give the same packets however cut.
//!
//! In → Out: bytes, cut by the first of them → PES packets.
//! Covers: core/formats/src/container/mpegts/demux.rs
//! Spec: ISO/IEC 13818-1 2.4.3, 2.4.4; case ING-27.
#![no_main]

use formats::container::mpegts::demux::{Demuxer, PES_MAX, Pes, adts_frames, nal_units};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8], step: usize) -> Vec<Pes> {
    let mut demuxer = Demuxer::default();
    for piece in bytes.chunks(step) {
        demuxer.handle_bytes(piece);
    }
    demuxer.finish();
    std::iter::from_fn(|| demuxer.poll_pes()).collect()
}

fuzz_target!(|input: &[u8]| {
    let Some((&step, bytes)) = input.split_first() else { return };
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(read(bytes, usize::from(step).max(1)), whole);
    for pes in whole {
        assert!(pes.payload.len() <= PES_MAX);
        let nals: usize = nal_units(&pes.payload).iter().map(|nal| nal.len()).sum();
        let frames: usize = adts_frames(&pes.payload).iter().map(|frame| frame.len()).sum();
        assert!(nals <= pes.payload.len() && frames <= pes.payload.len());
    }
});
