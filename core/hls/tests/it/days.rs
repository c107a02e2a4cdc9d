//! Broadcasts that last for days.
//!
//! In → Out: three days of pictures → playlists that do not grow, and segments whose times are still exact.
//! Spec: case PKG-02; RFC 8216bis 6.2.2 "Live Playlists"; ISO/IEC 14496-12, "Track fragment decode time" (64 bit).

use std::collections::BTreeMap;

use formats::container::fmp4::demux::{Demuxer, Item, Limits};
use hls::playlist::media::{Form, MediaRequest, render};
use hls::playlist::parse;
use hls::{Output, Packager, PackagerConfig, Start, Window, WindowConfig};
use media::{SegmentId, UnixTime};

use crate::studio::{ON_AIR, Show};

/// One picture, one segment.
const SEGMENT_SECONDS: u64 = 2;
const HOUR: u64 = 3_600;
/// Also just after 32 bits of 90 kHz (13 h 15 min) and the 33 of a transport stream (26 h 30 min) have run over.
const LOOKS: [u64; 6] = [
    HOUR / 4,
    3 * HOUR,
    12 * HOUR,
    14 * HOUR,
    27 * HOUR,
    72 * HOUR,
];

/// What a viewer who comes now finds: lines and bytes of the playlist in both forms.
fn look(
    window: &mut Window,
    init: &[u8],
    bodies: &BTreeMap<SegmentId, Vec<u8>>,
    second: u64,
) -> [(usize, usize); 2] {
    let snapshot = window.snapshot();
    let newest = snapshot.segments.last().expect("a segment");
    let number = second / SEGMENT_SECONDS - 1;
    assert_eq!(newest.id.msn.0, number);
    assert_eq!(
        newest.program_date_time.since(ON_AIR).as_nanos(),
        i64::try_from(number * SEGMENT_SECONDS * 1_000_000_000).unwrap()
    );
    // Every listed segment plays, from the oldest on.
    for segment in &snapshot.segments {
        let mut demuxer = Demuxer::new(Limits::default());
        demuxer.handle_bytes(init).unwrap();
        demuxer.handle_bytes(&bodies[&segment.id]).unwrap();
        let mut times = Vec::new();
        while let Some(item) = demuxer.poll_item() {
            if let Item::Sample(sample) = item {
                times.push(sample.dts);
            }
        }
        assert_eq!(times, [segment.id.msn.0 * SEGMENT_SECONDS * 90_000]);
    }
    [Form::Fmp4, Form::Ts].map(|form| {
        let request = MediaRequest {
            form,
            ..MediaRequest::default()
        };
        let text = render(&snapshot, &request);
        parse::media(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (text.lines().count(), text.len())
    })
}

#[test]
fn pkg_02_after_three_days_playlists_are_as_long_as_after_a_quarter_of_an_hour_and_all_of_it_plays()
{
    let show = Show {
        rate: (1, SEGMENT_SECONDS),
        gop: 1,
        audio: false,
        picture: 20,
        ..Show::default()
    };
    let mut packager = Packager::new(PackagerConfig::default(), Start::default());
    let mut window = Window::new(WindowConfig::default(), Start::default());
    let (mut init, mut bodies) = (Vec::new(), BTreeMap::<SegmentId, Vec<u8>>::new());
    let mut looks = LOOKS.into_iter().peekable();
    let mut found = Vec::new();
    let events = show.session((LOOKS[5] + SEGMENT_SECONDS) * 1_000);
    for (index, event) in events.iter().enumerate() {
        packager.handle_event(event, UnixTime::from_nanos(u64::MAX));
        while let Some(output) = packager.poll_output() {
            window.apply(&output);
            match output {
                Output::Init { bytes, .. } => {
                    assert!(init.is_empty(), "one init section for all of it");
                    init = bytes.to_vec();
                }
                Output::Chunk { segment, bytes, .. } => {
                    bodies.entry(segment).or_default().extend(bytes);
                    while bodies.len() > 256 {
                        bodies.pop_first();
                    }
                }
                _ => {}
            }
        }
        // The tracks are the first event; picture n begins the segment n, and ends the one before.
        let second = (index as u64).saturating_sub(1) * SEGMENT_SECONDS;
        if looks.next_if_eq(&second).is_some() {
            found.push(look(&mut window, &init, &bodies, second));
        }
    }
    assert_eq!(found.len(), LOOKS.len());
    let [first, ..] = found[..] else {
        unreachable!("it was counted")
    };
    for later in found {
        for (now, before) in later.into_iter().zip(first) {
            assert_eq!(now.0, before.0, "as many lines");
            // Numbers get longer.
            assert!(
                now.1 < before.1 + before.1 / 4,
                "{} bytes after {}",
                now.1,
                before.1
            );
        }
    }
}
