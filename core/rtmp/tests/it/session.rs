//! Whole conversations without a socket.
//!
//! In → Out: a publisher machine, or handmade messages → what the session does and answers.
//! Spec: Adobe RTMP 1.0; the case catalogue (ING-02, 03, 05, 07, 11).

use std::time::Duration;

use bytes::Bytes;
use rtmp::amf0::{self, Value};
use rtmp::chunk::{ChunkError, Limits, Message, Reader, Writer};
use rtmp::{
    Config, Error, Event, Media, Publish, Publisher, PublisherConfig, PublisherEvent, Session,
    StatusCode, Timeout,
};

const NOW: Duration = Duration::from_secs(100);

struct Pair {
    session: Session,
    publisher: Publisher,
    /// Everything that the session has sent, decoded.
    replies: Vec<Message>,
    reader: Reader,
    skip: usize,
}

impl Pair {
    fn new() -> Self {
        Self::with(PublisherConfig::default())
    }

    fn with(config: PublisherConfig) -> Self {
        Self {
            session: Session::new(Config::default(), 7, NOW),
            publisher: Publisher::new(config),
            replies: Vec::new(),
            reader: Reader::new(Limits::default()),
            skip: 1 + 2 * 1_536,
        }
    }

    /// A pair between which a publication is live.
    fn live() -> Self {
        let mut pair = Self::new();
        pair.run().unwrap();
        assert!(matches!(pair.session.poll_event(), Some(Event::Publish(_))));
        pair.session.accept(NOW);
        pair.run().unwrap();
        assert_eq!(pair.publisher.poll_event(), Some(PublisherEvent::Ready));
        pair
    }

    /// Exchanges bytes until both are silent.
    fn run(&mut self) -> Result<(), Error> {
        loop {
            let (to_session, to_publisher) =
                (self.publisher.poll_output(), self.session.poll_output());
            if to_session.is_none() && to_publisher.is_none() {
                return Ok(());
            }
            if let Some(bytes) = to_publisher {
                self.read_replies(&bytes);
                self.publisher.handle_bytes(&bytes).unwrap();
            }
            if let Some(bytes) = to_session {
                self.session.handle_bytes(&bytes, NOW)?;
            }
        }
    }

    fn read_replies(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let mut input = &bytes[skipped..];
        while let Some(message) = self.reader.read(&mut input).unwrap() {
            if message.kind == 1 {
                self.reader
                    .set_size(u32::from_be_bytes(message.payload[..4].try_into().unwrap()))
                    .unwrap();
            }
            self.replies.push(message);
        }
    }

    fn command(&mut self, stream: u32, values: &[Value]) -> Result<(), Error> {
        self.message(20, stream, 0, &amf0::encode_all(values))
    }

    fn message(
        &mut self,
        kind: u8,
        stream: u32,
        timestamp: u32,
        payload: &[u8],
    ) -> Result<(), Error> {
        let payload = Bytes::copy_from_slice(payload);
        self.publisher.send_message(&Message {
            chunk_stream: 9,
            timestamp,
            kind,
            stream,
            payload,
        });
        self.run()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    /// The `information` objects of all answers with this name.
    fn answers(&self, name: &str) -> Vec<Value> {
        let commands = self.replies.iter().filter(|message| message.kind == 20);
        let values = commands.map(|message| amf0::decode_all(&message.payload).unwrap());
        values
            .filter(|values| values[0].as_str() == Some(name))
            .filter_map(|values| values.get(3).cloned())
            .collect()
    }
}

fn media(timestamp: u32, payload: &'static [u8]) -> Media {
    Media {
        timestamp,
        payload: Bytes::from_static(payload),
    }
}

#[test]
fn a_publisher_gets_in_and_its_media_comes_out() {
    let mut pair = Pair::with(PublisherConfig {
        name: "key?token=1".into(),
        ..PublisherConfig::default()
    });
    pair.run().unwrap();
    let publish = Publish {
        app: "live".into(),
        name: "key?token=1".into(),
    };
    assert_eq!(pair.events(), [Event::Publish(publish)]);
    assert!(!pair.publisher.is_ready());
    pair.session.accept(NOW);
    pair.run().unwrap();
    assert_eq!(pair.publisher.poll_event(), Some(PublisherEvent::Ready));
    pair.publisher
        .send_metadata(vec![("framerate".into(), Value::Number(30.0))]);
    pair.publisher
        .send_video(40, Bytes::from_static(b"picture"));
    pair.publisher.send_audio(41, Bytes::from_static(b"sound"));
    pair.run().unwrap();
    let metadata = Value::EcmaArray(vec![("framerate".into(), Value::Number(30.0))]);
    let expect = [
        Event::Metadata(metadata),
        Event::Video(media(40, b"picture")),
        Event::Audio(media(41, b"sound")),
    ];
    assert_eq!(pair.events(), expect);
    let publisher = std::mem::replace(
        &mut pair.publisher,
        Publisher::new(PublisherConfig::default()),
    );
    pair.session.handle_bytes(&publisher.finish(), NOW).unwrap();
    assert_eq!(
        pair.events(),
        [Event::Unpublish],
        "once, though an encoder says goodbye twice"
    );
    assert!(!pair.session.finish(), "it did not vanish");
}

#[test]
fn a_refused_publisher_reads_code_and_description() {
    let mut pair = Pair::new();
    pair.run().unwrap();
    pair.session
        .refuse(StatusCode::Denied, "No such stream key.");
    pair.run().unwrap();
    let refused = PublisherEvent::Refused {
        code: "NetStream.Publish.Denied".into(),
        description: "No such stream key.".into(),
    };
    assert_eq!(pair.publisher.poll_event(), Some(refused));
    pair.session.accept(NOW);
    pair.publisher.send_video(0, Bytes::from_static(b"x"));
    pair.run().unwrap();
    assert_eq!(pair.events(), [], "a refusal is final");
}

#[test]
fn a_live_publisher_is_told_when_it_is_stopped() {
    let mut pair = Pair::live();
    pair.session
        .refuse(StatusCode::Rejected, "A newer session has taken over.");
    pair.run().unwrap();
    let Some(PublisherEvent::Refused { description, .. }) = pair.publisher.poll_event() else {
        panic!("told")
    };
    assert_eq!(description, "A newer session has taken over.");
}

#[test]
fn ing_07_media_before_publish_and_before_the_answer_is_dropped() {
    let mut pair = Pair::new();
    pair.run().unwrap();
    pair.events();
    pair.publisher.send_video(0, Bytes::from_static(b"early"));
    pair.run().unwrap();
    assert_eq!(pair.events(), []);
    assert_eq!(pair.session.media_dropped(), 1);
    pair.session.accept(NOW);
    pair.publisher
        .send_video(33, Bytes::from_static(b"in time"));
    pair.run().unwrap();
    assert_eq!(pair.events(), [Event::Video(media(33, b"in time"))]);
}

#[test]
fn ing_02_a_chunk_size_of_zero_ends_the_session_and_a_huge_one_is_clamped() {
    let mut pair = Pair::live();
    assert_eq!(
        pair.message(1, 0, 0, &[0; 4]),
        Err(Error::Chunk(ChunkError::SizeZero))
    );
    for size in [1_u32, 0x7FFF_FFFF, 0xFFFF_FFFF] {
        let mut pair = Pair::live();
        pair.message(1, 0, 0, &size.to_be_bytes()).unwrap();
        pair.publisher.writer().0.set_size(size);
        pair.publisher.send_video(5, Bytes::from(vec![7; 70_000]));
        pair.run().unwrap();
        assert_eq!(
            pair.events(),
            [Event::Video(Media {
                timestamp: 5,
                payload: vec![7; 70_000].into()
            })]
        );
    }
}

#[test]
fn ing_03_a_peer_that_trickles_is_timed_out_and_so_is_one_that_is_silent() {
    let config = Config::default();
    let mut pair = Pair::live();
    assert_eq!(
        pair.session.next_timeout(),
        Some(NOW + config.silence_timeout)
    );
    let header = [6, 0, 0, 0, 0xFF, 0xFF, 0xFE, 9, 1, 0, 0, 0];
    pair.session.handle_bytes(&header, NOW).unwrap();
    let mut now = NOW;
    let error = loop {
        now += Duration::from_secs(1);
        if let Err(error) = pair.session.handle_timeout(now) {
            break error;
        }
        pair.session.handle_bytes(&[0], now).unwrap();
    };
    assert_eq!(
        (error, now),
        (
            Error::Timeout(Timeout::Message),
            NOW + config.message_timeout
        )
    );

    let mut silent = Pair::live();
    assert_eq!(
        silent
            .session
            .handle_timeout(NOW + Duration::from_millis(4_999)),
        Ok(())
    );
    let error = silent.session.handle_timeout(NOW + config.silence_timeout);
    assert_eq!(error, Err(Error::Timeout(Timeout::Silence)));
}

#[test]
fn ing_01_a_handshake_has_five_seconds_whatever_trickles_in() {
    let mut session = Session::new(Config::default(), 7, NOW);
    session.handle_bytes(&[3], NOW).unwrap();
    for second in 1..5 {
        session
            .handle_bytes(&[0], NOW + Duration::from_secs(second))
            .unwrap();
    }
    let deadline = NOW + Duration::from_secs(5);
    assert_eq!(session.next_timeout(), Some(deadline));
    assert_eq!(
        session.handle_timeout(deadline),
        Err(Error::Timeout(Timeout::Handshake))
    );
    assert!(size_of::<Session>() < 500, "{} bytes", size_of::<Session>());
}

#[test]
fn a_peer_that_connects_and_never_publishes_is_timed_out() {
    let mut pair = Pair::new();
    let hello = pair.publisher.poll_output().unwrap();
    pair.session.handle_bytes(&hello, NOW).unwrap();
    pair.session.handle_bytes(&[0; 1_536], NOW).unwrap();
    assert!(pair.session.is_connected());
    let deadline = NOW + Config::default().publish_timeout;
    assert_eq!(
        pair.session.handle_timeout(deadline),
        Err(Error::Timeout(Timeout::Publish))
    );
}

#[test]
fn ing_05_a_65th_chunk_stream_ends_the_session() {
    let mut pair = Pair::live();
    let result = (0..100).find_map(|index| {
        let message = Message {
            chunk_stream: 100 + index,
            timestamp: 0,
            kind: 9,
            stream: 1,
            payload: Bytes::from_static(b"x"),
        };
        pair.publisher.send_message(&message);
        pair.run().err()
    });
    assert_eq!(result, Some(Error::Chunk(ChunkError::TooManyStreams)));
}

#[test]
fn ing_11_extended_timestamps_of_both_habits_come_through() {
    for repeats in [true, false] {
        let mut pair = Pair::live();
        pair.publisher.writer().0.set_repeats_extended(repeats);
        let stamps = [
            0xFF_FFF0,
            0xFF_FFFF,
            0x100_0010,
            0x7FFF_FFFF,
            0x8000_0010,
            0xFFFF_FFF0,
            0x10,
        ];
        for stamp in stamps {
            pair.publisher.send_video(stamp, vec![9; 10_000].into());
        }
        pair.run().unwrap();
        let got: Vec<_> = pair
            .events()
            .into_iter()
            .map(|event| match event {
                Event::Video(media) if media.payload == vec![9; 10_000] => media.timestamp,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(got, stamps, "repeats: {repeats}");
    }
}

#[test]
fn aggregates_come_apart_with_their_own_timestamps() {
    let mut pair = Pair::live();
    let tag = |kind: u8, time: u32, body: &[u8]| {
        let [extension, a, b, c] = time.to_be_bytes();
        let length = u8::try_from(body.len()).unwrap();
        [
            &[kind, 0, 0, length, a, b, c, extension, 0, 0, 0][..],
            body,
            &[0, 0, 0, length + 11],
        ]
        .concat()
    };
    let whole = [
        tag(9, 0xFF_FFFF, b"v"),
        tag(8, 0x100_0014, b"a"),
        tag(9, 0x100_0020, b"w"),
    ]
    .concat();
    pair.message(22, 1, 5_000, &whole).unwrap();
    let expect = [
        Event::Video(media(5_000, b"v")),
        Event::Audio(media(5_021, b"a")),
        Event::Video(media(5_033, b"w")),
    ];
    assert_eq!(pair.events(), expect);
    pair.message(22, 1, 6_000, &whole[..20]).unwrap();
    assert_eq!(pair.events().len(), 1, "what is cut off is left out");
}

#[test]
fn pings_are_answered_and_bytes_acknowledged() {
    let mut pair = Pair::live();
    pair.message(4, 0, 0, &[0, 6, 1, 2, 3, 4]).unwrap();
    assert_eq!(
        pair.replies.last().unwrap().payload,
        &[0, 7, 1, 2, 3, 4][..]
    );
    pair.message(5, 0, 0, &200_000_u32.to_be_bytes()).unwrap();
    let acknowledged = |pair: &Pair| pair.replies.iter().filter(|reply| reply.kind == 3).count();
    assert_eq!(acknowledged(&pair), 0);
    for n in 0..20 {
        pair.publisher.send_video(n, vec![0; 20_000].into());
        pair.run().unwrap();
    }
    assert!(
        (3..=4).contains(&acknowledged(&pair)),
        "{} for 400 kB",
        acknowledged(&pair)
    );
}

/// What a session answers to `connect` with these entries beside the application.
fn connect_answer(extra: Vec<(String, Value)>) -> Value {
    let mut entries = vec![("app".to_owned(), Value::string("live"))];
    entries.extend(extra);
    let values = [
        Value::string("connect"),
        Value::Number(1.0),
        Value::Object(entries),
    ];
    let payload = amf0::encode_all(&values).into();
    let mut bytes = [&[3][..], &[0; 3_072]].concat();
    let connect = Message {
        chunk_stream: 3,
        timestamp: 0,
        kind: 20,
        stream: 0,
        payload,
    };
    Writer::new().write(&connect, &mut bytes);
    let mut pair = Pair::new();
    pair.session.handle_bytes(&bytes, NOW).unwrap();
    let answer = pair.session.poll_output().unwrap();
    pair.read_replies(&answer);
    pair.answers("_result").pop().unwrap()
}

#[test]
fn enhanced_capabilities_are_named_only_to_those_who_ask() {
    assert_eq!(connect_answer(Vec::new()).field("fourCcList"), None);
    let asks = vec![(
        "fourCcList".to_owned(),
        Value::StrictArray(vec![Value::string("hvc1")]),
    )];
    let taken = Value::StrictArray(vec![Value::string("avc1"), Value::string("mp4a")]);
    assert_eq!(connect_answer(asks).field("fourCcList"), Some(&taken));
}

#[test]
fn text_and_commands_are_bounded() {
    let mut pair = Pair::with(PublisherConfig {
        name: "n".repeat(1_025),
        ..PublisherConfig::default()
    });
    assert_eq!(pair.run(), Err(Error::TextTooLong("stream name")));
    let mut pair = Pair::with(PublisherConfig {
        app: "a".repeat(1_025),
        ..PublisherConfig::default()
    });
    assert_eq!(pair.run(), Err(Error::TextTooLong("application")));
    let mut pair = Pair::live();
    let long = vec![
        Value::string("x"),
        Value::Number(0.0),
        Value::string("y".repeat(65_000)),
        Value::string("z".repeat(600)),
    ];
    assert_eq!(pair.command(0, &long), Err(Error::TextTooLong("command")));
    let mut pair = Pair::live();
    let create = [
        Value::string("createStream"),
        Value::Number(9.0),
        Value::Null,
    ];
    let error = (0..100).find_map(|_| pair.command(0, &create).err());
    assert_eq!(error, Some(Error::Command("createStream")));
}

#[test]
fn a_second_publish_on_a_live_connection_ends_it_and_one_after_goodbye_does_not() {
    let publish = [
        Value::string("publish"),
        Value::Number(5.0),
        Value::Null,
        Value::string("other"),
    ];
    let mut pair = Pair::live();
    assert_eq!(pair.command(1, &publish), Err(Error::Command("publish")));
    let mut pair = Pair::live();
    pair.command(
        0,
        &[
            Value::string("FCUnpublish"),
            Value::Number(6.0),
            Value::Null,
            Value::string("test"),
        ],
    )
    .unwrap();
    assert_eq!(pair.events(), [Event::Unpublish]);
    pair.command(1, &publish).unwrap();
    assert_eq!(
        pair.events(),
        [Event::Publish(Publish {
            app: "live".into(),
            name: "other".into()
        })]
    );
}

#[test]
fn a_viewer_is_sent_away() {
    let mut pair = Pair::live();
    pair.command(
        1,
        &[
            Value::string("play"),
            Value::Number(0.0),
            Value::Null,
            Value::string("x"),
        ],
    )
    .unwrap();
    let status = pair.answers("onStatus").pop().unwrap();
    assert_eq!(status.field("level").unwrap().as_str(), Some("error"));
    assert!(
        status
            .field("description")
            .unwrap()
            .as_str()
            .unwrap()
            .contains("HTTP")
    );
}
