//! What viewers, moderators and stored interaction segments send: bodies, commands, lines, texts, the word list.
//!
//! In → Out: bytes → taken or refused; what is taken is in its bounds, and what is written can be read again.
//! Covers: core/room/src/wire/post.rs, core/room/src/wire/command.rs, core/room/src/wire/line.rs, core/room/src/wire/replay.rs,
//! core/room/src/text.rs, core/room/src/ids.rs, core/room/src/forbidden.rs
//! Spec: docs/ix.md.
#![no_main]

use libfuzzer_sys::fuzz_target;
use room::wire::{self, Command, Line};
use room::{CommentText, Name, Post, WordList};

fn check_text(text: &CommentText) {
    assert!(!text.as_str().is_empty() && text.as_str().len() <= CommentText::BYTES_MAX);
    assert!(!text.as_str().contains(['\n', '\r', '\0', '\u{202e}']));
    // What was taken once is taken again, unchanged.
    assert_eq!(CommentText::parse(text.as_str()).as_ref(), Ok(text));
}

fuzz_target!(|input: &[u8]| {
    if let Ok(post) = wire::parse_post(input) {
        assert!(post.comments.len() <= Post::COMMENTS_MAX);
        assert!(post.taps.is_none_or(|taps| (1..=Post::TAPS_MAX).contains(&taps.count) && taps.one_in >= 1));
        for comment in &post.comments {
            if let Ok(text) = &comment.text {
                check_text(text);
            }
        }
    }
    if let Ok(Command::Comment(_, Ok(text), _)) = wire::parse_command(input) {
        check_text(&text);
    }
    if let Ok(Line::Snapshot(snapshot)) = wire::parse_line(input)
        && let Ok(back) = snapshot.to_snapshot()
    {
        let line = wire::encode_snapshot(&back);
        assert!(wire::parse_line(&line).is_ok());
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
    // A stored segment, torn anywhere: what is understood can be written down and gone on from.
    if let Some(state) = wire::replay(input) {
        assert!(state.last.len() <= wire::REPLAY_COMMENTS_MAX);
        let again = wire::replay(&wire::encode_snapshot(&state));
        assert!(again.is_some_and(|again| again.seq <= state.seq));
    }
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(taken) = CommentText::parse(text) {
            check_text(&taken);
        }
        if let Ok(name) = Name::parse(text) {
            assert_eq!(Name::parse(name.as_str()), Ok(name));
        }
        WordList::new(["turnip", "leek*"]).matches(text);
    }
});
