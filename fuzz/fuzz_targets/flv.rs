//! FLV as files and as RTMP tag bodies: whatever comes, units leave in decode order, with tracks announced before them.
//!
//! In → Out: a byte stream → tags; tag bodies with timestamps → events.
//! Covers: core/formats/src/container/flv/file.rs, core/formats/src/container/flv/demux.rs, core/formats/src/assembler.rs
//! Spec: Adobe Flash Video File Format 10.1, annex E; Enhanced RTMP v2; issue cases ING-07 to ING-12, ING-15.
#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes;
use formats::container::flv::demux::{Demuxer, Metadata};
use formats::container::flv::file::{Reader, TagKind};
use libfuzzer_sys::fuzz_target;
use media::{Event, TrackId, UnixTime};

#[derive(Default)]
struct Checker {
    tracks: Vec<TrackId>,
    last: BTreeMap<TrackId, i64>,
    ended: bool,
}

impl Checker {
    fn check(&mut self, event: &Event) {
        assert!(!self.ended, "nothing follows the end");
        match event {
            Event::Tracks(tracks) => {
                assert!(!tracks.is_empty() && tracks.len() <= 2);
                self.tracks = tracks.iter().map(|track| track.id).collect();
                assert!(tracks.iter().all(|track| !track.codec_string().is_empty()));
            }
            Event::Unit(unit) => {
                assert!(self.tracks.contains(&unit.track), "a unit of a track that was not announced");
                assert!(!unit.payload.is_empty());
                let dts = unit.dts.as_nanos();
                if let Some(before) = self.last.insert(unit.track, dts) {
                    assert!(dts > before, "decode time of {:?} went from {before} to {dts}", unit.track);
                }
            }
            Event::Discontinuity(_) => {}
            Event::End(_) => self.ended = true,
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&step, stream)) = input.split_first() else { return };
    let mut reader = Reader::default();
    let mut demuxer = Demuxer::new();
    let mut checker = Checker::default();
    let mut arrival: u64 = 1_700_000_000_000_000_000;
    demuxer.handle_metadata(Metadata::default());
    'stream: for piece in stream.chunks(usize::from(step).max(1)) {
        reader.handle_bytes(piece);
        loop {
            let Ok(tag) = reader.poll_tag() else { break 'stream };
            let Some(tag) = tag else { break };
            // The wall clock goes at its own pace: up to 1.3 s for each tag.
            arrival += u64::from(tag.millis as u8) * 5_000_000;
            let body: Bytes = tag.body;
            let taken = match tag.kind {
                TagKind::Audio => demuxer.handle_audio(tag.millis, &body, UnixTime::from_nanos(arrival)),
                TagKind::Video => demuxer.handle_video(tag.millis, &body, UnixTime::from_nanos(arrival)),
                TagKind::Script => Ok(()),
            };
            while let Some(event) = demuxer.poll_event() {
                checker.check(&event);
            }
            while demuxer.poll_notice().is_some() {}
            if taken.is_err() {
                break 'stream;
            }
        }
    }
    for event in demuxer.finish() {
        checker.check(&event);
    }
});
