//! Cases of the catalogue whose answer lies in pure code.
//!
//! In → Out: faults, floods and hostile input → totals, bounds and refusals that hold.
//! Spec: cases IX-09, 10, 12, 14, 16, 17, 18, 19, 22.

use media::{Duration, UnixTime};
use room::{
    Action, Actor, CommentId, Contribution, Fallback, Heartbeat, Input, Intake, IntakePolicy,
    Output, Policy, Post, Prefix, Rate, Refusal, Review, Rules, Source, Start, Taps, ViewerId,
};

use crate::driver::{BEGIN, Driver, name};

fn source(viewer: u64, prefix: u64) -> Source {
    Source {
        viewer: ViewerId(viewer),
        name: name(viewer),
        prefix: Prefix(prefix),
    }
}

fn taps(id: u64, count: u32, one_in: u32, age: u64) -> Post {
    Post {
        id,
        taps: Some(Taps {
            count,
            one_in,
            age: Duration::from_millis(age),
        }),
        ..Post::default()
    }
}

fn at(millis: u64) -> UnixTime {
    UnixTime::from_millis(BEGIN + millis)
}

#[test]
fn ix_09_a_bot_that_taps_a_thousand_times_a_second_counts_ten() {
    let mut intake = Intake::new(IntakePolicy::default());
    let mut acknowledged = 0;
    for milli in 0..10_000 {
        acknowledged += intake
            .handle_post(&source(1, 1), &taps(milli + 1, 1, 1, 0), at(milli))
            .map_or(0, |receipt| receipt.hearts);
    }
    let counted: u64 = intake.poll_contribution().unwrap().hearts.iter().sum();
    assert_eq!(counted, acknowledged);
    // The burst, then the slower of hearts and requests a second.
    assert!((80..=130).contains(&counted), "{counted}");
}

#[test]
fn ix_09_claiming_a_sampling_that_was_never_asked_for_buys_nothing() {
    let mut intake = Intake::new(IntakePolicy::default());
    assert_eq!(
        intake
            .handle_post(&source(1, 1), &taps(1, 2, 4_096, 0), at(0))
            .unwrap()
            .hearts,
        2
    );
    let rules = Rules {
        tap_one_in: 16,
        ..Rules::of(&Policy::default())
    };
    intake.handle_rules(&rules, at(0));
    assert_eq!(
        intake
            .handle_post(&source(2, 1), &taps(1, 2, 16, 0), at(0))
            .unwrap()
            .hearts,
        32
    );
    // And a bot that keeps claiming it stays at the same rate in the long run.
    let mut counted = 0;
    for second in 0..100 {
        counted += intake
            .handle_post(
                &source(3, 1),
                &taps(second + 1, 100, 16, 0),
                at(second * 1_000),
            )
            .unwrap()
            .hearts;
    }
    assert!(counted <= 8 * 16 + 30 + 10 * 100, "{counted}");
}

#[test]
fn ix_09_ten_thousand_accounts_of_one_network_share_its_limit() {
    let mut intake = Intake::new(IntakePolicy::default());
    let mut counted = 0;
    for viewer in 0..10_000 {
        counted += intake
            .handle_post(&source(viewer, 1), &taps(1, 30, 1, 0), at(0))
            .map_or(0, |receipt| receipt.hearts);
    }
    assert_eq!(
        counted,
        u64::from(IntakePolicy::default().prefix_hearts.burst)
    );
    assert!(
        intake
            .handle_post(&source(1, 2), &taps(2, 1, 1, 0), at(0))
            .is_ok(),
        "another network never notices"
    );
}

#[test]
fn ix_09_a_collector_forgets_the_least_recent_and_stays_in_its_bound() {
    let policy = IntakePolicy {
        viewers_max: 100,
        prefixes_max: 10,
        ..IntakePolicy::default()
    };
    let mut intake = Intake::new(policy);
    for viewer in 0..10_000 {
        intake
            .handle_post(&source(viewer, viewer), &taps(1, 1, 1, 0), at(0))
            .unwrap();
        assert!(intake.viewers() <= 100);
    }
}

#[test]
fn a_request_sent_twice_counts_once_and_is_answered_the_same() {
    let mut intake = Intake::new(IntakePolicy::default());
    let first = intake
        .handle_post(&source(1, 1), &taps(9, 3, 1, 0), at(0))
        .unwrap();
    let second = intake
        .handle_post(&source(1, 1), &taps(9, 3, 1, 0), at(900))
        .unwrap();
    assert_eq!((first.hearts, second.hearts, second.repeated), (3, 3, true));
    assert_eq!(
        intake
            .poll_contribution()
            .unwrap()
            .hearts
            .iter()
            .sum::<u64>(),
        3
    );
}

#[test]
fn ix_10_a_restarted_room_goes_on_from_its_snapshot_and_repeats_no_comment() {
    let mut driver = Driver::new(Policy::default());
    driver.hearts(1, 41);
    driver.comment(5, 9, "acknowledged");
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Mute(ViewerId(66), Duration::from_secs(600)),
    ));
    driver.advance(500);
    let snapshot = driver.room.snapshot(driver.time());
    let (seq, epoch) = (snapshot.seq, snapshot.epoch);
    // Hearts that were in flight when it died are lost.
    driver.hearts(1, 3);
    let start = Start {
        epoch: 0,
        seed: 8,
        snapshot: Some(snapshot),
        ..Start::default()
    };
    let mut next = Driver::restarted(Policy::default(), start, driver.now + 2_000);
    next.comment(5, 9, "acknowledged");
    next.comment(6, 66, "still muted?");
    next.hearts(1, 1);
    next.advance(500);
    let beat = next.beats()[0].clone();
    assert!(beat.seq > seq && next.room.snapshot(next.time()).epoch > epoch);
    assert_eq!((beat.hearts_total, beat.comments.len()), (42, 0));
    assert_eq!(next.verdicts(5), [Ok(seq)]);
    assert_eq!(next.verdicts(6), [Err(Refusal::Muted)]);
}

#[test]
fn ix_12_a_collector_cut_off_for_long_keeps_one_bounded_sum() {
    let mut intake = Intake::new(IntakePolicy::default());
    let mut acknowledged = 0;
    for viewer in 0..5_000 {
        let post = Post {
            heartbeat: Some(Heartbeat {
                one_in: 1,
                joined: true,
            }),
            ..taps(1, 2, 1, 0)
        };
        acknowledged += intake
            .handle_post(&source(viewer, viewer), &post, at(0))
            .unwrap()
            .hearts;
    }
    let contribution = intake.poll_contribution().unwrap();
    assert_eq!(contribution.present.len(), Contribution::PRESENT_MAX);
    assert_eq!(
        contribution.unnamed + contribution.present.len() as u64,
        5_000
    );
    assert_eq!(contribution.hearts.iter().sum::<u64>(), acknowledged);
}

#[test]
fn ix_14_taps_of_a_page_that_slept_are_not_counted() {
    let mut intake = Intake::new(IntakePolicy::default());
    assert_eq!(
        intake
            .handle_post(&source(1, 1), &taps(1, 20, 1, 600_000), at(0))
            .unwrap()
            .hearts,
        0
    );
    assert_eq!(
        intake
            .handle_post(&source(1, 1), &taps(2, 20, 1, 900), at(0))
            .unwrap()
            .hearts,
        20
    );
    assert_eq!(intake.poll_contribution().unwrap().dropped, 20);
}

#[test]
fn ix_16_a_deleted_comment_is_gone_within_a_second_everywhere_but_in_the_audit_log() {
    let mut driver = Driver::new(Policy::default());
    driver.comment(1, 5, "delete me");
    driver.advance(500);
    let asked = driver.now;
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Delete(CommentId(1)),
    ));
    driver.advance(1_000);
    let tombstone = driver
        .outputs
        .iter()
        .find(|(_, output)| matches!(output, Output::Beat(beat) if beat.removed == [CommentId(1)]));
    assert!(tombstone.unwrap().0 - asked <= 1_000);
    assert!(
        driver
            .outputs
            .iter()
            .any(|(_, output)| *output == Output::Redact(CommentId(1)))
    );
    let audit = driver.outputs.iter().find_map(|(_, output)| match output {
        Output::Audit(entry) => Some(entry),
        _ => None,
    });
    assert_eq!(
        audit.unwrap().comment.as_ref().unwrap().text.as_str(),
        "delete me"
    );
    assert!(driver.room.snapshot(driver.time()).last.is_empty());
    driver.comment(1, 5, "delete me");
    assert_eq!(driver.verdicts(1).last(), Some(&Err(Refusal::Deleted)));
}

#[test]
fn ix_17_rules_follow_the_load_up_and_down_without_swinging() {
    let mut driver = Driver::new(Policy::default());
    driver.handle(Input::Pressure(990));
    for _ in 0..20 {
        driver.hearts(0, 1);
        driver.advance(250);
    }
    driver.comment(1, 1, "too late");
    assert_eq!(driver.verdicts(1), [Err(Refusal::ReadOnly)]);
    driver.handle(Input::Pressure(0));
    driver.advance(600_000);
    let levels: Vec<u8> = driver
        .beats()
        .iter()
        .filter_map(|beat| beat.level.map(room::Level::number))
        .collect();
    assert_eq!(levels, [4, 3, 2, 1, 0]);
    let rules: Vec<Rules> = driver
        .beats()
        .iter()
        .filter_map(|beat| beat.rules)
        .collect();
    assert_eq!(rules.first().unwrap().tap_one_in, 0);
    assert_eq!(*rules.last().unwrap(), Rules::of(&Policy::default()));
    assert_eq!(driver.room.next_timeout(), None, "and then it sleeps");
}

#[test]
fn ix_17_one_pause_of_the_machine_closes_no_room() {
    let mut driver = Driver::new(Policy::default());
    for second in 0..30 {
        // Late once, as after a sleep, then on time.
        driver.handle(Input::Pressure(if second % 3 == 0 { 1_000 } else { 0 }));
        driver.hearts(0, 1);
        driver.advance(500);
        driver.handle(Input::Pressure(0));
        driver.advance(500);
    }
    driver.comment(1, 1, "still here");
    driver.advance(1_000);
    assert_eq!(driver.verdicts(1).len(), 1);
    assert!(driver.verdicts(1)[0].is_ok());
    assert!(driver.beats().iter().all(|beat| beat.level.is_none()));
}

#[test]
fn ix_17_new_rules_are_in_the_beat_after_the_load_was_seen() {
    let mut driver = Driver::new(Policy::default());
    driver.handle(Input::Collected(Contribution {
        posts: 100_000,
        ..Contribution::default()
    }));
    driver.advance(1_600);
    let told = driver
        .beats()
        .into_iter()
        .find_map(|beat| beat.rules.map(|rules| (beat.at, rules)));
    let (when, rules) = told.unwrap();
    assert_eq!(rules.tap_one_in, 32);
    assert!(when.since(UnixTime::from_millis(BEGIN)).as_millis() <= 1_500);
}

#[test]
fn ix_18_a_review_hook_that_does_not_answer_costs_two_hundred_milliseconds() {
    for (fallback, shown) in [(Fallback::Allow, 1), (Fallback::Deny, 0)] {
        let review = Review {
            time: Duration::from_millis(200),
            fallback,
        };
        let mut driver = Driver::new(Policy {
            review: Some(review),
            ..Policy::default()
        });
        driver.comment(1, 1, "hello");
        let asked = driver
            .outputs
            .iter()
            .any(|(_, output)| matches!(output, Output::Review(_)));
        assert!(asked && driver.verdicts(1).is_empty());
        driver.advance(200);
        driver.handle(Input::Reviewed(CommentId(1), true));
        driver.advance(300);
        let count: usize = driver.beats().iter().map(|beat| beat.comments.len()).sum();
        assert_eq!(count, shown);
        assert_eq!(driver.verdicts(1).len(), 1);
        assert_eq!(driver.verdicts(1)[0].is_ok(), shown == 1);
    }
}

#[test]
fn ix_18_more_comments_than_the_review_queue_holds_take_the_fallback_at_once() {
    let review = Review {
        time: Duration::from_millis(200),
        fallback: Fallback::Deny,
    };
    let mut driver = Driver::new(Policy {
        review: Some(review),
        reviews_max: 10,
        ..Policy::default()
    });
    for id in 0..100 {
        driver.comment(id, id, "hello");
    }
    let asked = driver
        .outputs
        .iter()
        .filter(|(_, output)| matches!(output, Output::Review(_)))
        .count();
    assert_eq!(asked, 10);
    assert_eq!(driver.verdicts(50), [Err(Refusal::Reviewed)]);
    driver.handle(Input::Reviewed(CommentId(3), true));
    driver.advance(1_000);
    assert!(driver.verdicts(3)[0].is_ok());
    assert_eq!(driver.verdicts(4), [Err(Refusal::Reviewed)]);
}

#[test]
fn ix_19_repeated_heartbeats_of_one_viewer_are_one_viewer() {
    let mut intake = Intake::new(IntakePolicy {
        viewer_posts: Rate::new(1_000, 1_000),
        ..IntakePolicy::default()
    });
    let mut driver = Driver::new(Policy::default());
    for beat in 0..100 {
        let post = Post {
            id: beat + 1,
            heartbeat: Some(Heartbeat {
                one_in: 1,
                joined: true,
            }),
            ..Post::default()
        };
        intake.handle_post(&source(1, 1), &post, at(beat)).unwrap();
    }
    let contribution = intake.poll_contribution().unwrap();
    assert_eq!(contribution.present.len(), 1);
    driver.handle(Input::Collected(contribution));
    driver.advance(500);
    assert_eq!(driver.beats()[0].viewers.unwrap().count, 1);
    assert_eq!(driver.beats()[0].joins.count, 1);
}

#[test]
fn ix_22_timers_of_many_rooms_fall_on_one_grid() {
    let mut rooms: Vec<Driver> = (0..50).map(|_| Driver::new(Policy::default())).collect();
    let mut due = std::collections::BTreeSet::new();
    for (index, driver) in (0..).zip(&mut rooms) {
        driver.advance(index * 3);
        driver.hearts(0, 1);
        due.insert(driver.room.next_timeout().unwrap());
    }
    assert_eq!(due.len(), 1);
}
