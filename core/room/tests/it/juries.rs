//! The flash jury, played through.
//!
//! In → Out: reports and votes → mutes, or nothing.
//! Spec: `docs/ix.md`, "Flash jury"; case IX-15.

use room::wire;
use room::{
    Action, Actor, CommentId, Finding, Input, JuryNotice, Output, Policy, Refusal, Start, ViewerId,
    Vote,
};

use crate::driver::Driver;

const AUTHOR: u64 = 100;
const REPORTER: u64 = 101;

/// Ten viewers, an author and a reporter, all of whom have been there for a while, and one comment.
fn room_with_a_comment(id: u64) -> Driver {
    let mut driver = Driver::new(Policy::default());
    driver.present((0..10).chain([AUTHOR, REPORTER]));
    driver.comment(id, AUTHOR, "spam spam");
    driver.advance(500);
    driver
}

fn report(driver: &mut Driver, reporter: u64, comment: u64) -> Option<JuryNotice> {
    let before = driver.beats().len();
    driver.handle(Input::Report(ViewerId(reporter), CommentId(comment)));
    driver.advance(300);
    driver.beats()[before..]
        .iter()
        .flat_map(|beat| beat.juries.clone())
        .next()
}

fn vote(driver: &mut Driver, jury: &JuryNotice, votes: &[Vote]) {
    for (juror, vote) in jury.jurors.iter().zip(votes) {
        driver.handle(Input::Vote(*juror, jury.id, *vote));
    }
    driver.advance(16_000);
}

fn finding(driver: &Driver) -> Option<Finding> {
    driver
        .outputs
        .iter()
        .rev()
        .find_map(|(_, output)| match output {
            Output::JuryEnded(_, finding) => Some(*finding),
            _ => None,
        })
}

#[test]
fn five_random_viewers_are_asked_but_never_the_reporter_or_the_author() {
    for seed in 0..50 {
        let mut driver = room_with_a_comment(seed);
        let jury = report(&mut driver, REPORTER, seed).unwrap();
        assert_eq!(jury.jurors.len(), 5);
        assert!(
            jury.jurors.iter().all(|juror| juror.0 < 10),
            "{:?}",
            jury.jurors
        );
        assert_eq!(jury.until.since(driver.time()).as_millis() / 1_000, 14);
    }
}

#[test]
fn a_majority_mutes_for_a_minute_and_the_second_time_for_good() {
    use Vote::{Abuse, Fine, Unsure};
    let mut driver = room_with_a_comment(1);
    let jury = report(&mut driver, REPORTER, 1).unwrap();
    vote(&mut driver, &jury, &[Abuse, Fine, Abuse, Unsure]);
    assert_eq!(finding(&driver), Some(Finding::Mute));
    driver.comment(2, AUTHOR, "again");
    assert_eq!(driver.verdicts(2), [Err(Refusal::Muted)]);
    driver.advance(61_000);
    driver.present((0..10).chain([AUTHOR, REPORTER]));
    driver.comment(3, AUTHOR, "spam again");
    driver.advance(500);
    assert!(driver.verdicts(3)[0].is_ok());
    let jury = report(&mut driver, REPORTER, 3).unwrap();
    vote(&mut driver, &jury, &[Abuse, Abuse, Abuse]);
    assert_eq!(finding(&driver), Some(Finding::MuteForGood));
    driver.advance(600_000);
    driver.comment(4, AUTHOR, "hello?");
    assert_eq!(driver.verdicts(4), [Err(Refusal::Muted)]);
}

#[test]
fn ix_10_the_second_mute_is_for_good_also_after_a_restart() {
    use Vote::Abuse;
    let mut driver = room_with_a_comment(1);
    let jury = report(&mut driver, REPORTER, 1).unwrap();
    vote(&mut driver, &jury, &[Abuse, Abuse, Abuse, Abuse, Abuse]);
    let marked = driver.outputs.iter().rev().find_map(|(_, output)| {
        let Output::Marked(marked) = output else {
            return None;
        };
        wire::parse_marked(&wire::encode_marked(marked))
    });
    driver.advance(500);
    let start = Start {
        epoch: 2,
        seed: 9,
        snapshot: Some(driver.room.snapshot(driver.time())),
        marked: marked.unwrap(),
    };
    let mut next = Driver::restarted(Policy::default(), start, driver.now + 61_000);
    next.present((0..10).chain([AUTHOR, REPORTER]));
    next.comment(3, AUTHOR, "spam again");
    next.advance(500);
    let jury = report(&mut next, REPORTER, 3).unwrap();
    vote(&mut next, &jury, &[Abuse, Abuse, Abuse, Abuse, Abuse]);
    assert_eq!(finding(&next), Some(Finding::MuteForGood));
}

#[test]
fn ix_15_a_tie_clears_and_silence_decides_nothing() {
    use Vote::{Abuse, Fine, Unsure};
    for (votes, expected) in [
        (&[Abuse, Abuse, Fine, Fine, Unsure][..], Finding::Cleared),
        (&[Abuse, Abuse][..], Finding::NoQuorum),
        (&[][..], Finding::NoQuorum),
        (&[Unsure, Unsure, Unsure][..], Finding::Cleared),
    ] {
        let mut driver = room_with_a_comment(1);
        let jury = report(&mut driver, REPORTER, 1).unwrap();
        vote(&mut driver, &jury, votes);
        assert_eq!(finding(&driver), Some(expected), "{votes:?}");
        driver.comment(2, AUTHOR, "still here");
        driver.advance(500);
        assert!(driver.verdicts(2)[0].is_ok());
    }
}

#[test]
fn ix_15_strangers_repeated_votes_and_the_author_do_not_count() {
    let mut driver = room_with_a_comment(1);
    let jury = report(&mut driver, REPORTER, 1).unwrap();
    for stranger in [AUTHOR, REPORTER, 999] {
        driver.handle(Input::Vote(ViewerId(stranger), jury.id, Vote::Abuse));
    }
    for _ in 0..10 {
        driver.handle(Input::Vote(jury.jurors[0], jury.id, Vote::Abuse));
    }
    driver.advance(16_000);
    assert_eq!(finding(&driver), Some(Finding::NoQuorum));
}

#[test]
fn ix_15_accomplices_from_the_reporters_network_do_not_sit() {
    let mut driver = Driver::new(Policy::default());
    let network = |id: u64| room::Prefix(if id == REPORTER || id < 50 { 1 } else { id });
    let viewers = (0..50).chain(60..66).chain([REPORTER, AUTHOR]);
    let present = viewers.map(|id| room::Present {
        viewer: ViewerId(id),
        prefix: network(id),
        name: None,
        one_in: 1,
        joined: false,
    });
    driver.handle(Input::Collected(room::Contribution {
        present: present.collect(),
        ..room::Contribution::default()
    }));
    driver.comment(1, AUTHOR, "hello");
    driver.advance(500);
    let jury = report(&mut driver, REPORTER, 1).unwrap();
    assert!(
        jury.jurors.iter().all(|juror| (60..66).contains(&juror.0)),
        "{:?}",
        jury.jurors
    );
}

#[test]
fn ix_15_jurors_who_leave_leave_too_few_votes() {
    let mut driver = room_with_a_comment(1);
    let jury = report(&mut driver, REPORTER, 1).unwrap();
    let left = room::Contribution {
        left: jury.jurors[2..].to_vec(),
        ..room::Contribution::default()
    };
    driver.handle(Input::Collected(left));
    vote(&mut driver, &jury, &[Vote::Abuse, Vote::Abuse]);
    assert_eq!(finding(&driver), Some(Finding::NoQuorum));
}

#[test]
fn ix_15_a_storm_of_reports_draws_a_bounded_number_of_juries() {
    let mut driver = Driver::new(Policy::default());
    driver.present(0..400);
    for id in 0..20 {
        driver.comment(id, 500 + id, "hello");
        driver.advance(250);
    }
    let before = driver.outputs.len();
    for report in 0..1_000 {
        driver.handle(Input::Report(
            ViewerId(report % 400),
            CommentId(report % 20),
        ));
        driver.advance(1);
    }
    let juries: usize = driver.beats().iter().map(|beat| beat.juries.len()).sum();
    assert_eq!(juries, Policy::default().jury.open_max);
    assert!(
        driver.outputs.len() - before < 1_000,
        "{} outputs",
        driver.outputs.len() - before
    );
}

#[test]
fn broadcaster_and_viewers_can_opt_out() {
    let mut driver = room_with_a_comment(1);
    for viewer in 0..7 {
        driver.handle(Input::JuryDuty(ViewerId(viewer), false));
    }
    let jury = report(&mut driver, REPORTER, 1).unwrap();
    assert_eq!(jury.jurors.len(), 3);
    assert!(jury.jurors.iter().all(|juror| juror.0 >= 7));
    let mut driver = room_with_a_comment(1);
    driver.handle(Input::Moderate(Actor::Broadcaster, Action::SetJury(false)));
    assert_eq!(report(&mut driver, REPORTER, 1), None);
    assert!(
        driver
            .outputs
            .iter()
            .any(|(_, output)| matches!(output, Output::Reported(_))),
        "moderators hear of it"
    );
}

#[test]
fn the_rules_say_whether_juries_sit_also_after_a_restart() {
    let mut driver = room_with_a_comment(1);
    assert!(driver.room.snapshot(driver.time()).rules.juries);
    driver.handle(Input::Moderate(Actor::Broadcaster, Action::SetJury(false)));
    driver.advance(500);
    let said = driver.beats().iter().rev().find_map(|beat| beat.rules);
    assert!(said.is_some_and(|rules| !rules.juries));
    let start = Start {
        epoch: 2,
        seed: 9,
        snapshot: Some(driver.room.snapshot(driver.time())),
        ..Start::default()
    };
    let next = Driver::restarted(Policy::default(), start, driver.now + 1_000);
    assert!(!next.room.snapshot(next.time()).rules.juries);
}

#[test]
fn too_few_viewers_are_no_jury() {
    let mut driver = Driver::new(Policy::default());
    driver.present([0, 1, AUTHOR, REPORTER]);
    driver.comment(1, AUTHOR, "hello");
    driver.advance(500);
    assert_eq!(report(&mut driver, REPORTER, 1), None);
}
