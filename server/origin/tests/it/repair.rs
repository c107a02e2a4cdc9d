//! Sources that players cannot take, encoded anew before anything is cut.
//!
//! In → Out: real pictures and sound, faster than they happened → what is listed of each rendition, and what is advised.
//! Spec: issue "Every viewer's own quality", 1; cases PKG-03, ING-09.

use std::time::Duration;

use delivery::{Live, Lookup};
use hls::ladder::{Ladder, LadderLine};
use ingest::Admission;
use media::{AccessUnit, EndReason, Event, RenditionName, SegmentId, UnixTime};
use origin::{Advice, State};
use transcode::{Mode, SourcePolicy};

use crate::alignment::samples;
use crate::source::Source;
use crate::stage::Stage;

const PATIENCE: Duration = Duration::from_mins(1);

fn repairing(mode: Mode, ffmpeg: &str) -> Stage {
    let stage = Stage::new();
    stage.settings.send_modify(|settings| {
        let transcode = &mut settings.pipeline.transcode;
        transcode.source = SourcePolicy::Repair;
        transcode.mode = mode;
        transcode.ffmpeg = ffmpeg.into();
        transcode.ladder = Ladder(vec![LadderLine {
            name: RenditionName::P240,
            bitrate_bps: 300_000,
        }]);
        // The stream comes faster than it happened, and the machine may be busy.
        transcode.lag_max = Duration::from_hours(1);
        transcode.waiting_max = 10_000;
        transcode.hung_after = PATIENCE;
        transcode.flush = PATIENCE;
    });
    stage
}

/// Sends a stream that happened a while ago, not faster than an encoder's queue empties.
async fn send(stage: &Stage, publisher: &Admission, events: impl Iterator<Item = Event>) {
    let ago = media::Duration::from_secs(600).as_nanos();
    let began = UnixTime::from_nanos(stage.wall().as_nanos() - ago);
    let mut pace = tokio::time::interval(Duration::from_millis(4));
    for event in events {
        let event = match event {
            Event::Unit(unit) => Event::Unit(AccessUnit {
                wall: began + unit.pts.since(media::Timestamp::ZERO),
                ..unit
            }),
            other => other,
        };
        publisher.events.send(event).await.unwrap();
        pace.tick().await;
    }
}

/// The listed segments of a rendition with the times of their pictures, and their sound.
type Listed = Vec<(SegmentId, (Vec<u64>, Vec<(u64, bytes::Bytes)>))>;

fn listed(live: &Live, name: RenditionName) -> Listed {
    let view = live.rendition(name).expect("it is made");
    let read = |id| {
        let Lookup::Found(entry) = view.objects().lookup(id) else {
            panic!("{name} lists {id} and has it not");
        };
        let bytes = entry.media.slices(0, entry.media.len()).concat();
        (
            id,
            samples(view.init(id.epoch).expect("its init section"), &bytes),
        )
    };
    let segments = &view.snapshot().segments;
    segments.iter().map(|segment| read(segment.id)).collect()
}

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

/// Ends the session, and waits until all of it is listed.
async fn end(stage: &Stage, publisher: &Admission) {
    let end = Event::End(EndReason::Lost);
    publisher.events.send(end).await.unwrap();
    stage.until("show", Some(State::Reconnecting)).await;
    let live = stage.live("show");
    until("the last segment is closed", || {
        let view = live.rendition(RenditionName::Source).unwrap();
        view.snapshot().current.is_none()
    })
    .await;
}

fn advice(stage: &Stage) -> Vec<Advice> {
    stage.status("show").unwrap().advice
}

#[tokio::test]
async fn a_source_with_b_frames_and_rare_key_frames_is_repaired_and_all_renditions_are_cut_like_it()
{
    let stage = repairing(Mode::Always, "ffmpeg");
    let source = Source::make_with("430x322", 9, "-g 300 -bf 2 -pix_fmt yuv420p").await;
    let publisher = stage.try_admit("show").await.unwrap();
    // A rung whose encoder starts while whole segments pass begins after them.
    let (early, late) = source.events.split_at(source.events.len() / 3);
    send(&stage, &publisher, early.iter().cloned()).await;
    let live = stage.live("show");
    until("the rung has begun", || {
        let rung = live.rendition(RenditionName::P240);
        rung.is_some_and(|view| view.snapshot().current.is_some())
    })
    .await;
    send(&stage, &publisher, late.iter().cloned()).await;
    assert_eq!(
        advice(&stage),
        [Advice::BFrames, Advice::LongGop, Advice::Repaired]
    );
    until("three segments of each rendition", || {
        [
            RenditionName::Source,
            RenditionName::P240,
            RenditionName::Audio,
        ]
        .into_iter()
        .all(|name| {
            live.rendition(name)
                .is_some_and(|view| view.snapshot().segments.len() >= 3)
        })
    })
    .await;
    let [repaired, rung, audio] = [
        RenditionName::Source,
        RenditionName::P240,
        RenditionName::Audio,
    ]
    .map(|name| listed(&live, name));
    for (id, (pictures, sound)) in &repaired[..3] {
        assert!((59..=61).contains(&pictures.len()), "{id} has two seconds");
        assert!(
            pictures.is_sorted(),
            "shown in the order in which they come"
        );
        let other = rung
            .iter()
            .find(|(other, _)| other == id)
            .expect("the same number");
        assert_eq!(&other.1.0, pictures, "{id}");
        assert!(&other.1.1 == sound, "{id}: other sound");
        let other = audio
            .iter()
            .find(|(other, _)| other == id)
            .expect("the same number");
        assert!(&other.1.1 == sound, "{id}: other sound");
    }
    stage.stop().await;
}

#[tokio::test]
async fn what_shows_late_is_repaired_from_the_next_key_frame_on_and_no_picture_is_lost_or_doubled()
{
    let stage = repairing(Mode::Never, "ffmpeg");
    let options = "-tune zerolatency -g 150 -keyint_min 150 -pix_fmt yuv420p";
    let source = Source::make_with("320x240", 12, options).await;
    let publisher = stage.try_admit("show").await.unwrap();
    let (early, late) = source.events.split_at(source.events.len() / 4);
    send(&stage, &publisher, early.iter().cloned()).await;
    until("the picture passes", || {
        stage.state("show") == Some(State::Live)
    })
    .await;
    assert_eq!(advice(&stage), [], "nothing is wrong yet");
    send(&stage, &publisher, late.iter().cloned()).await;
    assert!(advice(&stage).contains(&Advice::Repaired));
    end(&stage, &publisher).await;
    let segments = listed(&stage.live("show"), RenditionName::Source);
    let lengths: Vec<_> = segments
        .iter()
        .map(|(id, (pictures, _))| (id.epoch.0, pictures.len()))
        .collect();
    let first = segments[0].0.epoch.0;
    // As it came up to the second key frame, in a new epoch from there on.
    let expect = [150, 60, 60, 60, 30];
    assert_eq!(lengths[0], (first, expect[0]));
    assert!(lengths[1..].iter().all(|(epoch, _)| *epoch == first + 1));
    assert_eq!(lengths.iter().map(|(_, count)| count).sum::<usize>(), 360);
    let pictures: Vec<_> = segments
        .iter()
        .flat_map(|(_, (pictures, _))| pictures)
        .collect();
    let apart = |pair: &[&u64]| pair[1] - pair[0];
    assert!(
        pictures
            .windows(2)
            .all(|pair| (2_880..3_120).contains(&apart(pair)))
    );
    stage.stop().await;
}

#[tokio::test]
async fn pkg_03_a_repair_whose_encoder_dies_thrice_lets_the_source_pass_and_says_so() {
    let stage = repairing(Mode::Never, "/bin/true");
    let source = Source::make_with("320x240", 3, "-g 30 -bf 2 -pix_fmt yuv420p").await;
    let publisher = stage.try_admit("show").await.unwrap();
    send(&stage, &publisher, source.forever().take(900)).await;
    until("it says so", || {
        advice(&stage) == [Advice::BFrames, Advice::RepairFailed]
    })
    .await;
    end(&stage, &publisher).await;
    let segments = listed(&stage.live("show"), RenditionName::Source);
    assert!(segments.len() >= 2, "{} segments", segments.len());
    let shown = |pictures: &Vec<u64>| !pictures.is_sorted();
    assert!(
        segments.iter().any(|(_, (pictures, _))| shown(pictures)),
        "as it was sent"
    );
    assert_eq!(
        advice(&stage),
        [Advice::BFrames],
        "the next session tries again"
    );
    stage.stop().await;
}
