//! The room against a naive model, under random histories.
//!
//! In → Out: any sequence of inputs and waiting → conservation of hearts, each comment in at most one beat and with one
//! verdict, totals that never go back, bounded memory, and a room that falls asleep.
//! Spec: invariants I4, I6, I7.

use std::collections::{BTreeMap, BTreeSet};

use media::Duration;
use proptest::prelude::*;
use room::{Action, Actor, CommentId, Gate, Input, JuryId, Level, Output, Policy, ViewerId, Vote};

use crate::driver::Driver;

#[derive(Clone, Debug)]
enum Step {
    Block(u64),
    Comment(u64, u64),
    Delete(u64),
    Gate(u32),
    Hearts(usize, u64),
    Mute(u64),
    Present(u64),
    Pressure(u16),
    Report(u64, u64),
    Review(u64, bool),
    Staff(u32),
    Vote(u64, u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..6_u64).prop_map(Step::Block),
        12 => (0..60_u64, 0..12_u64).prop_map(|(id, author)| Step::Comment(id, author)),
        2 => (0..60_u64).prop_map(Step::Delete),
        1 => (0..4_u32).prop_map(Step::Gate),
        8 => (0..16_usize, 1..1_000_u64).prop_map(|(colour, count)| Step::Hearts(colour, count)),
        1 => (0..6_u64).prop_map(Step::Mute),
        4 => (0..20_u64).prop_map(Step::Present),
        1 => (0..1_000_u16).prop_map(Step::Pressure),
        2 => (0..20_u64, 0..60_u64).prop_map(|(viewer, id)| Step::Report(viewer, id)),
        3 => (0..60_u64, any::<bool>()).prop_map(|(id, passes)| Step::Review(id, passes)),
        1 => (0..2_u32).prop_map(Step::Staff),
        4 => (0..20_u64, 1..4_u32).prop_map(|(viewer, jury)| Step::Vote(viewer, jury)),
        8 => (1..700_u64).prop_map(Step::Wait),
    ]
}

fn apply(driver: &mut Driver, step: &Step) {
    match *step {
        Step::Block(viewer) => driver.handle(Input::Moderate(
            Actor::Broadcaster,
            Action::Block(ViewerId(viewer)),
        )),
        // One id belongs to one author, as random ids do.
        Step::Comment(id, author) => driver.comment(id * 16 + author, author, "some words"),
        Step::Delete(id) => driver.handle(Input::Moderate(
            Actor::Operator,
            Action::Delete(CommentId(id * 16 + id % 12)),
        )),
        Step::Gate(number) => {
            let gate = [Gate::All, Gate::First(5), Gate::All, Gate::Approved][number as usize];
            driver.handle(Input::Moderate(Actor::Broadcaster, Action::SetGate(gate)));
        }
        Step::Hearts(colour, count) => driver.hearts(colour, count),
        Step::Mute(viewer) => {
            driver.handle(Input::Moderate(
                Actor::Broadcaster,
                Action::Mute(ViewerId(viewer), Duration::from_millis(900)),
            ));
        }
        Step::Present(viewer) => driver.present([viewer]),
        Step::Pressure(pressure) => driver.handle(Input::Pressure(pressure)),
        Step::Report(viewer, id) => driver.handle(Input::Report(
            ViewerId(viewer),
            CommentId(id * 16 + id % 12),
        )),
        Step::Review(id, passes) => {
            driver.handle(Input::Reviewed(CommentId(id * 16 + id % 12), passes));
        }
        Step::Staff(count) => driver.handle(Input::Staff(count)),
        Step::Vote(viewer, jury) => {
            driver.handle(Input::Vote(ViewerId(viewer), JuryId(jury), Vote::Abuse));
        }
        Step::Wait(millis) => driver.advance(millis),
    }
}

fn policy(review: bool) -> Policy {
    let review = review.then_some(room::Review {
        time: Duration::from_millis(200),
        fallback: room::Fallback::Allow,
    });
    Policy {
        review,
        candidates_max: 8,
        reviews_max: 4,
        history_max: 512,
        marked_max: 16,
        present_max: 8,
        ..Policy::default()
    }
}

/// What must hold after any history, told from the outputs alone.
fn check(driver: &Driver, hearts: u64) -> Result<(), TestCaseError> {
    let beats = driver.beats();
    let mut shown = BTreeMap::new();
    let (mut total, mut said, mut seq, mut summed) = (0, 0, 0, 0);
    for beat in &beats {
        prop_assert!(
            beat.hearts_total >= total && beat.comments_total >= said && beat.seq == seq + 1
        );
        (total, said, seq) = (beat.hearts_total, beat.comments_total, beat.seq);
        summed += beat.hearts.iter().sum::<u64>();
        prop_assert_eq!(summed, beat.hearts_total);
        for comment in &beat.comments {
            prop_assert_eq!(
                shown.insert(comment.id, beat.seq),
                None,
                "a comment in two beats"
            );
        }
    }
    prop_assert_eq!(total, hearts, "hearts are conserved");
    let mut acknowledged = BTreeSet::new();
    for (_, output) in &driver.outputs {
        if let Output::Verdict(id, _, Ok(seq)) = output {
            prop_assert_eq!(
                shown.get(id),
                Some(seq),
                "an acknowledged comment is in the beat that its verdict names"
            );
            acknowledged.insert(*id);
        }
    }
    prop_assert_eq!(
        acknowledged.len(),
        shown.len(),
        "every shown comment was acknowledged"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_invariants(steps in prop::collection::vec(step(), 1..400), review in any::<bool>()) {
        let mut driver = Driver::new(policy(review));
        let (mut hearts, mut sent) = (0, BTreeSet::new());
        for step in &steps {
            apply(&mut driver, step);
            prop_assert!(driver.room.held() <= 512 + 8 + 4 + 1, "{} held", driver.room.held());
            match step {
                Step::Hearts(_, count) => hearts += count,
                Step::Comment(id, author) => drop(sent.insert(CommentId(id * 16 + author))),
                _ => {}
            }
        }
        driver.handle(Input::Pressure(0));
        driver.advance(3_000);
        check(&driver, hearts)?;
        for id in sent {
            prop_assert!(!driver.verdicts(id.0).is_empty(), "every comment gets a verdict");
        }
        driver.advance(3_600_000);
        prop_assert_eq!(driver.room.next_timeout(), None, "a room that is left alone falls asleep");
        prop_assert_eq!(driver.room.snapshot(driver.time()).level, Level::L0);
    }

    #[test]
    fn a_restart_at_any_point_keeps_totals_and_repeats_no_comment(
        before in prop::collection::vec(step(), 1..150),
        after in prop::collection::vec(step(), 1..150),
    ) {
        let mut first = Driver::new(policy(false));
        for step in &before {
            apply(&mut first, step);
        }
        let snapshot = first.room.snapshot(first.time());
        let shown: BTreeSet<CommentId> = snapshot.last.iter().map(|comment| comment.id).collect();
        let (total, seq) = (snapshot.hearts_total(), snapshot.seq);
        let start = room::Start { epoch: 2, seed: 3, snapshot: Some(snapshot), ..room::Start::default() };
        let mut second = Driver::restarted(policy(false), start, first.now + 100);
        for step in &after {
            apply(&mut second, step);
        }
        second.advance(1_000);
        for beat in second.beats() {
            prop_assert!(beat.seq > seq && beat.hearts_total >= total);
            prop_assert!(beat.comments.iter().all(|comment| !shown.contains(&comment.id)));
        }
    }
}
