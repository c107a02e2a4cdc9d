//! Where segments, chunks and parts begin and end.
//!
//! In → Out: synthetic sessions → what was cut.
//! Spec: design "Segments"; RFC 8216bis, "EXT-X-PART".

use formats::container::fmp4::demux::{Demuxer, Item, Limits, Sample};
use hls::{Output, PackagerConfig, TsForm};
use media::{Duration, EndReason, Event, SegmentId, Timestamp, TrackId};

use crate::studio::{Rendition, Show, config, without};

/// The samples of each chunk of a segment.
fn samples(rendition: &Rendition, id: SegmentId) -> Vec<Vec<Sample>> {
    let mut demuxer = Demuxer::new(Limits::default());
    demuxer.handle_bytes(&rendition.inits[&id.epoch.0]).unwrap();
    let read = |chunk: &bytes::Bytes| {
        demuxer.handle_bytes(chunk).unwrap();
        let items = std::iter::from_fn(|| demuxer.poll_item());
        let sample = |item| match item {
            Item::Sample(sample) => Some(sample),
            _ => None,
        };
        items.filter_map(sample).collect()
    };
    rendition.bodies[&id].chunks.iter().map(read).collect()
}

fn first(rendition: &Rendition) -> SegmentId {
    *rendition.bodies.keys().next().unwrap()
}

#[test]
fn segments_are_cut_at_random_access_points_nearest_to_two_seconds() {
    let check = |gop: u64, expect: &[u64]| {
        let mut rendition = Rendition::new(config());
        rendition.feed(
            &Show {
                gop,
                ..Show::default()
            }
            .session(20_500),
        );
        let lengths: Vec<u64> = rendition
            .segments()
            .iter()
            .map(|(_, millis)| *millis)
            .take(expect.len())
            .collect();
        assert_eq!(lengths, expect, "GOP of {gop}");
    };
    check(15, &[2_000; 9]);
    check(30, &[2_000; 9]);
    check(45, &[1_500; 9]);
    check(60, &[2_000; 9]);
    check(120, &[4_000; 4]);
    check(300, &[10_000; 2]);
}

#[test]
fn a_picture_leaves_with_the_event_that_brought_it() {
    let mut rendition = Rendition::new(config());
    rendition.feed(&[Show::default().tracks()]);
    for event in Show::default().units(3_000) {
        let before = rendition.outputs.len();
        rendition.feed(std::slice::from_ref(&event));
        let chunks = rendition.outputs[before..]
            .iter()
            .filter(|output| matches!(output, Output::Chunk { .. }))
            .count();
        let Event::Unit(unit) = event else { continue };
        assert_eq!(
            chunks,
            usize::from(unit.track == TrackId::VIDEO),
            "at {:?}",
            unit.pts
        );
    }
    for chunk in samples(&rendition, first(&rendition)) {
        assert_eq!(
            chunk
                .iter()
                .filter(|sample| sample.track == TrackId::VIDEO)
                .count(),
            1
        );
    }
}

#[test]
fn nothing_is_lost_or_doubled() {
    for (late, reordered) in [(0, false), (0, true), (120, false), (-120, true)] {
        let show = Show {
            audio_late_millis: late,
            reordered,
            ..Show::default()
        };
        let mut rendition = Rendition::new(config());
        rendition.feed(&show.session(9_000)).finish();
        let mut stored: Vec<(TrackId, bytes::Bytes)> = Vec::new();
        for id in rendition.bodies.keys().copied().collect::<Vec<_>>() {
            stored.extend(
                samples(&rendition, id)
                    .into_iter()
                    .flatten()
                    .map(|sample| (sample.track, sample.payload)),
            );
        }
        for track in [TrackId::VIDEO, TrackId::AUDIO] {
            let sent = show
                .units(9_000)
                .into_iter()
                .filter_map(|event| match event {
                    Event::Unit(unit) if unit.track == track => Some(unit.payload),
                    _ => None,
                });
            let kept = stored
                .iter()
                .filter(|(id, _)| *id == track)
                .map(|(_, payload)| payload);
            assert!(sent.eq(kept.cloned()), "track {} late by {late}", track.0);
        }
    }
}

#[test]
fn a_chunk_length_joins_pictures() {
    let config = PackagerConfig {
        chunk: Some(Duration::from_millis(100)),
        ..config()
    };
    let mut rendition = Rendition::new(config);
    rendition.feed(&Show::default().session(5_000)).finish();
    let chunks = samples(&rendition, first(&rendition));
    assert_eq!(chunks.len(), 20);
    for chunk in chunks {
        assert_eq!(
            chunk
                .iter()
                .filter(|sample| sample.track == TrackId::VIDEO)
                .count(),
            3
        );
    }
}

#[test]
fn low_bitrates_join_pictures_from_the_second_segment_on() {
    let mut rendition = Rendition::new(config());
    rendition.feed(
        &Show {
            picture: 900,
            ..Show::default()
        }
        .session(6_100),
    );
    let chunks: Vec<usize> = rendition
        .bodies
        .values()
        .map(|body| body.chunks.len())
        .take(3)
        .collect();
    assert_eq!(chunks, [60, 20, 20]);
}

#[test]
fn parts_keep_the_rules_at_every_frame_rate() {
    let rates = [
        (24, 1),
        (25, 1),
        (30_000, 1_001),
        (30, 1),
        (50, 1),
        (60, 1),
        (24_000, 1_001),
        (15, 1),
        (5, 1),
    ];
    for rate in rates {
        for rounded in [false, true] {
            let gop = 2 * rate.0 / rate.1;
            let mut rendition = Rendition::new(PackagerConfig {
                ts: TsForm::Omitted,
                ..config()
            });
            rendition.feed(
                &Show {
                    rate,
                    gop,
                    rounded,
                    ..Show::default()
                }
                .session(12_100),
            );
            let target = rendition.snapshot().part_target;
            let snapshot = rendition.snapshot();
            for segment in &snapshot.segments {
                let (last, regular) = segment.parts.split_last().unwrap();
                assert!(last.duration <= target);
                for part in regular {
                    let percent = part.duration.as_nanos() * 100 / target.as_nanos();
                    assert!(
                        (85..=100).contains(&percent),
                        "{rate:?}: {percent} % of {target:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn parts_of_variable_frame_rate_never_pass_the_target() {
    // Pictures come and go between 8 and 60 a second; the audit checks each part against its segment's target.
    let mut events = Show::default().session(20_000);
    let mut kept = 0_u64;
    events.retain(|event| match event {
        Event::Unit(unit) if unit.track == TrackId::VIDEO && !unit.random_access => {
            kept += 1;
            kept % 7 > (kept / 90) % 6
        }
        _ => true,
    });
    let mut rendition = Rendition::new(config());
    rendition.feed(&events).finish();
    assert_eq!(rendition.segments().len(), 10);
}

#[test]
fn sound_that_is_early_is_divided_where_the_pictures_are() {
    // A sound that begins within the last picture is heard of only after it.
    for (late, slack) in [(-200, Duration::ZERO), (0, Duration::from_millis(34))] {
        let mut rendition = Rendition::new(config());
        rendition
            .feed(
                &Show {
                    audio_late_millis: late,
                    ..Show::default()
                }
                .session(9_000),
            )
            .finish();
        let ends = rendition
            .cuts
            .iter()
            .skip(1)
            .map(|cut| Some(cut.pts + cut.shift))
            .chain([None]);
        for ((id, cut), end) in rendition.bodies.keys().zip(&rendition.cuts).zip(ends) {
            for sample in samples(&rendition, *id)
                .into_iter()
                .flatten()
                .filter(|sample| sample.track == TrackId::AUDIO)
            {
                let at = Timestamp::from_nanos((sample.dts * 1_000_000_000 / 48_000).cast_signed());
                assert!(
                    at + slack >= cut.pts + cut.shift && end.is_none_or(|end| at < end),
                    "{id}: {at:?}"
                );
            }
        }
    }
}

/// Media time of the pictures on the wire in decode order: decoded at, shown at, lasting; milliseconds.
fn pictures(rendition: &Rendition) -> Vec<(i64, i64, i64)> {
    let ids: Vec<SegmentId> = rendition.bodies.keys().copied().collect();
    ids.into_iter()
        .flat_map(|id| samples(rendition, id).into_iter().flatten())
        .filter(|sample| sample.track == TrackId::VIDEO)
        .map(|sample| {
            let millis = |ticks: i64| (ticks + 45).div_euclid(90);
            let dts = sample.dts.cast_signed();
            let shown = dts + i64::from(sample.composition_offset);
            (
                millis(dts),
                millis(shown),
                millis(i64::from(sample.duration)),
            )
        })
        .collect()
}

#[test]
fn pictures_left_out_by_the_publisher_leave_no_hole() {
    // In the middle of a GOP; up to a random access point; across the one that would have begun a segment.
    for missing in [20..26_usize, 50..60, 110..125] {
        for reordered in [false, true] {
            let show = Show {
                reordered,
                ..Show::default()
            };
            let mut seen = 0;
            let events: Vec<Event> = show
                .session(9_000)
                .into_iter()
                .filter(|event| {
                    let picture =
                        matches!(event, Event::Unit(unit) if unit.track == TrackId::VIDEO);
                    seen += usize::from(picture);
                    !(picture && missing.contains(&(seen - 1)))
                })
                .collect();
            let mut rendition = Rendition::new(config());
            rendition.feed(&events).finish();
            let pictures = pictures(&rendition);
            assert!(pictures.len() > 240, "{}", pictures.len());
            for pair in pictures.windows(2) {
                let [(dts, _, lasting), (next, ..)] = *pair else {
                    unreachable!()
                };
                assert!(
                    (next - dts - lasting).abs() <= 1,
                    "{missing:?}, reordered {reordered}: {pair:?}"
                );
            }
            let mut shown: Vec<(i64, i64)> = pictures
                .iter()
                .map(|(_, pts, lasting)| (*pts, *lasting))
                .collect();
            shown.sort_unstable();
            let holes = shown
                .windows(2)
                .filter(|pair| pair[1].0 - pair[0].0 - pair[0].1 > 34)
                .count();
            // Where pictures are shown out of order, a late one keeps its place: only decoding goes on without a hole.
            assert!(
                holes <= usize::from(reordered && missing.end % 60 != 0),
                "{shown:?}"
            );
            let span = shown[shown.len() - 1].0 - shown[0].0;
            assert!((span - 9_000).abs() < 100, "time is not moved: {span}");
        }
    }
}

#[test]
fn a_broadcast_ends() {
    let mut rendition = Rendition::new(config());
    rendition
        .feed(&Show::default().session(5_000))
        .end(EndReason::Finished)
        .finish();
    let lengths: Vec<u64> = rendition
        .segments()
        .iter()
        .map(|(_, millis)| *millis)
        .collect();
    assert_eq!(lengths[..2], [2_000, 2_000]);
    assert!(
        (1_000..1_030).contains(&lengths[2]),
        "closed at its last whole chunk: {lengths:?}"
    );
    assert_eq!(rendition.outputs.last(), Some(&Output::Finished));
}

#[test]
fn ing_16_only_sound_is_cut_by_time() {
    let mut rendition = Rendition::new(config());
    rendition
        .feed(
            &Show {
                video: false,
                ..Show::default()
            }
            .session(7_000),
        )
        .finish();
    let lengths: Vec<u64> = rendition
        .segments()
        .iter()
        .map(|(_, millis)| *millis)
        .collect();
    assert_eq!(lengths.len(), 4);
    assert!(
        lengths[..3]
            .iter()
            .all(|length| length.abs_diff(2_000) < 22),
        "{lengths:?}"
    );
}

#[test]
fn ing_16_only_pictures() {
    let mut rendition = Rendition::new(config());
    rendition
        .feed(
            &Show {
                audio: false,
                ..Show::default()
            }
            .session(7_000),
        )
        .finish();
    assert_eq!(rendition.segments().len(), 4);
}

#[test]
fn ing_16_pictures_missing_for_ten_seconds_leave_sound_alone_and_come_back() {
    let show = Show {
        gop: 30,
        ..Show::default()
    };
    let events = without(show.session(20_000), TrackId::VIDEO, 3_000..13_000);
    let mut rendition = Rendition::new(config());
    rendition.feed(&events).finish();
    let tracks: Vec<(u32, usize)> = rendition
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Init { epoch, tracks, .. } => Some((epoch.0, tracks.len())),
            _ => None,
        })
        .collect();
    assert_eq!(tracks, [(1, 2), (2, 1), (3, 2)]);
    let total: u64 = rendition.segments().iter().map(|(_, millis)| *millis).sum();
    assert!(
        total.abs_diff(20_000) < 200,
        "media time has no hole: {total}"
    );
}

#[test]
fn ing_16_sound_missing_for_ten_seconds_is_silence() {
    let events = without(
        Show::default().session(20_000),
        TrackId::AUDIO,
        3_000..13_000,
    );
    let mut rendition = Rendition::new(config());
    rendition.feed(&events).finish();
    let mut ends: Vec<(u64, u64)> = Vec::new();
    for id in rendition.bodies.keys().copied().collect::<Vec<_>>() {
        let sounds = samples(&rendition, id)
            .into_iter()
            .flatten()
            .filter(|sample| sample.track == TrackId::AUDIO);
        ends.extend(sounds.map(|sample| (sample.dts, sample.dts + u64::from(sample.duration))));
    }
    for pair in ends.windows(2) {
        assert!(
            pair[1].0.abs_diff(pair[0].1) <= 1_024,
            "a hole between {} and {}",
            pair[0].1,
            pair[1].0
        );
    }
    assert_eq!(rendition.inits.len(), 1);
}

#[test]
fn ing_16_sound_that_drifts_by_one_percent_stays_whole() {
    // The publisher's sound clock runs 1 % fast: its units come 1 % closer than they last.
    let events = Show::default()
        .session(30_000)
        .into_iter()
        .map(|event| match event {
            Event::Unit(mut unit) if unit.track == TrackId::AUDIO => {
                unit.pts = Timestamp::from_nanos(unit.pts.as_nanos() / 101 * 100);
                unit.dts = unit.pts;
                Event::Unit(unit)
            }
            other => other,
        });
    let mut rendition = Rendition::new(config());
    rendition.feed(&events.collect::<Vec<_>>()).finish();
    assert_eq!(rendition.segments().len(), 15);
}

#[test]
fn a_publisher_without_random_access_points_is_cut_by_force() {
    let config = PackagerConfig {
        segment_max: Duration::from_secs(4),
        ..config()
    };
    let mut rendition = Rendition::new(config);
    rendition.feed(
        &Show {
            gop: 1_000_000,
            ..Show::default()
        }
        .session(13_000),
    );
    let lengths: Vec<u64> = rendition
        .segments()
        .iter()
        .map(|(_, millis)| *millis)
        .collect();
    assert_eq!(lengths, [4_000, 4_000, 4_000]);
    let text = hls::playlist::media::render(
        rendition.snapshot(),
        &hls::playlist::media::MediaRequest::default(),
    );
    assert!(!text.contains("INDEPENDENT-SEGMENTS"), "{text}");
}

#[test]
fn parts_stay_as_long_as_they_are_however_many_pictures_share_a_chunk() {
    for rate in [24, 25, 30, 50, 60] {
        let mut rendition = Rendition::new(PackagerConfig::default());
        let show = |picture| Show {
            rate: (rate, 1),
            gop: rate * 2,
            audio: false,
            picture,
            ..Show::default()
        };
        let mut events = vec![show(1).tracks()];
        let mut before = 0;
        for (picture, until) in [
            (9_000, 6_000),
            (1_500, 12_000),
            (600, 18_000),
            (9_000, 24_000),
        ] {
            let units = show(picture).units(until);
            events.extend_from_slice(&units[before..]);
            before = units.len();
        }
        rendition.feed(&events);
        let chunks = rendition.bodies.values().map(|body| body.chunks.len());
        let most = 2 * usize::try_from(rate).unwrap();
        assert!(
            chunks.clone().any(|count| count == most),
            "one picture a chunk"
        );
        assert!(
            chunks.clone().any(|count| (count * 4).abs_diff(most) < 4),
            "four pictures a chunk"
        );
        let begun = rendition.outputs.iter().filter_map(|output| match output {
            Output::SegmentStart { part_target, .. } => Some(*part_target),
            _ => None,
        });
        let targets: Vec<Duration> = begun.collect();
        assert!(
            targets.iter().all(|target| *target == targets[0]),
            "{rate} pictures a second: the target changed"
        );
    }
}
