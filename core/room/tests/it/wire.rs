//! The wire: documented examples, bounds, round trips.
//!
//! In → Out: JSON → values → JSON.
//! Spec: `docs/ix.md`.

use media::{Duration, UnixTime};
use room::wire::{self, Command, CommandError, Line, PostError};
use room::{Action, Actor, CommentId, Gate, Input, Policy, Receipt, Refusal, TextError, ViewerId};

use crate::driver::Driver;

const DOCUMENT: &str = include_str!("../../../../docs/ix.md");

/// Fenced blocks of one language tag.
fn examples(tag: &str) -> Vec<&'static str> {
    let open = format!("```{tag}\n");
    DOCUMENT
        .split(open.as_str())
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect()
}

#[test]
fn every_documented_post_is_taken() {
    let posts = examples("json post");
    assert!(posts.len() >= 4, "{}", posts.len());
    for post in posts {
        wire::parse_post(post.as_bytes()).unwrap_or_else(|error| panic!("{error}: {post}"));
    }
}

#[test]
fn every_documented_line_is_parsed_and_written_again_as_it_stands() {
    let lines: Vec<&str> = examples("jsonl").into_iter().flat_map(str::lines).collect();
    assert!(lines.len() >= 4, "{}", lines.len());
    for line in lines {
        let parsed =
            wire::parse_line(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(serde_json::to_string(&parsed).unwrap(), line);
    }
}

#[test]
fn every_other_documented_object_is_json() {
    for tag in [
        "json index",
        "json review",
        "json viewer",
        "json token",
        "json ticket",
        "jsonl message",
    ] {
        let objects: Vec<&str> = examples(tag).into_iter().flat_map(str::lines).collect();
        assert!(!objects.is_empty(), "{tag}");
        for object in objects {
            let value: serde_json::Value =
                serde_json::from_str(object).unwrap_or_else(|error| panic!("{error}: {object}"));
            assert!(value.is_object(), "{object}");
        }
    }
}

#[test]
fn every_documented_command_is_understood() {
    let commands: Vec<&str> = examples("jsonl command")
        .into_iter()
        .flat_map(str::lines)
        .collect();
    assert!(commands.len() >= 13, "{}", commands.len());
    for command in commands {
        wire::parse_command(command.as_bytes())
            .unwrap_or_else(|error| panic!("{error}: {command}"));
    }
}

#[test]
fn every_refusal_is_documented() {
    for refusal in Refusal::ALL {
        assert!(
            DOCUMENT.contains(&format!("`{}`", refusal.code())),
            "{}",
            refusal.code()
        );
    }
}

#[test]
fn a_post_out_of_bounds_is_refused_with_the_field() {
    let parse = |body: &str| wire::parse_post(body.as_bytes());
    let with = |rest: &str| parse(&format!(r#"{{"v":1,"id":"00000000000000aa"{rest}}}"#));
    assert!(with("").is_ok());
    assert_eq!(parse("[]"), Err(PostError::Syntax));
    assert_eq!(
        parse(r#"{"v":2,"id":"00000000000000aa"}"#),
        Err(PostError::Version)
    );
    assert_eq!(parse(r#"{"v":1,"id":"aa"}"#), Err(PostError::Field("id")));
    for (rest, field) in [
        (r#","taps":{"n":0}"#, "taps"),
        (r#","taps":{"n":101}"#, "taps"),
        (r#","taps":{"n":1,"in":0}"#, "taps"),
        (r#","taps":{"n":1,"in":5000}"#, "taps"),
        (r#","taps":{"n":1,"age":18446744073709551615}"#, "taps"),
        (r#","hb":{"in":0}"#, "hb"),
        (r#","report":"nothing""#, "report"),
        (r#","comments":[{"id":"x","t":"a"}]"#, "comments"),
    ] {
        assert_eq!(with(rest), Err(PostError::Field(field)), "{rest}");
    }
    for rest in [
        r#","taps":{"n":-1}"#,
        r#","taps":{"n":1.5}"#,
        r#","taps":{"n":4294967296}"#,
        r#","vote":{"jury":1,"is":"guilty"}"#,
    ] {
        assert_eq!(with(rest), Err(PostError::Syntax), "{rest}");
    }
    let five = r#"{"id":"00000000000000ab","t":"a"},"#.repeat(5);
    assert_eq!(
        with(&format!(r#","comments":[{}]"#, five.trim_end_matches(','))),
        Err(PostError::Field("comments"))
    );
    assert_eq!(parse(&" ".repeat(9_000)), Err(PostError::TooLong));
    assert_eq!(parse(&"[".repeat(8_000)), Err(PostError::Syntax));
}

#[test]
fn a_comment_whose_text_is_not_taken_does_not_spoil_its_request() {
    let body = format!(
        r#"{{"v":1,"id":"00000000000000aa","taps":{{"n":3}},"comments":[{{"id":"00000000000000ab","t":"{}"}},{{"id":"00000000000000ac","t":"ok"}}]}}"#,
        "x".repeat(201)
    );
    let post = wire::parse_post(body.as_bytes()).unwrap();
    assert_eq!(post.comments[0].text, Err(TextError::TooLong));
    assert!(post.comments[1].text.is_ok() && post.taps.is_some());
}

#[test]
fn a_snapshot_line_brings_a_room_back() {
    let mut driver = Driver::new(Policy::default());
    driver.present(0..3);
    driver.hearts(4, 12);
    driver.comment(1, 2, "quotes \" and \u{2764} and </script>");
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::SetGate(Gate::First(9)),
    ));
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Mute(ViewerId(8), Duration::from_secs(60)),
    ));
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::SetSlow(Duration::from_secs(3)),
    ));
    driver.advance(500);
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Pin(CommentId(1)),
    ));
    driver.advance(500);
    let snapshot = driver.room.snapshot(driver.time());
    let line = wire::encode_snapshot(&snapshot);
    assert_eq!(line.split(|byte| *byte == b'\n').count(), 2);
    let Line::Snapshot(parsed) = wire::parse_line(&line).unwrap() else {
        panic!("a snapshot")
    };
    let back = parsed.to_snapshot().unwrap();
    // A comment's own time is not on the wire: readers have its beat's.
    let at = back.at;
    let mut expected = snapshot;
    expected
        .last
        .iter_mut()
        .chain(&mut expected.pinned)
        .for_each(|comment| comment.at = at);
    assert_eq!(back, expected);
}

#[test]
fn a_busy_beat_fits_two_kilobytes_and_a_quiet_one_a_hundred_and_fifty_bytes() {
    let mut driver = Driver::new(Policy::default());
    driver.present(0..200);
    for colour in 0..16 {
        driver.hearts(colour, 2_000);
    }
    for id in 0..200 {
        driver.comment(
            0xfedc_ba98_0000_0000 + id,
            0xabcd_ef01_0000_0000 + id,
            "what a lovely thing to see from up here, wow",
        );
    }
    driver.advance(3_000);
    driver.hearts(3, 4);
    driver.advance(500);
    let sizes: Vec<usize> = driver
        .beats()
        .iter()
        .map(|beat| wire::encode_beat(beat).len())
        .collect();
    assert!(sizes[0] <= 2_048, "{sizes:?}");
    let quiet = wire::encode_beat(driver.beats().last().unwrap());
    assert!(quiet.len() <= 150, "{}", String::from_utf8_lossy(&quiet));
}

#[test]
fn commands_are_bounded() {
    let parse = |text: &str| wire::parse_command(text.as_bytes());
    assert_eq!(parse(r#"{"do":"explode"}"#), Err(CommandError::Unknown));
    assert_eq!(
        parse(r#"{"do":"block"}"#),
        Err(CommandError::Field("viewer"))
    );
    assert_eq!(
        parse(r#"{"do":"slow","ms":99999999}"#),
        Err(CommandError::Field("ms"))
    );
    assert_eq!(
        parse(r#"{"do":"gate","gate":"first:5000"}"#),
        Err(CommandError::Field("gate"))
    );
    assert_eq!(parse(&" ".repeat(5_000)), Err(CommandError::TooLong));
    assert!(matches!(
        parse(r#"{"do":"comment","id":"00000000000000aa","t":"hi"}"#),
        Ok(Command::Comment(..))
    ));
}

#[test]
fn a_reply_says_what_counted_and_why_not() {
    let receipt = Receipt {
        hearts: 3,
        comments: 2,
        repeated: false,
    };
    let verdicts = [
        (CommentId(1), Ok(17)),
        (
            CommentId(2),
            Err((Refusal::Slow.code(), Refusal::Slow.to_string())),
        ),
    ];
    let text = String::from_utf8(wire::encode_reply(&receipt, &verdicts)).unwrap();
    assert_eq!(
        text,
        r#"{"v":1,"hearts":3,"repeated":false,"comments":[{"id":"0000000000000001","seq":17},{"id":"0000000000000002","error":{"code":"slow","message":"slow mode: wait before the next comment"}}]}"#
    );
    assert!(
        DOCUMENT.contains(&text),
        "the document shows this very reply"
    );
}

#[test]
fn times_beyond_all_calendars_do_not_break_a_line() {
    let mut driver = Driver::new(Policy::default());
    driver.handle(Input::LiveEdge(UnixTime::from_millis(u64::MAX)));
    driver.comment(1, 1, "hi");
    driver.advance(500);
    for beat in driver.beats() {
        wire::parse_line(&wire::encode_beat(&beat)).unwrap();
    }
}

#[test]
fn ix_10_stored_lines_bring_back_exactly_what_the_room_had_said() {
    let mut driver = Driver::new(Policy::default());
    let first = wire::encode_snapshot(&driver.room.snapshot(driver.time()));
    driver.hearts(4, 12);
    for id in 0..5 {
        driver.comment(id, id, "hello");
        driver.advance(400);
    }
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Delete(CommentId(2)),
    ));
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Pin(CommentId(3)),
    ));
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::Block(ViewerId(4)),
    ));
    driver.handle(Input::Moderate(
        Actor::Broadcaster,
        Action::SetSlow(Duration::from_secs(2)),
    ));
    driver.advance(1_500);
    let beats = driver.beats();
    let mut stored = first;
    for beat in &beats {
        stored.extend(wire::encode_beat(beat));
    }
    let known = driver.room.snapshot(driver.time());
    let back = wire::replay(&stored).unwrap();
    let ids = |comments: &[room::Comment]| -> Vec<u64> {
        comments.iter().map(|comment| comment.id.0).collect()
    };
    assert_eq!(
        (back.seq, back.hearts, back.comments_total),
        (known.seq, known.hearts, known.comments_total)
    );
    assert_eq!(
        (ids(&back.last), back.pinned.map(|pin| pin.id)),
        (ids(&known.last), known.pinned.map(|pin| pin.id))
    );
    assert_eq!((back.muted, back.rules), (known.muted, known.rules));
    // A crash in the middle of a line loses that line and nothing else.
    let torn = wire::replay(&stored[..stored.len() - 7]).unwrap();
    assert_eq!(torn.seq, known.seq - 1);
    assert!(wire::replay(b"no snapshot").is_none());
}
