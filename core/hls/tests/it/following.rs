//! A rendition that follows another's boundaries: the same number for the same time, whatever happens.
//!
//! In → Out: one session, two packagers → the same cuts.
//! Spec: RFC 8216bis 6.2.4 "Providing Variant Streams"; design "Segments".

use formats::container::fmp4::demux::{Demuxer, Item, Limits};
use hls::{Boundaries, PackagerConfig, Selection};
use media::{DiscontinuityReason, EndReason, Event, SegmentId, TrackId};

use crate::studio::{Rendition, Show, audio_track, config, video_track, without};

/// Feeds both as the broadcast's task does.
fn run(events: &[Event], selection: Selection) -> (Rendition, Rendition) {
    let mut source = Rendition::new(config());
    let follow = PackagerConfig {
        selection,
        boundaries: Boundaries::Follow,
        ..config()
    };
    let mut follower = Rendition::new(follow);
    for event in events {
        let before = source.cuts.len();
        source.feed(std::slice::from_ref(event));
        for cut in &source.cuts[before..] {
            follower.packager.cut_at(*cut);
        }
        follower.feed(std::slice::from_ref(event));
    }
    source.finish();
    follower.finish();
    (source, follower)
}

/// Which sounds, by their first byte, are in which segment.
fn sounds(rendition: &Rendition) -> Vec<(String, Vec<u8>)> {
    let read = |(id, body): (&SegmentId, &crate::studio::Body)| {
        let mut demuxer = Demuxer::new(Limits::default());
        demuxer.handle_bytes(&rendition.inits[&id.epoch.0]).unwrap();
        for chunk in &body.chunks {
            demuxer.handle_bytes(chunk).unwrap();
        }
        let items = std::iter::from_fn(|| demuxer.poll_item());
        let sound = |item| match item {
            Item::Sample(sample) if sample.track == TrackId::AUDIO => Some(sample.payload[0]),
            _ => None,
        };
        (id.to_string(), items.filter_map(sound).collect())
    };
    rendition.bodies.iter().map(read).collect()
}

fn check(events: &[Event]) {
    let (source, audio) = run(events, Selection::AudioOnly);
    assert!(source.cuts.len() > 2);
    assert_eq!(source.cuts, audio.cuts);
    assert_eq!(
        sounds(&source),
        sounds(&audio),
        "sound is divided at the same units"
    );
}

#[test]
fn sound_alone_beside_the_source() {
    for late in [-150, 0, 150] {
        for reordered in [false, true] {
            check(
                &Show {
                    audio_late_millis: late,
                    reordered,
                    ..Show::default()
                }
                .session(9_000),
            );
        }
    }
}

#[test]
fn over_reconnects_jumps_and_new_parameter_sets() {
    let mut events = Show::default().session(3_000);
    events.push(Event::End(EndReason::Lost));
    events.extend(
        Show {
            from_millis: 6_000,
            ..Show::default()
        }
        .session(5_000),
    );
    events.push(Event::Discontinuity(DiscontinuityReason::Backwards));
    events.extend(
        Show {
            from_millis: 12_000,
            ..Show::default()
        }
        .units(3_000),
    );
    events.push(Event::Tracks(vec![
        video_track(360, 640, None),
        audio_track(48_000),
    ]));
    let units = Show {
        from_millis: 12_000,
        ..Show::default()
    }
    .units(9_000);
    events.extend(units.into_iter().skip(Show::default().units(3_000).len()));
    let (source, audio) = run(&events, Selection::AudioOnly);
    assert_eq!(source.cuts, audio.cuts);
    assert_eq!(source.cuts.last().map(|cut| cut.id.epoch.0), Some(3));
}

#[test]
fn while_pictures_are_missing() {
    check(&without(
        Show {
            gop: 30,
            ..Show::default()
        }
        .session(20_000),
        TrackId::VIDEO,
        3_000..13_000,
    ));
}

#[test]
fn while_sound_is_missing_its_segments_are_gaps() {
    let events = without(
        Show::default().session(20_000),
        TrackId::AUDIO,
        3_000..13_000,
    );
    let (source, audio) = run(&events, Selection::AudioOnly);
    let names = |rendition: &Rendition| rendition.bodies.keys().copied().collect::<Vec<_>>();
    assert_eq!(names(&source), names(&audio));
    let empty = audio
        .bodies
        .values()
        .filter(|body| body.chunks.is_empty())
        .count();
    assert!((3..=5).contains(&empty), "{empty} segments without sound");
    let text = hls::playlist::media::render(
        audio.snapshot(),
        &hls::playlist::media::MediaRequest::default(),
    );
    assert_eq!(text.matches("#EXT-X-GAP").count(), empty, "{text}");
}

#[test]
fn a_rung_cuts_at_the_same_random_access_points() {
    let (source, rung) = run(&Show::default().session(9_000), Selection::All);
    assert_eq!(source.cuts, rung.cuts);
    assert_eq!(source.segments(), rung.segments());
    assert_eq!(sounds(&source), sounds(&rung));
}

#[test]
fn a_rung_that_comes_late_begins_at_the_next_boundary() {
    let events = Show::default().session(9_000);
    let mut source = Rendition::new(config());
    let follow = PackagerConfig {
        boundaries: Boundaries::Follow,
        ..config()
    };
    let mut rung = Rendition::new(follow);
    for (index, event) in events.iter().enumerate() {
        let before = source.cuts.len();
        source.feed(std::slice::from_ref(event));
        let begun = index == 0 || index > 250;
        for cut in source.cuts[before..].iter().filter(|_| begun) {
            rung.packager.cut_at(*cut);
        }
        if begun {
            rung.feed(std::slice::from_ref(event));
        }
    }
    assert_eq!(rung.cuts, source.cuts[2..]);
    assert_eq!(rung.snapshot().first_msn(), source.cuts[2].id.msn);
}

#[test]
fn a_follower_that_misses_the_beginning_of_an_epoch_begins_it_with_a_discontinuity() {
    let mut events = Show::default().session(5_000);
    events.push(Event::End(EndReason::Lost));
    let back = Show {
        from_millis: 8_000,
        ..Show::default()
    };
    events.extend(without(back.session(9_000), TrackId::AUDIO, 0..2_500));
    let (source, audio) = run(&events, Selection::AudioOnly);
    let begun = |rendition: &Rendition| {
        let first = rendition.cuts.iter().find(|cut| cut.id.epoch.0 == 2);
        first.map(|cut| (cut.id.msn, cut.discontinuity))
    };
    let (there, here) = (begun(&source).unwrap(), begun(&audio).unwrap());
    assert!(here.0 > there.0, "{here:?} after {there:?}");
    assert!(there.1 && here.1);
}
