//! What holds for every message and every split.
//!
//! In → Out: random messages written in turns → the same messages read; random values → the same values; random bytes
//! → no panic and bounded memory.
//! Spec: the invariants I1 and I4 of the case catalogue.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rtmp::amf0::{self, Value};
use rtmp::chunk::{Limits, Message, Outgoing, Reader, Writer};
use rtmp::{Config, Session};

fn message() -> impl Strategy<Value = Message> {
    let chunk_stream = prop_oneof![2..10_u32, 60..70_u32, Just(319), Just(320), Just(65_599)];
    let timestamp = prop_oneof![0..1_000_u32, 0xFF_FF00..0x100_0100_u32, any::<u32>()];
    let payload = prop_oneof![4 => 0..300_usize, 1 => 0..20_000_usize];
    (
        chunk_stream,
        timestamp,
        prop_oneof![Just(8_u8), Just(9_u8)],
        0..3_u32,
        payload,
        any::<u8>(),
    )
        .prop_map(
            |(chunk_stream, timestamp, kind, stream, length, fill)| Message {
                chunk_stream,
                timestamp,
                kind,
                stream,
                payload: vec![fill; length].into(),
            },
        )
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<f64>()
            .prop_filter("NaN is not equal to itself", |number| !number.is_nan())
            .prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,40}".prop_map(Value::String),
        (65_500..65_536_usize).prop_map(|length| Value::String("x".repeat(length))),
        (-1e12..1e12).prop_map(Value::Date),
        Just(Value::Null),
        Just(Value::Undefined),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let entries = prop::collection::vec((".{1,12}", inner.clone()), 0..6);
        prop_oneof![
            entries.clone().prop_map(Value::Object),
            entries.prop_map(Value::EcmaArray),
            prop::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
        ]
    })
}

proptest! {
    #[test]
    fn messages_written_in_turns_are_read_whole_in_any_split(
        messages in prop::collection::vec(message(), 1..30),
        turns in prop::collection::vec(any::<u8>(), 1..100),
        splits in prop::collection::vec(1..5_000_usize, 1..50),
        size in prop_oneof![Just(1_u32), Just(128), 2..5_000_u32],
        repeats in any::<bool>(),
    ) {
        let mut writer = Writer::new();
        writer.set_size(size);
        writer.set_repeats_extended(repeats);
        let mut bytes = Vec::new();
        let mut expect = Vec::new();
        let mut open: Vec<(Message, Outgoing)> = Vec::new();
        // A last chunk that begins like the timestamp it may have left out is told apart by what follows it.
        let last = Message { chunk_stream: 1_000, timestamp: 1, kind: 8, stream: 1, payload: vec![7; 9].into() };
        let mut waiting = messages.into_iter().peekable();
        let mut turns = turns.into_iter().cycle();
        while !open.is_empty() || waiting.peek().is_some() {
            let free = |message: &Message| open.iter().all(|other| other.0.chunk_stream != message.chunk_stream);
            if let Some(message) = waiting.next_if(free) {
                let outgoing = writer.start(&message);
                open.push((message, outgoing));
            } else {
                let index = usize::from(turns.next().unwrap()) % open.len();
                if !writer.write_chunk(&mut open[index].1, &mut bytes) {
                    expect.push(open.remove(index).0);
                }
            }
        }
        let mut outgoing = writer.start(&last);
        while writer.write_chunk(&mut outgoing, &mut bytes) {}
        expect.push(last);
        let mut reader = Reader::new(Limits::default());
        reader.set_size(size).unwrap();
        let mut got = Vec::new();
        let mut rest = &bytes[..];
        for split in splits.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (mut input, tail) = rest.split_at(split.min(rest.len()));
            rest = tail;
            while let Some(message) = reader.read(&mut input).unwrap() {
                got.push(message);
            }
        }
        prop_assert_eq!(got, expect);
    }

    #[test]
    fn amf_values_survive_the_round_trip(values in prop::collection::vec(value(), 0..6)) {
        let bytes = amf0::encode_all(&values);
        prop_assert_eq!(amf0::decode_all(&bytes).unwrap(), values);
    }

    #[test]
    fn no_bytes_break_a_session(
        bytes in prop::collection::vec(any::<u8>(), 0..4_000),
        splits in prop::collection::vec(1..600_usize, 1..20),
        past_handshake in any::<bool>(),
    ) {
        let mut session = Session::new(Config::default(), 1, Duration::ZERO);
        if past_handshake {
            session.handle_bytes(&[&[3][..], &[0; 3_072]].concat(), Duration::ZERO).unwrap();
            session.poll_output();
        }
        let mut rest = Bytes::from(bytes);
        for split in splits.into_iter().cycle() {
            if rest.is_empty() || session.handle_bytes(&rest.split_to(split.min(rest.len())), Duration::ZERO).is_err() {
                break;
            }
            while session.poll_event().is_some() {}
            prop_assert!(session.poll_output().is_none_or(|out| out.len() <= 8_192));
        }
    }
}
