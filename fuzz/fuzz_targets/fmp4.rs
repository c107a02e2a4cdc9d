//! fMP4 read by viewers and edges: any bytes, in any pieces, cost no more memory than the limits say and never a panic.
//!
//! In → Out: bytes, cut by the first of them → items or a reason; the same items however they are cut.
//! Covers: core/formats/src/container/fmp4/demux.rs
//! Spec: ISO/IEC 14496-12, "Movie Fragments".
#![no_main]

use formats::container::fmp4::demux::{Demuxer, Item, Limits};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8], step: usize) -> (Vec<Item>, bool) {
    let mut demuxer = Demuxer::new(Limits::default());
    let mut items = Vec::new();
    for piece in bytes.chunks(step) {
        let taken = demuxer.handle_bytes(piece);
        while let Some(item) = demuxer.poll_item() {
            items.push(item);
        }
        if taken.is_err() {
            return (items, false);
        }
    }
    let whole = demuxer.finish().is_ok();
    (items, whole)
}

fuzz_target!(|input: &[u8]| {
    let Some((&step, bytes)) = input.split_first() else { return };
    let (cut, cut_whole) = read(bytes, usize::from(step).max(1));
    let (whole, whole_whole) = read(bytes, bytes.len().max(1));
    assert_eq!(cut_whole, whole_whole);
    if cut_whole {
        assert_eq!(format!("{cut:?}"), format!("{whole:?}"));
    }
});
