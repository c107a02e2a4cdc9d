//! How broadcasts begin, go on and end.
//!
//! In → Out: see `main.rs`.
//! Spec: cases ING-17, ING-18, ING-19, ING-34.

use std::sync::Arc;
use std::time::Duration;

use media::{EndReason, Event, Feedback, Msn, RenditionName, SegmentId};
use origin::{AdmitError, State};
use testkit::synthetic::Settings;
use tokio::time::sleep;

use crate::stage::{Stage, id};

const SOURCE: RenditionName = RenditionName::Source;
const AUDIO: RenditionName = RenditionName::Audio;

/// Names of all listed segments and of the open one, checked to be without holes.
fn names(stage: &Stage, name: &str, rendition: RenditionName) -> Vec<(SegmentId, bool)> {
    let snapshot = stage.snapshot(name, rendition);
    let listed: Vec<_> = snapshot
        .segments
        .iter()
        .chain(&snapshot.current)
        .map(|segment| (segment.id, segment.discontinuity))
        .collect();
    for pair in listed.windows(2) {
        assert_eq!(pair[1].0.msn, pair[0].0.msn.next(), "numbers have no holes");
        assert!(pair[1].0.epoch >= pair[0].0.epoch, "epochs never go back");
    }
    listed
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_is_live_with_both_renditions_once_media_came() {
    let stage = Stage::new();
    let mut publisher = stage.publisher("x", Settings::default()).await;
    assert_eq!(stage.state("x"), Some(State::Idle));
    publisher.send(7).await;
    let status = stage.status("x").unwrap();
    assert_eq!((status.state, &*status.title), (State::Live, "The x show"));
    let source = &status.renditions[0];
    assert_eq!(
        (source.name, source.size, source.frame_rate_milli),
        (SOURCE, Some((320, 176)), Some(30_000))
    );
    assert!(
        source.codecs.starts_with("avc1.") && source.codecs.ends_with(",mp4a.40.2"),
        "{}",
        source.codecs
    );
    assert!(source.bitrate_bps > 0);
    assert_eq!(
        (
            status.renditions[1].name,
            status.renditions[1].codecs.as_str()
        ),
        (AUDIO, "mp4a.40.2")
    );
    assert_eq!(
        names(&stage, "x", SOURCE),
        names(&stage, "x", AUDIO),
        "sound follows the picture's boundaries"
    );
}

#[tokio::test(start_paused = true)]
async fn ing_17_a_publisher_that_vanishes_is_waited_for_and_then_the_broadcast_ends() {
    let stage = Stage::new();
    let mut publisher = stage.publisher("x", Settings::default()).await;
    publisher.send(5).await;
    drop(publisher);
    stage.until("x", Some(State::Reconnecting)).await;
    let snapshot = stage.snapshot("x", SOURCE);
    assert!(snapshot.current.is_none(), "the open segment was closed");
    assert_eq!(snapshot.state, hls::State::Away);
    assert!(!stage.status("x").unwrap().publisher.unwrap().connected);

    sleep(Duration::from_secs(29)).await;
    assert_eq!(stage.state("x"), Some(State::Reconnecting));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.state("x"), Some(State::Ended));
    assert_eq!(
        stage.snapshot("x", SOURCE).state,
        hls::State::Ended,
        "playlists say so"
    );
    sleep(Duration::from_secs(50)).await;
    assert_eq!(stage.state("x"), Some(State::Ended), "and stay readable");
    sleep(Duration::from_secs(11)).await;
    assert_eq!(stage.state("x"), None);
}

#[tokio::test(start_paused = true)]
async fn ing_18_a_publisher_that_returns_continues_the_broadcast_in_a_new_epoch() {
    let stage = Stage::new();
    let mut first = stage.publisher("x", Settings::default()).await;
    first.send(5).await;
    let live = stage.live("x");
    let before = names(&stage, "x", SOURCE);
    first
        .admission
        .events
        .send(Event::End(EndReason::Lost))
        .await
        .unwrap();
    sleep(Duration::from_secs(1)).await;

    let mut second = stage.publisher("x", Settings::default()).await;
    second.send(5).await;
    assert_eq!(stage.state("x"), Some(State::Live));
    assert!(
        Arc::ptr_eq(&live, &stage.live("x")),
        "viewers keep what they hold"
    );
    let after = names(&stage, "x", SOURCE);
    assert_eq!(
        after[..before.len()],
        before[..],
        "what was listed stays as it was"
    );
    let (id, discontinuity) = after[before.len()];
    assert_eq!(id.epoch, before[0].0.epoch.next());
    assert!(discontinuity);
    let times: Vec<_> = stage
        .snapshot("x", SOURCE)
        .segments
        .iter()
        .map(|segment| segment.program_date_time)
        .collect();
    assert!(times.is_sorted(), "program date-time never goes back");
}

#[tokio::test(start_paused = true)]
async fn ing_18_a_return_with_another_resolution_or_without_sound_gets_its_own_init_section() {
    let stage = Stage::new();
    stage
        .publisher("x", Settings::default())
        .await
        .send(5)
        .await;
    stage.until("x", Some(State::Reconnecting)).await;
    let turned = Settings {
        width: 176,
        height: 320,
        ..Settings::default()
    };
    stage.publisher("x", turned).await.send(5).await;
    stage.until("x", Some(State::Reconnecting)).await;
    assert_eq!(
        stage.status("x").unwrap().renditions[0].size,
        Some((176, 320))
    );
    let silent = Settings {
        sound: false,
        ..Settings::default()
    };
    stage.publisher("x", silent).await.send(5).await;

    let listed = names(&stage, "x", SOURCE);
    let mut epochs: Vec<_> = listed.iter().map(|(id, _)| id.epoch).collect();
    epochs.dedup();
    assert_eq!(epochs.len(), 3);
    let view = stage.live("x").rendition(SOURCE).unwrap();
    let inits: Vec<_> = epochs
        .iter()
        .map(|epoch| view.init(*epoch).unwrap().clone())
        .collect();
    assert!(inits[0] != inits[1] && inits[1] != inits[2]);
    assert!(
        !stage.status("x").unwrap().renditions[0]
            .codecs
            .contains("mp4a")
    );
}

#[tokio::test(start_paused = true)]
async fn ing_19_the_newer_of_two_publishers_wins_and_the_older_is_told() {
    let stage = Stage::new();
    let mut old = stage.publisher("x", Settings::default()).await;
    old.send(5).await;
    let mut new = stage.publisher("x", Settings::default()).await;
    assert_eq!(
        old.admission.feedback.recv().await,
        Some(Feedback::Stop(EndReason::Replaced))
    );
    assert_eq!(old.admission.feedback.recv().await, None);
    assert!(
        !old.send(1).await,
        "what the older still sends goes nowhere"
    );
    new.send(5).await;

    assert_eq!(stage.state("x"), Some(State::Live));
    let listed = names(&stage, "x", SOURCE);
    assert_eq!(listed.last().unwrap().0.epoch, listed[0].0.epoch.next());
    assert!(stage.status("x").unwrap().publisher.unwrap().connected);
}

#[tokio::test(start_paused = true)]
async fn ing_19_two_publishers_that_replace_each_other_never_break_the_numbers() {
    let stage = Stage::new();
    for _ in 0..10 {
        stage
            .publisher("x", Settings::default())
            .await
            .send(1)
            .await;
    }
    names(&stage, "x", SOURCE);
    assert_eq!(stage.registry.statuses().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn ing_34_new_settings_reach_a_hundred_broadcasts_and_drop_nobody() {
    let stage = Stage::new();
    let mut publishers = Vec::new();
    for n in 0..100 {
        let mut publisher = stage
            .publisher(
                &format!("b{n}"),
                Settings {
                    gop: 15,
                    ..Settings::default()
                },
            )
            .await;
        publisher.send(1).await;
        publishers.push(publisher);
    }
    stage
        .settings
        .send_modify(|settings| settings.reconnect_window = Duration::from_secs(3));
    for publisher in &mut publishers {
        assert!(publisher.send(1).await);
        assert!(publisher.admission.feedback.try_recv().is_err());
    }
    assert!(
        stage
            .registry
            .statuses()
            .iter()
            .all(|status| status.state == State::Live)
    );

    // The one that leaves is waited for as long as the new settings say.
    drop(publishers.pop());
    stage.until("b99", Some(State::Reconnecting)).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(stage.state("b99"), Some(State::Ended));
    assert_eq!(stage.state("b98"), Some(State::Live));
}

#[tokio::test(start_paused = true)]
async fn ing_34_a_shorter_window_counts_for_those_who_are_away_already() {
    let stage = Stage::new();
    stage
        .publisher("x", Settings::default())
        .await
        .send(3)
        .await;
    stage.until("x", Some(State::Reconnecting)).await;
    stage
        .settings
        .send_modify(|settings| settings.reconnect_window = Duration::from_secs(1));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.state("x"), Some(State::Ended));
}

#[tokio::test(start_paused = true)]
async fn ing_34_a_publisher_gone_between_connecting_and_publishing_leaves_nothing_behind() {
    let stage = Stage::new();
    for n in 0..150 {
        drop(stage.try_admit(&format!("b{n}")).await.unwrap());
    }
    stage.until("b0", None).await;
    sleep(Duration::from_secs(1)).await;
    assert!(stage.registry.statuses().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_operator_ends_a_broadcast_at_once() {
    let stage = Stage::new();
    let mut publisher = stage.publisher("x", Settings::default()).await;
    publisher.send(5).await;
    assert!(stage.registry.end(&id("x")).await);
    assert_eq!(
        publisher.admission.feedback.recv().await,
        Some(Feedback::Stop(EndReason::Stopped))
    );
    stage.until("x", Some(State::Ended)).await;
    assert_eq!(stage.snapshot("x", SOURCE).state, hls::State::Ended);
    assert!(!stage.registry.end(&id("x")).await, "it has ended already");
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_begins_again_after_its_end_counts_on() {
    let stage = Stage::new();
    stage
        .publisher("x", Settings::default())
        .await
        .send(5)
        .await;
    let last = names(&stage, "x", SOURCE).last().unwrap().0;
    assert!(stage.registry.end(&id("x")).await);
    stage.until("x", Some(State::Ended)).await;

    stage
        .publisher("x", Settings::default())
        .await
        .send(3)
        .await;
    let (first, _) = names(&stage, "x", SOURCE)[0];
    assert!(first.epoch > last.epoch, "one URL has one body for ever");
    assert_eq!(first.msn, last.msn.next());
    assert_eq!(stage.state("x"), Some(State::Live));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_new_broadcasts_are_refused_and_existing_ones_go_on() {
    let stage = Stage::new();
    stage
        .settings
        .send_modify(|settings| settings.count_max = 1);
    let mut publisher = stage.publisher("x", Settings::default()).await;
    assert_eq!(
        stage.try_admit("y").await.unwrap_err(),
        AdmitError::Full { count_max: 1 }
    );
    assert!(publisher.send(3).await);
    assert!(
        stage.try_admit("x").await.is_ok(),
        "a takeover is no new broadcast"
    );
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_publishers_are_told_and_every_playlist_gets_its_end() {
    let stage = Stage::new();
    let mut publisher = stage.publisher("x", Settings::default()).await;
    publisher.send(5).await;
    let live = stage.live("x");
    let registry = stage.stop().await;
    assert_eq!(
        publisher.admission.feedback.recv().await,
        Some(Feedback::Stop(EndReason::Stopped))
    );
    for (_, view) in live.renditions() {
        assert_eq!(view.snapshot().state, hls::State::Ended);
        assert!(view.snapshot().current.is_none());
    }
    let note = &registry.notes()[0];
    assert!(note.settled);
    assert!(note.position.msn > Msn(1));
}
