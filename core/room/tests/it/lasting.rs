//! Forbidden words, and everything that outlasts a restart of the server.
//!
//! In → Out: moderation, comments, verdicts → the same room again from its snapshot and its marks, through their text.
//! Spec: `docs/ix.md`, "Moderation"; case IX-10.

use media::Duration;
use room::wire;
use room::{
    Action, Actor, Gate, Input, ModerationError, Output, Policy, Refusal, Start, ViewerId, Word,
    WordList,
};

use crate::driver::Driver;

fn order(driver: &mut Driver, action: Action) {
    driver.handle(Input::Moderate(Actor::Broadcaster, action));
}

fn word(text: &str) -> Word {
    Word::parse(text).unwrap()
}

/// The room after a restart, two seconds later; its marks were text in between.
fn again(driver: &Driver) -> Driver {
    let marked = driver.outputs.iter().rev().find_map(|(_, output)| {
        let Output::Marked(marked) = output else {
            return None;
        };
        wire::parse_marked(&wire::encode_marked(marked))
    });
    let start = Start {
        epoch: 0,
        seed: 8,
        snapshot: Some(driver.room.snapshot(driver.time())),
        marked: marked.unwrap_or_default(),
    };
    Driver::restarted(Policy::default(), start, driver.now + 2_000)
}

#[test]
fn a_forbidden_word_is_refused_in_every_disguise_until_it_is_permitted_again() {
    let mut driver = Driver::new(Policy::default());
    assert_eq!(driver.room.words(), None, "nobody is told of an empty list");
    driver.comment(1, 1, "a turnip");
    order(&mut driver, Action::Forbid(word("turnip*")));
    driver.comment(2, 2, "TÜRNIPS!");
    driver.comment(3, 3, "t u r n i p");
    driver.comment(4, 4, "a swede");
    order(&mut driver, Action::Permit(word("turnip*")));
    driver.comment(5, 5, "a turnip after all");
    driver.advance(2_000);
    assert_eq!(driver.verdicts(2), [Err(Refusal::Words)]);
    assert_eq!(driver.verdicts(3), [Err(Refusal::Words)]);
    for id in [1, 4, 5] {
        assert!(driver.verdicts(id)[0].is_ok(), "{id}");
    }
    let told: Vec<_> = driver
        .outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::Words { words, .. } => Some(words.len()),
            _ => None,
        })
        .collect();
    assert_eq!(told, [1, 0]);
}

#[test]
fn words_are_for_broadcaster_and_moderators_and_the_operators_stay_listed() {
    let policy = Policy {
        words: WordList::new(["swede", "parsnip"]),
        ..Policy::default()
    };
    let mut driver = Driver::new(policy);
    let stranger = Actor::Moderator(ViewerId(7));
    driver.handle(Input::Moderate(stranger, Action::Forbid(word("turnip"))));
    let refused = driver
        .outputs
        .iter()
        .any(|(_, output)| matches!(output, Output::NotDone(_, _, ModerationError::Forbidden)));
    assert!(refused);
    order(&mut driver, Action::Permit(word("swede")));
    driver.comment(1, 1, "a swede");
    assert_eq!(driver.verdicts(1), [Err(Refusal::Words)]);
    let Some(Output::Words { words, listed }) = driver.room.words() else {
        panic!("the operator's list is told of")
    };
    assert_eq!((words.len(), listed), (0, 2));
}

#[test]
fn ix_10_words_writers_and_mutes_outlast_a_restart() {
    let mut driver = Driver::new(Policy::default());
    order(&mut driver, Action::SetGate(Gate::First(2)));
    driver.comment(1, 1, "first");
    driver.comment(2, 2, "second");
    driver.comment(3, 3, "third");
    assert_eq!(driver.verdicts(3), [Err(Refusal::Gated)]);
    order(&mut driver, Action::Forbid(word("turnip")));
    // More than a snapshot says.
    for viewer in 100..150 {
        order(
            &mut driver,
            Action::Mute(ViewerId(viewer), Duration::from_secs(600)),
        );
    }
    driver.advance(5_000);
    let mut next = again(&driver);
    next.comment(11, 2, "still in");
    next.comment(12, 3, "still out");
    next.comment(13, 1, "a turnip");
    order(&mut next, Action::SetGate(Gate::All));
    for viewer in 100..150 {
        next.comment(1_000 + viewer, viewer, "still muted?");
    }
    next.advance(2_000);
    assert!(next.verdicts(11)[0].is_ok());
    assert_eq!(next.verdicts(12), [Err(Refusal::Gated)]);
    assert_eq!(next.verdicts(13), [Err(Refusal::Words)]);
    for viewer in 100..150 {
        assert_eq!(next.verdicts(1_000 + viewer), [Err(Refusal::Muted)]);
    }
}

#[test]
fn an_unblock_lifts_a_mute_too_as_pages_are_told() {
    let mut driver = Driver::new(Policy::default());
    order(
        &mut driver,
        Action::Mute(ViewerId(5), Duration::from_secs(600)),
    );
    order(&mut driver, Action::Unblock(ViewerId(5)));
    driver.comment(1, 5, "thank you");
    driver.advance(1_000);
    assert!(driver.verdicts(1)[0].is_ok());
}
