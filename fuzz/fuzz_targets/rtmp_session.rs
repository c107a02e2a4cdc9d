//! A publisher after its handshake sends anything: the session answers, refuses or goes on, and holds no more than it may.
//!
//! In → Out: bytes of a chunk stream, cut into pieces by the input itself → events within their bounds, answers that are no flood.
//! Covers: core/rtmp/src/session.rs, core/rtmp/src/chunk/reader.rs, core/rtmp/src/command.rs, core/rtmp/src/handshake.rs,
//! core/rtmp/src/client.rs
//! Spec: Adobe RTMP 1.0, "Chunk Stream", "Command Messages"; issue cases ING-02, ING-05.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rtmp::chunk::{Limits, Reader};
use rtmp::{Config, Event, Publisher, PublisherConfig, Session, StatusCode};

/// A session whose handshake is done, as a well-behaved publisher leaves it.
fn connected() -> Session {
    let mut session = Session::new(Config::default(), 7, Duration::ZERO);
    let mut publisher = Publisher::new(PublisherConfig::default());
    for _ in 0..8 {
        if session.is_connected() {
            break;
        }
        while let Some(bytes) = publisher.poll_output() {
            session.handle_bytes(&bytes, Duration::ZERO).expect("our own publisher is understood");
        }
        while let Some(bytes) = session.poll_output() {
            publisher.handle_bytes(&bytes).expect("our own session is understood");
        }
    }
    session
}

fn check(event: &Event) {
    match event {
        Event::Publish(publish) => assert!(publish.app.len() <= 1_024 && publish.name.len() <= 1_024),
        Event::Audio(media) | Event::Video(media) => assert!(!media.payload.is_empty()),
        Event::Metadata(_) | Event::Unpublish => {}
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, mut rest)) = input.split_first() else { return };
    // Bit 0: with or without a handshake; bit 1: whether publishing is granted; the others: how the bytes are cut.
    let mut session = if choice & 1 == 0 { connected() } else { Session::new(Config::default(), 7, Duration::ZERO) };
    let step = usize::from(choice >> 2).max(1);
    let mut now = Duration::from_millis(1);
    let mut answered = 0;
    let mut taken = 0;
    while !rest.is_empty() {
        let (piece, further) = rest.split_at(step.min(rest.len()));
        rest = further;
        taken += piece.len();
        let alive = session.handle_bytes(piece, now).is_ok();
        while let Some(event) = session.poll_event() {
            check(&event);
            if let Event::Publish(_) = event {
                if choice & 2 == 0 { session.accept(now) } else { session.refuse(StatusCode::BadName, "no") }
            }
        }
        while let Some(bytes) = session.poll_output() {
            answered += bytes.len();
        }
        if !alive {
            break;
        }
        now += Duration::from_millis(1);
        assert!(session.next_timeout().is_none_or(|at| at > Duration::ZERO));
    }
    // A peer cannot make us send much more than it sends.
    assert!(answered <= 16_384 + 64 * taken, "{answered} bytes in answer to {taken}");

    // The reader alone, with small limits: what it holds is bounded by them, whatever lengths are declared.
    let limits = Limits { message_bytes_max: 4_096, partial_bytes_max: 8_192, chunk_streams_max: 8 };
    let mut reader = Reader::new(limits);
    let mut bytes = &input[1..];
    while let Ok(Some(message)) = reader.read(&mut bytes) {
        assert!(message.payload.len() <= limits.message_bytes_max);
        assert!(reader.partial_bytes() <= limits.partial_bytes_max);
    }
    assert!(reader.partial_bytes() <= limits.partial_bytes_max + 4_096);
});
