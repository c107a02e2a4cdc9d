//! Renditions beside each other: two minutes of stream with a reconnect and a dead encoder inside, every segment compared.
//!
//! In → Out: real pictures and sound, second by second and faster than they happened → what every rendition has under each
//! number. Each second is waited for until all renditions have it, so a slow machine takes longer and finds the same.
//! Spec: RFC 8216bis 6.2.4 "Providing Variant Streams"; issue "Every viewer's own quality", accepted when 2; case PKG-03.

use std::collections::BTreeMap;
use std::time::Duration;

use delivery::{Live, Lookup};
use formats::container::fmp4::demux::{Demuxer, Item, Limits};
use hls::ladder::{Ladder, LadderLine};
use media::{AccessUnit, EndReason, Event, Msn, RenditionName, TrackId, UnixTime};
use transcode::Mode;

use crate::source::{self, Source};
use crate::stage::Stage;

/// Seconds before the reconnect and after it; the encoder dies in the middle of the second half.
const HALF_SECONDS: u64 = 60;
const KILL_AT: u64 = 30;
/// Segments that a rung may lack because its encoder died.
const MISSING_MAX: usize = 6;
const PATIENCE: Duration = Duration::from_mins(1);

/// What must be the same in all renditions under one number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Essence {
    epoch: u32,
    date: UnixTime,
    discontinuity: bool,
    pictures: Vec<u64>,
    sound: Vec<(u64, bytes::Bytes)>,
}

#[derive(Default)]
struct Ledger(BTreeMap<Msn, BTreeMap<RenditionName, Essence>>);

impl Ledger {
    /// Reads every whole segment that was not read before.
    fn collect(&mut self, live: &Live) {
        for (name, view) in live.renditions() {
            for segment in &view.snapshot().segments {
                let known = self.0.entry(segment.id.msn).or_default();
                if known.contains_key(&name) {
                    continue;
                }
                let Lookup::Found(entry) = view.objects().lookup(segment.id) else {
                    panic!("{name} lists {} and has it not", segment.id);
                };
                let init = view.init(segment.id.epoch).expect("its init section");
                let bytes = entry.media.slices(0, entry.media.len()).concat();
                let (pictures, sound) = samples(init, &bytes);
                let essence = Essence {
                    epoch: segment.id.epoch.0,
                    date: segment.program_date_time,
                    discontinuity: segment.discontinuity,
                    pictures,
                    sound,
                };
                known.insert(name, essence);
            }
        }
    }
}

/// Presentation times of all pictures, and all sound.
pub(crate) fn samples(init: &[u8], bytes: &[u8]) -> (Vec<u64>, Vec<(u64, bytes::Bytes)>) {
    let mut demuxer = Demuxer::new(Limits::default());
    demuxer.handle_bytes(init).unwrap();
    demuxer.handle_bytes(bytes).unwrap();
    let (mut pictures, mut sound) = (Vec::new(), Vec::new());
    while let Some(item) = demuxer.poll_item() {
        if let Item::Sample(sample) = item {
            if sample.track == TrackId::VIDEO {
                pictures.push(sample.dts + u64::from(sample.composition_offset.unsigned_abs()));
            } else {
                sound.push((sample.dts, sample.payload));
            }
        }
    }
    (pictures, sound)
}

/// Where a rendition stands: the open segment, and how much of it is listed.
fn edge(live: &Live, name: RenditionName) -> Option<(Msn, media::Duration)> {
    let view = live.rendition(name)?;
    let current = view.snapshot().current.as_ref()?;
    Some((current.id.msn, current.duration))
}

/// Whether every rung has come as far as `source`, give or take a part: renditions join their pictures differently.
fn level(live: &Live) -> bool {
    const A_PART: media::Duration = media::Duration::from_millis(600);
    let Some((msn, length)) = edge(live, RenditionName::Source) else {
        return false;
    };
    [RenditionName::P480, RenditionName::P240]
        .into_iter()
        .all(|name| {
            edge(live, name).is_some_and(|(at, reached)| at == msn && reached + A_PART >= length)
        })
}

async fn until_level(live: &Live, patience: Duration) -> bool {
    let reached = async {
        while !level(live) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(patience, reached).await.is_ok()
}

/// The events of second `second`, happening from `wall` on.
fn second_of(events: &[Event], second: u64, wall: UnixTime) -> Vec<Event> {
    let units = events.iter().filter_map(|event| match event {
        Event::Unit(unit) => Some(unit),
        _ => None,
    });
    let of_second = units.filter(|unit| unit.pts.as_millis().unsigned_abs() / 1_000 == second);
    let placed = of_second.map(|unit| {
        let wall = wall + unit.pts.since(media::Timestamp::ZERO);
        Event::Unit(AccessUnit {
            wall,
            ..unit.clone()
        })
    });
    placed.collect()
}

fn settings(stage: &Stage) {
    stage.settings.send_modify(|settings| {
        let line = |name, bitrate_bps| LadderLine { name, bitrate_bps };
        let transcode = &mut settings.pipeline.transcode;
        transcode.mode = Mode::Always;
        transcode.ladder = Ladder(vec![
            line(RenditionName::P480, 800_000),
            line(RenditionName::P240, 300_000),
        ]);
        // The stream comes faster than it happened.
        transcode.lag_max = Duration::from_hours(1);
        transcode.waiting_max = 10_000;
        transcode.hung_after = PATIENCE;
    });
}

#[tokio::test]
async fn pkg_03_all_renditions_have_the_same_under_each_number_across_a_reconnect_and_a_dead_encoder()
 {
    let stage = Stage::new();
    settings(&stage);
    let source = Source::make("724x482", 0).await;
    let events: Vec<Event> = source.forever().collect();
    let tracks = events[0].clone();
    // All of it happened before now: nothing claims to come from the future.
    let before = media::Duration::from_secs(10 * HALF_SECONDS).as_nanos();
    let began = UnixTime::from_nanos(stage.wall().as_nanos() - before);
    let mut ledger = Ledger::default();
    for half in 0..2 {
        let publisher = stage.try_admit("show").await.unwrap().events;
        publisher.send(tracks.clone()).await.unwrap();
        let wall = began + media::Duration::from_secs(half * (HALF_SECONDS + 3));
        let mut strict = true;
        for second in 0..HALF_SECONDS {
            for event in second_of(&events, second, wall) {
                publisher.send(event).await.unwrap();
            }
            if half == 1 && second == KILL_AT {
                // The bit rate of 480p, which no other test here has.
                source::kill_encoders("800000");
                strict = false;
            }
            let live = stage.live("show");
            let patience = if strict {
                PATIENCE
            } else {
                Duration::from_millis(500)
            };
            let is_level = until_level(&live, patience).await;
            assert!(
                is_level || !strict,
                "the rungs fell behind in second {second}"
            );
            strict |= is_level;
            ledger.collect(&live);
        }
        assert!(strict, "the rungs came back");
        publisher.send(Event::End(EndReason::Lost)).await.unwrap();
        stage.until("show", Some(origin::State::Reconnecting)).await;
    }
    ledger.collect(&stage.live("show"));
    compare(&ledger);
    stage.stop().await;
}

/// Whether a session ended in this segment.
fn is_last(ledger: &Ledger, msn: Msn, epoch: u32) -> bool {
    let next = ledger.0.get(&msn.next());
    next.is_none_or(|next| next[&RenditionName::Source].epoch != epoch)
}

fn compare(ledger: &Ledger) {
    let mut missing = 0;
    let mut epochs = std::collections::BTreeSet::new();
    for (msn, renditions) in &ledger.0 {
        let source = &renditions[&RenditionName::Source];
        assert!(
            !source.pictures.is_empty() && !source.sound.is_empty(),
            "{msn}"
        );
        epochs.insert(source.epoch);
        for name in [
            RenditionName::P480,
            RenditionName::P240,
            RenditionName::Audio,
        ] {
            let Some(rendition) = renditions.get(&name) else {
                missing += 1;
                continue;
            };
            let mut expect = source.clone();
            if name == RenditionName::Audio {
                expect.pictures.clear();
            }
            assert_eq!(rendition.epoch, expect.epoch, "{name} {msn}");
            assert_eq!(rendition.date, expect.date, "{name} {msn}");
            assert_eq!(
                rendition.discontinuity, expect.discontinuity,
                "{name} {msn}"
            );
            if is_last(ledger, *msn, source.epoch) {
                // A session's end does not wait for pictures that an encoder has not given back.
                assert!(
                    expect.pictures.starts_with(&rendition.pictures),
                    "{name} {msn}"
                );
                assert!(expect.sound.starts_with(&rendition.sound), "{name} {msn}");
            } else {
                assert_eq!(rendition.pictures, expect.pictures, "{name} {msn}");
                assert!(rendition.sound == expect.sound, "{name} {msn}: other sound");
            }
        }
    }
    let seconds = 2 * usize::try_from(HALF_SECONDS).unwrap();
    assert!(
        ledger.0.len() >= seconds / 2 - 2,
        "{} segments",
        ledger.0.len()
    );
    assert!(epochs.len() == 2, "{epochs:?}");
    assert!(missing <= MISSING_MAX, "{missing} segments are missing");
}
