//! A server's side of one publisher's connection.
//!
//! In → Out: bytes and the time → bytes to send ([`Session::poll_output`]) and [`Event`]s ([`Session::poll_event`]).
//! A publish request waits for [`Session::accept`] or [`Session::refuse`]; media before that is dropped and counted.
//! After each `handle_` call the caller drains both queues; what they hold is bounded by the bytes handed in.
//! Spec: Adobe RTMP 1.0, sections 5.4 "Protocol Control Messages" and 7 "RTMP Command Messages".

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::amf0::{self, Amf0Error, Value};
use crate::chunk::{self, ChunkError, Limits, Message};
use crate::command::{self, Command, StatusCode, control, kind};
use crate::handshake::{self, HandshakeError};

/// Limits of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What a peer may make us hold.
    pub limits: Limits,
    /// From the first call to the end of the handshake.
    pub handshake_timeout: Duration,
    /// From the end of the handshake, or of the last publication, to a publish request.
    pub publish_timeout: Duration,
    /// Without any byte from the peer while it publishes.
    pub silence_timeout: Duration,
    /// Without a whole message from the peer while it publishes: bytes that trickle in do not make it alive.
    pub message_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            handshake_timeout: Duration::from_secs(5),
            publish_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(5),
            message_timeout: Duration::from_secs(15),
        }
    }
}

/// What a publisher asks for. Text is at most 1,024 bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The application of `connect`, without `/` at its ends.
    pub app: String,
    /// The stream name as sent, with its `?query`.
    pub name: String,
}

/// An FLV tag body with its timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Milliseconds on the publisher's clock; wraps.
    pub timestamp: u32,
    /// The body of an FLV audio or video tag; not empty.
    pub payload: Bytes,
}

/// What the peer did.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It wants to publish, and waits for the answer.
    Publish(Publish),
    /// It sent sound.
    Audio(Media),
    /// It sent a picture.
    Video(Media),
    /// It sent `onMetaData`.
    Metadata(Value),
    /// It ended its publication, and may begin another.
    Unpublish,
}

/// Which deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// [`Config::handshake_timeout`].
    Handshake,
    /// [`Config::publish_timeout`].
    Publish,
    /// [`Config::silence_timeout`].
    Silence,
    /// [`Config::message_timeout`].
    Message,
}

/// Why a session cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The handshake failed.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// The chunk stream cannot be read.
    #[error("chunk stream: {0}")]
    Chunk(#[from] ChunkError),
    /// A command cannot be read.
    #[error("command: {0}")]
    Amf0(#[from] Amf0Error),
    /// A command in the wrong place, or too many of them.
    #[error("command {0} is out of place")]
    Command(&'static str),
    /// A text argument is too long.
    #[error("{0} is too long")]
    TextTooLong(&'static str),
    /// A deadline has passed.
    #[error("{0:?} timeout")]
    Timeout(Timeout),
}

/// The session machine. `now` is the time since any fixed moment, the same for all calls, and never goes back.
#[derive(Debug)]
pub struct Session {
    config: Config,
    phase: Phase,
    publication: Publication,
    app: String,
    streams_made: u32,
    writer: chunk::Writer,
    out: Vec<u8>,
    events: VecDeque<Event>,
    received: u64,
    acknowledged: u64,
    window: u64,
    byte_at: Duration,
    message_at: Duration,
    phase_at: Duration,
    media_dropped: u64,
}

#[derive(Debug)]
enum Phase {
    Handshake(handshake::Server),
    /// Boxed: a socket that has not finished its handshake must stay small.
    Messages(Box<chunk::Reader>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publication {
    None,
    /// Asked for, on this message stream.
    Asked(u32),
    Live(u32),
    /// Refused or stopped: nothing more is taken from the peer.
    Over,
}

/// The longest application or stream name, in bytes.
const TEXT_MAX: usize = 1_024;
/// The longest command or metadata message, in bytes.
const COMMAND_BYTES_MAX: usize = 65_536;
/// How many message streams a peer may make.
const STREAMS_MAX: u32 = 64;
/// Acknowledgement window that we ask for, and use until the peer says otherwise, in bytes.
const WINDOW: u32 = 2_500_000;
/// Our own chunks; all that we send is short.
const CHUNK_SIZE_OUT: u32 = 4_096;

impl Session {
    /// A session at the start of a connection. `seed` makes its handshake differ from others'.
    pub fn new(config: Config, seed: u64, now: Duration) -> Self {
        Self {
            config,
            phase: Phase::Handshake(handshake::Server::new(seed)),
            publication: Publication::None,
            app: String::new(),
            streams_made: 0,
            writer: chunk::Writer::new(),
            out: Vec::new(),
            events: VecDeque::new(),
            received: 0,
            acknowledged: 0,
            window: u64::from(WINDOW),
            byte_at: now,
            message_at: now,
            phase_at: now,
            media_dropped: 0,
        }
    }

    /// Takes bytes from the peer. After an error the connection is of no use any more.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Duration) -> Result<(), Error> {
        let mut input = bytes;
        if !bytes.is_empty() {
            self.byte_at = now;
        }
        self.received += bytes.len() as u64;
        if let Phase::Handshake(server) = &mut self.phase {
            if !server.read(&mut input, &mut self.out)? {
                return Ok(());
            }
            self.phase = Phase::Messages(Box::new(chunk::Reader::new(self.config.limits)));
            self.phase_at = now;
        }
        while self.publication != Publication::Over {
            let Phase::Messages(reader) = &mut self.phase else {
                break;
            };
            let Some(message) = reader.read(&mut input)? else {
                break;
            };
            self.message_at = now;
            self.handle_message(message, now)?;
        }
        self.acknowledge();
        Ok(())
    }

    /// To be called when [`Self::next_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), Error> {
        match self.deadline() {
            Some((at, timeout)) if now >= at => Err(Error::Timeout(timeout)),
            _ => Ok(()),
        }
    }

    /// Excuses the peer's silence so far: the caller did not read, because what comes after it was busy.
    pub fn handle_pause(&mut self, now: Duration) {
        self.byte_at = now;
        self.message_at = now;
    }

    /// Bytes to send, if any.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| Bytes::from(std::mem::take(&mut self.out)))
    }

    /// What the peer did, if anything.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.deadline().map(|(at, _)| at)
    }

    /// Lets the peer publish what it asked for.
    pub fn accept(&mut self, now: Duration) {
        let Publication::Asked(stream) = self.publication else {
            return;
        };
        self.publication = Publication::Live(stream);
        self.byte_at = now;
        self.message_at = now;
        self.send(&command::user_control(control::STREAM_BEGIN, stream));
        self.send(&command::on_status(
            stream,
            "status",
            "NetStream.Publish.Start",
            "Publishing.",
        ));
    }

    /// Turns the peer away, or stops its publication, and says why; the caller sends what is left and closes.
    pub fn refuse(&mut self, code: StatusCode, description: &str) {
        let stream = match self.publication {
            Publication::Asked(stream) | Publication::Live(stream) => stream,
            Publication::None => 0,
            Publication::Over => return,
        };
        self.publication = Publication::Over;
        self.events.clear();
        self.send(&command::on_status(
            stream,
            "error",
            code.as_str(),
            description,
        ));
        if stream != 0 {
            self.send(&command::user_control(control::STREAM_EOF, stream));
        }
    }

    /// Whether the handshake is complete.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Messages(_))
    }

    /// Messages with media that came while nothing was being published.
    pub fn media_dropped(&self) -> u64 {
        self.media_dropped
    }

    /// Ends the session. Returns whether a publication was under way, that is, whether the peer left without a word.
    pub fn finish(self) -> bool {
        matches!(self.publication, Publication::Live(_))
    }

    fn deadline(&self) -> Option<(Duration, Timeout)> {
        match (&self.phase, self.publication) {
            (Phase::Handshake(_), _) => Some((
                self.phase_at + self.config.handshake_timeout,
                Timeout::Handshake,
            )),
            (_, Publication::None) => Some((
                self.phase_at + self.config.publish_timeout,
                Timeout::Publish,
            )),
            (_, Publication::Live(_)) => {
                let silence = (self.byte_at + self.config.silence_timeout, Timeout::Silence);
                let message = (
                    self.message_at + self.config.message_timeout,
                    Timeout::Message,
                );
                Some(if silence.0 <= message.0 {
                    silence
                } else {
                    message
                })
            }
            (_, Publication::Asked(_) | Publication::Over) => None,
        }
    }

    fn send(&mut self, message: &Message) {
        self.writer.write(message, &mut self.out);
    }

    /// Acknowledges at half the window, so that a peer that stops at the full window never does.
    fn acknowledge(&mut self) {
        if self.is_connected() && self.received - self.acknowledged >= self.window / 2 {
            self.acknowledged = self.received;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the sequence number wraps by specification"
            )]
            let sequence = self.received as u32;
            self.send(&command::control_u32(kind::ACKNOWLEDGEMENT, sequence));
        }
    }

    fn handle_message(&mut self, message: Message, now: Duration) -> Result<(), Error> {
        match message.kind {
            kind::SET_CHUNK_SIZE => {
                if let (Some(size), Phase::Messages(reader)) =
                    (number(&message.payload), &mut self.phase)
                {
                    // The topmost bit is reserved and zero; a peer that sets it means a very large chunk.
                    reader.set_size(size)?;
                }
            }
            kind::ABORT => {
                if let (Some(chunk_stream), Phase::Messages(reader)) =
                    (number(&message.payload), &mut self.phase)
                {
                    reader.abort(chunk_stream);
                }
            }
            kind::WINDOW_ACK_SIZE => {
                if let Some(window) = number(&message.payload) {
                    // Below 64 KiB each read would be acknowledged; no encoder means that.
                    self.window = u64::from(window.max(65_536));
                }
            }
            kind::USER_CONTROL => self.handle_user_control(&message.payload),
            kind::AUDIO | kind::VIDEO => {
                self.handle_media(message.kind, message.timestamp, message.payload);
            }
            kind::DATA_AMF0 => self.handle_data(&message.payload),
            // AMF 3 messages of encoders hold AMF 0 after a zero byte.
            kind::DATA_AMF3 => self.handle_data(message.payload.get(1..).unwrap_or_default()),
            kind::COMMAND_AMF0 => self.handle_command(&message.payload, message.stream, now)?,
            kind::COMMAND_AMF3 => {
                self.handle_command(
                    message.payload.get(1..).unwrap_or_default(),
                    message.stream,
                    now,
                )?;
            }
            kind::AGGREGATE => self.handle_aggregate(message.timestamp, &message.payload),
            _ => {}
        }
        Ok(())
    }

    fn handle_user_control(&mut self, payload: &[u8]) {
        if let Some((event, argument)) = payload.split_first_chunk::<2>()
            && u16::from_be_bytes(*event) == control::PING_REQUEST
            && let Some(time) = number(argument)
        {
            self.send(&command::user_control(control::PING_RESPONSE, time));
        }
    }

    fn handle_media(&mut self, kind: u8, timestamp: u32, payload: Bytes) {
        if !matches!(self.publication, Publication::Live(_)) {
            self.media_dropped += 1;
            return;
        }
        // Empty bodies carry nothing; some encoders send them as a sign of life.
        if payload.is_empty() {
            return;
        }
        let media = Media { timestamp, payload };
        self.events.push_back(if kind == kind::AUDIO {
            Event::Audio(media)
        } else {
            Event::Video(media)
        });
    }

    fn handle_data(&mut self, payload: &[u8]) {
        if !matches!(self.publication, Publication::Live(_)) || payload.len() > COMMAND_BYTES_MAX {
            return;
        }
        let values = amf0::decode_leading(payload);
        let mut values = values.into_iter().peekable();
        values.next_if(|value| value.as_str() == Some("@setDataFrame"));
        if values.next().as_ref().and_then(Value::as_str) == Some("onMetaData")
            && let Some(metadata) = values.next()
        {
            self.events.push_back(Event::Metadata(metadata));
        }
    }

    /// An aggregate holds whole FLV tags, whose timestamps count from the first of them.
    fn handle_aggregate(&mut self, timestamp: u32, payload: &Bytes) {
        const TAG_HEADER: usize = 11;
        const BACK_POINTER: usize = 4;
        let mut first = None;
        let mut at = 0;
        while let Some(header) = payload.get(at..at + TAG_HEADER) {
            let length =
                number(&[0, header[1], header[2], header[3]]).map_or(0, |length| length as usize);
            let time = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
            let start = at + TAG_HEADER;
            let Some(end) = start
                .checked_add(length)
                .filter(|&end| end <= payload.len())
            else {
                return;
            };
            let offset = time.wrapping_sub(*first.get_or_insert(time));
            let body = payload.slice(start..end);
            match header[0] {
                kind::AUDIO | kind::VIDEO => {
                    self.handle_media(header[0], timestamp.wrapping_add(offset), body);
                }
                kind::DATA_AMF0 => self.handle_data(&body),
                _ => {}
            }
            at = end + BACK_POINTER;
        }
    }

    fn handle_command(&mut self, payload: &[u8], stream: u32, now: Duration) -> Result<(), Error> {
        if payload.len() > COMMAND_BYTES_MAX {
            return Err(Error::TextTooLong("command"));
        }
        let Some(command) = Command::decode(payload)? else {
            return Ok(());
        };
        match command.name.as_str() {
            "connect" => self.handle_connect(&command),
            "createStream" => self.handle_create_stream(&command),
            "publish" => self.handle_publish(&command, stream),
            "releaseStream" | "FCPublish" => {
                self.send(&command::command(
                    "_result",
                    command.transaction,
                    0,
                    vec![Value::Null, Value::Undefined],
                ));
                Ok(())
            }
            "FCUnpublish" | "deleteStream" | "closeStream" => {
                self.handle_unpublish(&command, stream, now);
                Ok(())
            }
            "play" | "play2" => {
                self.publication = Publication::Asked(stream.max(1));
                self.refuse(
                    StatusCode::Denied,
                    "This server takes publishers over RTMP; viewers use HTTP.",
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn handle_connect(&mut self, command: &Command) -> Result<(), Error> {
        let properties = command.arguments.first().unwrap_or(&Value::Null);
        let app = properties
            .field("app")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if app.len() > TEXT_MAX {
            return Err(Error::TextTooLong("application"));
        }
        if self.publication != Publication::None {
            return Err(Error::Command("connect"));
        }
        app.trim_matches('/').clone_into(&mut self.app);
        let enhanced = [
            "fourCcList",
            "videoFourCcInfoMap",
            "audioFourCcInfoMap",
            "capsEx",
        ];
        let enhanced = enhanced.iter().any(|key| properties.field(key).is_some());
        self.send(&command::control_u32(kind::WINDOW_ACK_SIZE, WINDOW));
        self.send(&command::set_peer_bandwidth(WINDOW));
        self.send(&command::control_u32(kind::SET_CHUNK_SIZE, CHUNK_SIZE_OUT));
        self.writer.set_size(CHUNK_SIZE_OUT);
        self.send(&command::connect_result(command.transaction, enhanced));
        Ok(())
    }

    fn handle_create_stream(&mut self, command: &Command) -> Result<(), Error> {
        if self.streams_made >= STREAMS_MAX {
            return Err(Error::Command("createStream"));
        }
        self.streams_made += 1;
        let stream = Value::Number(f64::from(self.streams_made));
        self.send(&command::command(
            "_result",
            command.transaction,
            0,
            vec![Value::Null, stream],
        ));
        Ok(())
    }

    fn handle_publish(&mut self, command: &Command, stream: u32) -> Result<(), Error> {
        let name = command.text(1).unwrap_or_default();
        if name.len() > TEXT_MAX {
            return Err(Error::TextTooLong("stream name"));
        }
        if self.publication != Publication::None {
            return Err(Error::Command("publish"));
        }
        self.publication = Publication::Asked(stream);
        self.events.push_back(Event::Publish(Publish {
            app: self.app.clone(),
            name: name.to_owned(),
        }));
        Ok(())
    }

    fn handle_unpublish(&mut self, command: &Command, stream: u32, now: Duration) {
        // deleteStream comes on message stream 0 and names the stream; FCUnpublish names the publication.
        let named = command.arguments.get(1).and_then(Value::as_number);
        let (Publication::Asked(live) | Publication::Live(live)) = self.publication else {
            return;
        };
        let meant = match command.name.as_str() {
            "deleteStream" => named.is_none_or(|number| (number - f64::from(live)).abs() < 0.5),
            "closeStream" => stream == live || stream == 0,
            _ => true,
        };
        if !meant {
            return;
        }
        self.publication = Publication::None;
        self.phase_at = now;
        self.events.push_back(Event::Unpublish);
        let text = "Publication ended.";
        self.send(&command::on_status(
            live,
            "status",
            "NetStream.Unpublish.Success",
            text,
        ));
    }
}

/// The first 32 bits of a payload as a number.
fn number(payload: &[u8]) -> Option<u32> {
    payload
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes))
}
