//! What a window lists, keeps and forgets.
//!
//! In → Out: long and odd broadcasts → bounded snapshots.
//! Spec: RFC 8216bis 6.2.2 "Live Playlists"; design 6 "memory bounded by configuration".

use hls::{PackagerConfig, State, TsForm, WindowConfig};
use media::{Duration, EndReason, Msn};

use crate::studio::{Rendition, Show, config};

#[test]
fn the_length_of_the_window_is_bounded_over_hours() {
    let window = WindowConfig {
        length: Duration::from_secs(10),
        ..WindowConfig::default()
    };
    let packager = PackagerConfig {
        ts: TsForm::Omitted,
        ..config()
    };
    let mut rendition = Rendition::with_window(packager, window);
    let show = Show {
        rate: (1, 1),
        gop: 2,
        audio: false,
        picture: 20,
        ..Show::default()
    };
    rendition.feed(&show.session(3 * 3_600_000));
    let snapshot = rendition.snapshot();
    assert_eq!(snapshot.segments.len(), 5);
    assert_eq!(snapshot.segments.last().unwrap().id.msn, Msn(5_398));
    assert!(
        snapshot.lingering.len() <= 8,
        "{}",
        snapshot.lingering.len()
    );
}

#[test]
fn short_segments_and_many_bytes_are_bounded_too() {
    let window = WindowConfig {
        length: Duration::from_secs(3_600),
        segments_max: 6,
        ..WindowConfig::default()
    };
    let mut rendition = Rendition::with_window(config(), window);
    // A publisher that drops twice a second.
    for session in 0..40 {
        let show = Show {
            from_millis: session * 500,
            ..Show::default()
        };
        rendition.feed(&show.session(400)).end(EndReason::Lost);
    }
    assert_eq!(rendition.snapshot().segments.len(), 6);
    assert_eq!(rendition.snapshot().discontinuity_sequence, 33);

    let window = WindowConfig {
        length: Duration::from_secs(3_600),
        bytes_max: 2 << 20,
        ..WindowConfig::default()
    };
    let mut rendition = Rendition::with_window(config(), window);
    rendition.feed(
        &Show {
            picture: 20_000,
            ..Show::default()
        }
        .session(20_000),
    );
    assert_eq!(
        rendition.snapshot().segments.len(),
        3,
        "three are always listed"
    );
}

#[test]
fn never_less_than_three_target_durations_are_listed() {
    let window = WindowConfig {
        length: Duration::from_secs(4),
        ..WindowConfig::default()
    };
    let mut rendition = Rendition::with_window(config(), window);
    rendition.feed(
        &Show {
            gop: 120,
            ..Show::default()
        }
        .session(60_000),
    );
    let snapshot = rendition.snapshot();
    let listed: u64 = snapshot
        .segments
        .iter()
        .map(|segment| segment.duration.as_millis())
        .sum();
    assert!(listed >= 12_000, "{listed}");
}

#[test]
fn a_snapshot_stays_the_same_until_something_that_is_listed_changes() {
    let mut rendition = Rendition::new(config());
    rendition.feed(&Show::default().session(4_050));
    let before = rendition.window.snapshot();
    let seen = rendition.snapshots.len();
    rendition.feed(
        &Show::default()
            .units(4_120)
            .split_off(Show::default().units(4_050).len()),
    );
    assert!(
        std::sync::Arc::ptr_eq(&before, &rendition.window.snapshot()),
        "chunks alone change no playlist"
    );
    assert_eq!(rendition.snapshots.len(), seen);
}

#[test]
fn bitrates_are_measured() {
    let mut rendition = Rendition::new(config());
    rendition.feed(
        &Show {
            audio: false,
            ..Show::default()
        }
        .session(20_100),
    );
    let bitrate = rendition.snapshot().bitrate;
    // 59 pictures of 5,005 bytes and one of 20,005, with their headers, in two seconds.
    let exact = (59 * (5_004 + 100 + 4) + 20_004 + 100 + 4 + 32) * 8 / 2;
    assert!(
        bitrate.peak_bps.abs_diff(exact) * 1_000 < exact * 5,
        "{bitrate:?} {exact}"
    );
    assert!(rendition.snapshot().ts_bitrate.peak_bps > bitrate.peak_bps);
    assert_eq!(
        rendition.snapshot().frame_duration,
        Some(Duration::from_nanos(33_333_333))
    );
}

#[test]
fn nothing_is_live_before_anything_came() {
    let mut rendition = Rendition::new(config());
    rendition.drain();
    let snapshot = rendition.snapshot();
    assert_eq!(snapshot.state, State::Away);
    assert!(!snapshot.has_media());
    assert_eq!(
        (snapshot.first_msn(), snapshot.hinted_part()),
        (Msn(0), None)
    );
}
