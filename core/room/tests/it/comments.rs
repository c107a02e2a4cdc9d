//! Comments, beats and the broadcaster's view, in plain sentences.
//!
//! In → Out: what people do → what everybody sees.
//! Spec: `docs/ix.md`, "Beats", "Comments", "Ranking".

use media::{Duration, UnixTime};
use room::{Action, Actor, CommentId, Draft, Gate, Input, Output, Policy, Rate, Refusal, ViewerId};

use crate::driver::{BEGIN, Driver, draft};

#[test]
fn hearts_of_one_tick_are_one_beat_summed_by_colour() {
    let mut driver = Driver::new(Policy::default());
    driver.advance(10);
    driver.hearts(3, 2);
    driver.advance(100);
    driver.hearts(3, 1);
    driver.hearts(9, 4);
    driver.advance(1_000);
    let beats = driver.beats();
    assert_eq!(beats.len(), 1);
    assert_eq!(
        (
            beats[0].hearts[3],
            beats[0].hearts[9],
            beats[0].hearts_total
        ),
        (3, 4, 7)
    );
    assert_eq!(beats[0].at, UnixTime::from_millis(BEGIN + 250));
}

#[test]
fn a_room_where_nothing_happens_has_no_timer() {
    let mut driver = Driver::new(Policy::default());
    assert_eq!(driver.room.next_timeout(), None);
    driver.hearts(0, 1);
    assert!(driver.room.next_timeout().is_some());
    driver.advance(5_000);
    assert_eq!(driver.room.next_timeout(), None);
    driver.present([1, 2]);
    driver.advance(60_000);
    assert_eq!(driver.room.next_timeout(), None);
    assert_eq!(driver.beats().last().unwrap().viewers.unwrap().count, 0);
}

#[test]
fn the_broadcaster_sees_a_heart_within_a_tenth_of_a_second() {
    let mut driver = Driver::new(Policy::default());
    driver.handle(Input::Staff(1));
    driver.advance(3);
    driver.hearts(5, 1);
    let tapped = driver.now;
    driver.advance(1_000);
    let micro = driver
        .outputs
        .iter()
        .find(|(_, output)| matches!(output, Output::Micro(_)))
        .unwrap();
    assert!(micro.0 - tapped <= 100, "{} ms", micro.0 - tapped);
}

#[test]
fn the_broadcaster_hears_of_a_rule_that_was_changed_without_waiting_for_something_else() {
    let mut driver = Driver::new(Policy::default());
    driver.handle(Input::Staff(1));
    driver.advance(3);
    let slow = Action::SetSlow(Duration::from_secs(10));
    driver.handle(Input::Moderate(Actor::Broadcaster, slow));
    let ordered = driver.now;
    driver.advance(1_000);
    let told = driver.outputs.iter().find_map(|(at, output)| match output {
        Output::Micro(beat) => beat.rules.map(|rules| (at - ordered, rules.slow)),
        _ => None,
    });
    let (after, slow) = told.unwrap();
    assert_eq!(slow, Duration::from_secs(10));
    assert!(after <= 350, "{after} ms");
}

#[test]
fn moderators_see_every_comment_also_those_that_lose_the_ranking() {
    let policy = Policy {
        shown: Rate::new(2, 2),
        ..Policy::default()
    };
    let mut driver = Driver::new(policy);
    driver.handle(Input::Staff(1));
    for id in 0..20 {
        driver.comment(id, id, "hello");
    }
    driver.advance(5_000);
    let micro: usize = driver
        .outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::Micro(beat) => Some(beat.comments.len()),
            _ => None,
        })
        .sum();
    let shown: usize = driver.beats().iter().map(|beat| beat.comments.len()).sum();
    assert_eq!(micro, 20);
    assert!((2..=5).contains(&shown), "{shown}");
    for id in 0..20 {
        assert_eq!(driver.verdicts(id).len(), 1, "comment {id}");
    }
}

#[test]
fn a_comment_sent_again_is_in_one_beat_and_gets_the_same_answer() {
    let mut driver = Driver::new(Policy::default());
    driver.comment(1, 7, "hello");
    driver.comment(1, 7, "hello");
    driver.advance(500);
    driver.comment(1, 7, "hello");
    driver.advance(500);
    let shown: usize = driver.beats().iter().map(|beat| beat.comments.len()).sum();
    assert_eq!(shown, 1);
    assert_eq!(driver.verdicts(1), [Ok(1), Ok(1)]);
}

#[test]
fn somebody_elses_comment_id_is_refused_and_shows_nothing() {
    let mut driver = Driver::new(Policy::default());
    driver.comment(1, 7, "hello");
    driver.advance(500);
    driver.comment(1, 8, "mine now");
    assert_eq!(driver.verdicts(1), [Ok(1), Err(Refusal::Unknown)]);
}

#[test]
fn the_media_time_of_a_comment_is_clamped_to_the_last_minute() {
    let mut driver = Driver::new(Policy::default());
    let edge = UnixTime::from_millis(BEGIN - 300);
    driver.handle(Input::LiveEdge(edge));
    let cases = [
        (None, edge),
        (Some(UnixTime::from_millis(BEGIN + 999_999)), edge),
        (
            Some(UnixTime::from_millis(5)),
            UnixTime::from_millis(BEGIN - 60_300),
        ),
        (
            Some(UnixTime::from_millis(BEGIN - 5_000)),
            UnixTime::from_millis(BEGIN - 5_000),
        ),
    ];
    for (id, (said, _)) in (0..).zip(&cases) {
        driver.handle(Input::Comment(Draft {
            media: *said,
            ..draft(id, id, "x")
        }));
    }
    driver.advance(500);
    let stamped: Vec<UnixTime> = driver.beats()[0]
        .comments
        .iter()
        .map(|comment| comment.media)
        .collect();
    assert_eq!(stamped, cases.map(|(_, expected)| expected));
}

#[test]
fn slow_mode_lets_one_comment_of_an_author_through_in_its_time() {
    let mut driver = Driver::new(Policy::default());
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::SetSlow(Duration::from_secs(10)),
    ));
    driver.comment(1, 7, "a");
    driver.advance(5_000);
    driver.comment(2, 7, "b");
    driver.advance(6_000);
    driver.comment(3, 7, "c");
    driver.advance(1_000);
    assert_eq!(driver.verdicts(2), [Err(Refusal::Slow)]);
    assert!(driver.verdicts(3)[0].is_ok());
}

#[test]
fn the_gate_decides_who_may_comment() {
    let mut driver = Driver::new(Policy::default());
    let set = |driver: &mut Driver, gate| {
        driver.handle(Input::Moderate(Actor::Broadcaster, Action::SetGate(gate)));
    };
    set(&mut driver, Gate::First(2));
    for id in 1..=3 {
        driver.comment(id, id, "a");
    }
    set(&mut driver, Gate::Nobody);
    driver.comment(4, 1, "b");
    set(&mut driver, Gate::Approved);
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Approve(ViewerId(3)),
    ));
    driver.comment(5, 3, "c");
    driver.advance(2_000);
    assert!(
        driver.verdicts(1)[0].is_ok()
            && driver.verdicts(2)[0].is_ok()
            && driver.verdicts(5)[0].is_ok()
    );
    assert_eq!(
        (driver.verdicts(3)[0], driver.verdicts(4)[0]),
        (Err(Refusal::Gated), Err(Refusal::Gated))
    );
}

#[test]
fn moderators_do_what_the_broadcaster_does_but_name_nobody() {
    let mut driver = Driver::new(Policy::default());
    let (moderator, stranger) = (Actor::Moderator(ViewerId(1)), Actor::Moderator(ViewerId(2)));
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Appoint(ViewerId(1)),
    ));
    driver.comment(10, 5, "spam");
    driver.advance(500);
    driver.handle(Input::Moderate(stranger, Action::Delete(CommentId(10))));
    driver.handle(Input::Moderate(moderator, Action::Appoint(ViewerId(2))));
    driver.handle(Input::Moderate(moderator, Action::Delete(CommentId(10))));
    driver.advance(500);
    let refused = driver
        .outputs
        .iter()
        .filter(|(_, output)| matches!(output, Output::NotDone(..)))
        .count();
    assert_eq!(refused, 2);
    assert_eq!(driver.beats().last().unwrap().removed, [CommentId(10)]);
}

#[test]
fn a_blocked_author_vanishes_and_stays_away() {
    let mut driver = Driver::new(Policy::default());
    driver.comment(1, 5, "one");
    driver.advance(600);
    driver.comment(2, 5, "two");
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Pin(CommentId(1)),
    ));
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Block(ViewerId(5)),
    ));
    driver.comment(3, 5, "three");
    driver.advance(600);
    let beat = driver.beats().last().unwrap().clone();
    assert_eq!(
        (beat.removed, beat.comments.len(), beat.pinned),
        (vec![CommentId(1)], 0, Some(None))
    );
    assert_eq!(
        (driver.verdicts(2), driver.verdicts(3)),
        (vec![Err(Refusal::Blocked)], vec![Err(Refusal::Blocked)])
    );
    assert!(driver.room.snapshot(driver.time()).last.is_empty());
}

#[test]
fn listed_words_are_refused_in_comments_and_never_greet() {
    let policy = Policy {
        words: room::WordList::new(["turnip"]),
        ..Policy::default()
    };
    let mut driver = Driver::new(policy);
    driver.comment(1, 5, "you t u r n i p");
    assert_eq!(driver.verdicts(1), [Err(Refusal::Words)]);
}

#[test]
fn a_late_joiner_finds_everything_in_the_snapshot() {
    let mut driver = Driver::new(Policy::default());
    driver.present(0..3);
    driver.hearts(2, 5);
    for id in 0..14 {
        driver.comment(id, id, "hi");
        driver.advance(400);
    }
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Pin(CommentId(3)),
    ));
    driver.advance(400);
    driver.hearts(2, 1);
    let snapshot = driver.room.snapshot(driver.time());
    let last: Vec<u64> = snapshot.last.iter().map(|comment| comment.id.0).collect();
    // As many as fit into a line that everybody reads every two seconds.
    assert_eq!(last, (8..14).collect::<Vec<_>>());
    assert_eq!(
        (
            snapshot.hearts_total(),
            snapshot.viewers.count,
            snapshot.comments_total
        ),
        (5, 3, 14)
    );
    assert_eq!(snapshot.pinned.unwrap().id, CommentId(3));
    assert_eq!(snapshot.seq, driver.beats().last().unwrap().seq);
}
