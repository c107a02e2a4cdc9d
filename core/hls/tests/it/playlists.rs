//! Playlists as players read them.
//!
//! In → Out: synthetic broadcasts → text, kept as snapshots beside this file.
//! Spec: RFC 8216bis; community LHLS; design "Playlists".

use hls::ladder::Rung;
use hls::playlist::media::{Announce, Form, MediaRequest, Report, Skip, render};
use hls::playlist::multivariant;
use hls::{Boundaries, PackagerConfig, Selection, WindowConfig};
use media::{DiscontinuityReason, Duration, EndReason, Event, RenditionName, TrackConfig};

use crate::studio::{Rendition, Show, config};

/// A broadcast that has been live for so long.
fn live(millis: u64) -> Rendition {
    let mut rendition = Rendition::new(config());
    rendition.feed(&Show::default().session(millis));
    rendition
}

fn whole(rendition: &Rendition) -> String {
    render(rendition.snapshot(), &MediaRequest::default())
}

#[test]
fn after_the_first_part() {
    insta::assert_snapshot!(whole(&live(250)));
}

#[test]
fn after_some_segments_and_parts() {
    insta::assert_snapshot!(whole(&live(11_100)));
}

#[test]
fn at_the_end_of_a_segment_the_hint_names_the_next() {
    let text = whole(&live(5_900));
    assert!(text.contains("TYPE=PART,URI=\"1.2.9.m4s\""), "{text}");
    let text = whole(&live(5_970));
    assert!(text.contains("TYPE=PART,URI=\"1.3.0.m4s\""), "{text}");
}

#[test]
fn delta_update() {
    let request = MediaRequest {
        skip: Skip::Yes,
        ..MediaRequest::default()
    };
    insta::assert_snapshot!(render(live(30_500).snapshot(), &request));
}

#[test]
fn delta_update_leaves_out_only_what_is_old_enough() {
    let skipped = |millis: u64, skip: Skip| {
        let request = MediaRequest {
            skip,
            ..MediaRequest::default()
        };
        let playlist = hls::playlist::media_playlist(live(millis).snapshot(), &request);
        (playlist.version, playlist.skipped)
    };
    assert_eq!(skipped(13_900, Skip::Yes), (9, None));
    assert_eq!(skipped(16_100, Skip::Yes), (9, Some(2)));
    assert_eq!(skipped(16_100, Skip::V2), (10, Some(2)));
    assert_eq!(skipped(16_100, Skip::No), (9, None));
}

#[test]
fn announced_plainly() {
    let request = MediaRequest {
        announce: Announce::Plain,
        ..MediaRequest::default()
    };
    insta::assert_snapshot!(render(live(7_100).snapshot(), &request));
}

#[test]
fn as_transport_stream() {
    let request = MediaRequest {
        form: Form::Ts,
        ..MediaRequest::default()
    };
    insta::assert_snapshot!(render(live(7_100).snapshot(), &request));
}

#[test]
fn as_transport_stream_announced_plainly() {
    let request = MediaRequest {
        form: Form::Ts,
        announce: Announce::Plain,
        ..MediaRequest::default()
    };
    insta::assert_snapshot!(render(live(7_100).snapshot(), &request));
}

#[test]
fn while_the_publisher_is_away() {
    let mut rendition = live(5_000);
    rendition.end(EndReason::Lost);
    insta::assert_snapshot!(whole(&rendition));
    let plain = MediaRequest {
        announce: Announce::Plain,
        ..MediaRequest::default()
    };
    let plain = render(rendition.snapshot(), &plain);
    assert!(
        !plain.contains("2.3"),
        "players without tags are not promised anything: {plain}"
    );
}

#[test]
fn after_the_publisher_came_back() {
    let mut rendition = live(5_000);
    rendition.end(EndReason::Lost);
    rendition.feed(
        &Show {
            from_millis: 9_000,
            ..Show::default()
        }
        .session(2_500),
    );
    insta::assert_snapshot!(whole(&rendition));
}

#[test]
fn between_a_discontinuity_and_its_first_picture() {
    let mut rendition = live(5_000);
    rendition.feed(&[Event::Discontinuity(DiscontinuityReason::Gap)]);
    insta::assert_snapshot!(whole(&rendition));
}

#[test]
fn when_it_has_ended() {
    let mut rendition = live(5_000);
    rendition.end(EndReason::Finished).finish();
    insta::assert_snapshot!(whole(&rendition));
}

#[test]
fn a_long_gop_makes_the_target_duration_honest() {
    let mut rendition = Rendition::new(config());
    rendition.feed(
        &Show {
            gop: 150,
            ..Show::default()
        }
        .session(12_000),
    );
    let text = whole(&rendition);
    assert!(text.contains("#EXT-X-TARGETDURATION:5\n"), "{text}");
    // It was true while the first long segment was still open.
    let early = rendition.snapshots.iter().find(|snapshot| {
        snapshot
            .current
            .as_ref()
            .is_some_and(|c| c.parts.len() == 20)
    });
    assert_eq!(early.unwrap().target_duration, Duration::from_secs(4));
}

#[test]
fn the_window_slides_and_counts_what_it_dropped() {
    let window = WindowConfig {
        length: Duration::from_secs(8),
        ..WindowConfig::default()
    };
    let mut rendition = Rendition::with_window(config(), window);
    rendition
        .feed(&Show::default().session(3_000))
        .end(EndReason::Lost);
    rendition.feed(
        &Show {
            from_millis: 5_000,
            ..Show::default()
        }
        .session(15_000),
    );
    insta::assert_snapshot!(whole(&rendition));
}

/// What is decided of a rung before its first picture.
fn rung_on_offer() -> Rung {
    Rung {
        name: RenditionName::P240,
        width: 426,
        height: 240,
        bitrate_bps: 400_000,
        level: 21,
    }
}

#[test]
fn two_renditions() {
    let mut source = Rendition::new(config());
    let follow = PackagerConfig {
        selection: Selection::AudioOnly,
        boundaries: Boundaries::Follow,
        ..config()
    };
    let mut audio = Rendition::new(follow);
    for event in Show::default().session(7_100) {
        let before = source.cuts.len();
        source.feed(std::slice::from_ref(&event));
        for cut in &source.cuts[before..] {
            audio.packager.cut_at(*cut);
        }
        audio.feed(&[event]);
    }
    let reports: Vec<Report> = Report::of(RenditionName::Source, source.snapshot())
        .into_iter()
        .collect();
    let request = MediaRequest {
        reports: &reports,
        ..MediaRequest::default()
    };
    insta::assert_snapshot!("audio_beside_source", render(audio.snapshot(), &request));
    let renditions = [
        (RenditionName::Source, source.snapshot()),
        (RenditionName::Audio, audio.snapshot()),
    ];
    insta::assert_snapshot!(
        "multivariant",
        multivariant::render(&renditions, &[], Form::Fmp4, Announce::Prefetch)
    );
    insta::assert_snapshot!(
        "multivariant_ts_plain",
        multivariant::render(&renditions, &[], Form::Ts, Announce::Plain)
    );
    // A rung that does not run stands between them, with what is decided before its first picture.
    insta::assert_snapshot!(
        "multivariant_with_a_rung_on_offer",
        multivariant::render(
            &renditions,
            &[rung_on_offer()],
            Form::Fmp4,
            Announce::Prefetch
        )
    );
}

#[test]
fn a_picture_that_browsers_cannot_decode_is_not_offered_and_its_rungs_are() {
    const HIGH_10: u8 = 110;
    let mut events = Show::default().session(4_100);
    for event in &mut events {
        if let Event::Tracks(tracks) = event
            && let TrackConfig::Video(video) = &mut tracks[0].config
        {
            let mut record = video.decoder_config.to_vec();
            record[1] = HIGH_10;
            video.decoder_config = record.into();
        }
    }
    let mut source = Rendition::new(config());
    source.feed(&events);
    let text = multivariant::render(
        &[(RenditionName::Source, source.snapshot())],
        &[rung_on_offer()],
        Form::Fmp4,
        Announce::Prefetch,
    );
    assert!(
        !text.contains("source/") && text.contains("240p/index.m3u8"),
        "{text}"
    );
}
