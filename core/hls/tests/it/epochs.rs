//! Sessions, parameter sets and jumps: when a new epoch begins, and what goes on over it.
//!
//! In → Out: broken sessions → numbers, dates and discontinuities.
//! Spec: cases PKG-10, ING-15, ING-18; design 3.2 "One URL, one body".

use hls::{Output, State};
use media::{DiscontinuityReason, EndReason, Event, UnixTime};

use crate::studio::{ON_AIR, Rendition, Show, audio_track, config, shifted, video_track};

/// Names, discontinuities and dates of all segments.
fn starts(rendition: &Rendition) -> Vec<(String, bool, i64)> {
    let start = |output: &Output| match output {
        Output::SegmentStart {
            id,
            discontinuity,
            program_date_time,
            ..
        } => Some((
            id.to_string(),
            *discontinuity,
            program_date_time.since(ON_AIR).as_millis(),
        )),
        _ => None,
    };
    rendition.outputs.iter().filter_map(start).collect()
}

fn owned(starts: &[(&str, bool, i64)]) -> Vec<(String, bool, i64)> {
    starts
        .iter()
        .map(|(name, discontinuity, date)| ((*name).to_owned(), *discontinuity, *date))
        .collect()
}

/// Wire times of the first samples of each segment, from the cuts, in milliseconds.
fn wire(rendition: &Rendition) -> Vec<i64> {
    rendition
        .cuts
        .iter()
        .map(|cut| (cut.pts + cut.shift).as_millis())
        .collect()
}

#[test]
fn ing_18_a_publisher_that_comes_back_goes_on_in_a_new_epoch() {
    let mut rendition = Rendition::new(config());
    rendition
        .feed(&Show::default().session(3_000))
        .end(EndReason::Lost);
    assert_eq!(rendition.snapshot().state, State::Away);
    rendition.feed(
        &Show {
            from_millis: 10_000,
            ..Show::default()
        }
        .session(3_000),
    );
    assert_eq!(rendition.snapshot().state, State::Live);
    let expected = [
        ("1.0", false, 0),
        ("1.1", false, 2_000),
        ("2.2", true, 10_000),
        ("2.3", false, 12_000),
    ];
    assert_eq!(starts(&rendition), owned(&expected));
    assert_eq!(
        wire(&rendition),
        [0, 2_000, 10_000, 12_000],
        "media time follows the wall clock"
    );
}

#[test]
fn ing_18_other_resolution_codec_parameters_and_track_count() {
    let base = Show::default();
    let others = [
        Show {
            sample_rate: 44_100,
            ..base.clone()
        },
        Show {
            audio: false,
            ..base.clone()
        },
        Show {
            video: false,
            ..base.clone()
        },
        Show {
            rate: (25, 1),
            gop: 50,
            ..base.clone()
        },
    ];
    for other in others {
        let mut rendition = Rendition::new(config());
        rendition.feed(&base.session(3_000)).end(EndReason::Lost);
        rendition.feed(
            &Show {
                from_millis: 5_000,
                ..other
            }
            .session(2_500),
        );
        assert_eq!(rendition.inits.len(), 2);
        assert_ne!(rendition.inits[&1], rendition.inits[&2]);
        let names: Vec<String> = starts(&rendition)
            .into_iter()
            .map(|(name, ..)| name)
            .collect();
        assert_eq!(names, ["1.0", "1.1", "2.2", "2.3"]);
    }
}

#[test]
fn a_publisher_whose_clock_is_behind_never_moves_time_back() {
    // The server's clock was set back by an hour between two sessions.
    let mut rendition = Rendition::new(config());
    rendition
        .feed(
            &Show {
                from_millis: 3_600_000,
                ..Show::default()
            }
            .session(3_000),
        )
        .end(EndReason::Lost);
    rendition.feed(&Show::default().session(5_000));
    let dates: Vec<i64> = starts(&rendition)
        .into_iter()
        .map(|(_, _, date)| date)
        .collect();
    assert!(
        dates.is_sorted() && dates.windows(2).all(|pair| pair[0] < pair[1]),
        "{dates:?}"
    );
    assert!(wire(&rendition).is_sorted(), "{:?}", wire(&rendition));
    let last = dates.len() - 1;
    assert_eq!(
        dates[last] - dates[last - 1],
        2_000,
        "dates grow as media does"
    );
}

#[test]
fn pkg_10_new_parameter_sets_close_the_segment_and_begin_an_epoch() {
    let show = Show::default();
    let mut events = show.session(3_000);
    let later: Vec<Event> = Show::default().units(8_000).split_off(events.len() - 1);
    events.push(Event::Tracks(vec![
        video_track(360, 640, Some(show.frame())),
        audio_track(48_000),
    ]));
    events.extend(later);
    let mut rendition = Rendition::new(config());
    rendition.feed(&events);
    let starts = starts(&rendition);
    // The segment that was open ends with its last picture; the next begins at the next random access point.
    assert_eq!(
        starts[..4],
        owned(&[
            ("1.0", false, 0),
            ("1.1", false, 2_000),
            ("2.2", true, 4_000),
            ("2.3", false, 6_000)
        ])
    );
    let (_, length) = rendition.segments()[1].clone();
    assert!((1_000..1_030).contains(&length), "true duration: {length}");
    assert_eq!(rendition.inits.len(), 2);
    let text = hls::playlist::media::render(
        rendition.snapshot(),
        &hls::playlist::media::MediaRequest::default(),
    );
    assert!(
        text.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"2.init.mp4\"\n"),
        "{text}"
    );
}

#[test]
fn the_same_tracks_again_change_nothing() {
    let show = Show::default();
    let mut rendition = Rendition::new(config());
    for event in show.session(5_000) {
        rendition.feed(&[event, show.tracks()]);
    }
    let names: Vec<String> = starts(&rendition)
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(names, ["1.0", "1.1", "1.2"]);
}

#[test]
fn tracks_that_change_twice_before_a_picture_cost_one_epoch() {
    let show = Show::default();
    let mut rendition = Rendition::new(config());
    rendition.feed(&show.session(2_500));
    for width in [320, 480, 640] {
        rendition.feed(&[Event::Tracks(vec![
            video_track(width, 360, None),
            audio_track(48_000),
        ])]);
    }
    rendition.feed(
        &Show::default()
            .units(7_000)
            .split_off(show.units(2_500).len()),
    );
    let names: Vec<String> = starts(&rendition)
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(names, ["1.0", "1.1", "2.2", "2.3"]);
}

#[test]
fn ing_15_time_that_goes_back_is_a_discontinuity_with_growing_dates() {
    // Ingest tells the jump; the units then begin again at 0 while the wall clock goes on.
    let mut rendition = Rendition::new(config());
    rendition.feed(&Show::default().session(5_000));
    rendition.feed(&[Event::Discontinuity(DiscontinuityReason::Backwards)]);
    rendition.feed(
        &Show {
            from_millis: 5_000,
            ..Show::default()
        }
        .units(4_500),
    );
    let expected = [
        ("1.0", false, 0),
        ("1.1", false, 2_000),
        ("1.2", false, 4_000),
        ("1.3", true, 5_000),
        ("1.4", false, 7_000),
    ];
    let starts = starts(&rendition);
    assert_eq!(starts[..3], owned(&expected[..3]));
    assert_eq!(
        (
            starts[3].0.as_str(),
            starts[3].1,
            starts[4].0.as_str(),
            starts[4].1
        ),
        ("1.3", true, "1.4", false)
    );
    assert!(
        starts.windows(2).all(|pair| pair[0].2 < pair[1].2),
        "{starts:?}"
    );
    assert_eq!(rendition.inits.len(), 1, "the init section is the same");
}

#[test]
fn ing_15_time_that_goes_back_unannounced_heals() {
    let mut rendition = Rendition::new(config());
    rendition.feed(&Show::default().session(5_000));
    rendition.feed(
        &Show {
            from_millis: 5_000,
            ..Show::default()
        }
        .units(12_000),
    );
    let starts = starts(&rendition);
    assert!(
        starts.iter().any(|(_, discontinuity, _)| *discontinuity),
        "{starts:?}"
    );
    assert!(
        starts.last().unwrap().2 > 13_000,
        "media goes on: {starts:?}"
    );
}

#[test]
fn a_leap_ahead_is_a_discontinuity_placed_by_the_wall_clock() {
    let mut rendition = Rendition::new(config());
    rendition.feed(&Show::default().session(5_000));
    let leap = shifted(
        Show {
            from_millis: 6_000,
            ..Show::default()
        }
        .units(3_000),
        1_000_000,
    );
    rendition.feed(&leap);
    let wire = wire(&rendition);
    assert_eq!(wire[..4], [0, 2_000, 4_000, 6_000], "{wire:?}");
}

#[test]
fn wall_clock_claims_from_the_future_are_bounded() {
    let mut rendition = Rendition::new(config());
    for event in (Show {
        from_millis: 86_400_000,
        ..Show::default()
    })
    .session(1_000)
    {
        rendition
            .packager
            .handle_event(&event, UnixTime::from_millis(ON_AIR.as_millis() + 1_000));
        rendition.drain();
    }
    assert_eq!(starts(&rendition)[0].2, 1_000);
}

#[test]
fn a_session_without_usable_tracks_is_nobody() {
    let mut rendition = Rendition::new(config());
    rendition.feed(&[Event::Tracks(vec![])]);
    rendition.feed(&Show::default().units(1_000));
    assert!(rendition.outputs.is_empty());
}
