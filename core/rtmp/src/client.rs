//! A publisher's side of a connection, for test equipment: it does no more than an encoder does.
//!
//! In → Out: bytes from a server → bytes to send and [`PublisherEvent`]s; audio, video and metadata → bytes to send.
//! Spec: Adobe RTMP 1.0, section 7.2 "Types of Commands"; the order of commands is that of common encoders.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::amf0::{self, Amf0Error, Value};
use crate::chunk::{self, ChunkError, Limits, Message};
use crate::command::{self, Command, chunk_stream, control, kind};
use crate::handshake::{self, HandshakeError};

/// Where and how to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherConfig {
    /// RTMP application, such as `live`.
    pub app: String,
    /// The URL up to and including the application, as encoders send it.
    pub tc_url: String,
    /// Stream name, with `?query` if any.
    pub name: String,
    /// Chunk size of what we send, in bytes: 1–16,777,215.
    pub chunk_size: u32,
    /// Makes the handshake differ between publishers.
    pub seed: u64,
}

impl Default for PublisherConfig {
    fn default() -> Self {
        Self {
            app: "live".into(),
            tc_url: "rtmp://127.0.0.1/live".into(),
            name: "test".into(),
            chunk_size: 4_096,
            seed: 1,
        }
    }
}

/// What the server did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublisherEvent {
    /// Media may be sent.
    Ready,
    /// The server turned us away, or stopped us.
    Refused {
        /// The status code, such as `NetStream.Publish.Denied`.
        code: String,
        /// The text beside it.
        description: String,
    },
}

/// Why the server cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublisherError {
    /// The handshake failed.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// The chunk stream cannot be read.
    #[error("chunk stream: {0}")]
    Chunk(#[from] ChunkError),
    /// A command cannot be read.
    #[error("command: {0}")]
    Amf0(#[from] Amf0Error),
}

/// The publisher machine.
#[derive(Debug)]
pub struct Publisher {
    config: PublisherConfig,
    handshake: Option<handshake::Client>,
    reader: chunk::Reader,
    writer: chunk::Writer,
    stream: u32,
    ready: bool,
    out: Vec<u8>,
    events: VecDeque<PublisherEvent>,
}

const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 4.0;

impl Publisher {
    /// Starts the handshake; the first bytes are ready to be sent.
    pub fn new(config: PublisherConfig) -> Self {
        let mut out = Vec::new();
        let handshake = Some(handshake::Client::start(config.seed, &mut out));
        Self {
            config,
            handshake,
            reader: chunk::Reader::new(Limits::default()),
            writer: chunk::Writer::new(),
            stream: 0,
            ready: false,
            out,
            events: VecDeque::new(),
        }
    }

    /// Takes bytes from the server.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), PublisherError> {
        let mut input = bytes;
        if let Some(handshake) = &mut self.handshake {
            if !handshake.read(&mut input, &mut self.out)? {
                return Ok(());
            }
            self.handshake = None;
            self.connect();
        }
        while let Some(message) = self.reader.read(&mut input)? {
            self.handle_message(&message)?;
        }
        Ok(())
    }

    /// Bytes to send, if any.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| Bytes::from(std::mem::take(&mut self.out)))
    }

    /// What the server did, if anything.
    pub fn poll_event(&mut self) -> Option<PublisherEvent> {
        self.events.pop_front()
    }

    /// Whether media may be sent.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Sends the body of an FLV audio tag.
    pub fn send_audio(&mut self, timestamp: u32, payload: Bytes) {
        self.send_message(&Message {
            chunk_stream: chunk_stream::AUDIO,
            timestamp,
            kind: kind::AUDIO,
            stream: self.stream,
            payload,
        });
    }

    /// Sends the body of an FLV video tag.
    pub fn send_video(&mut self, timestamp: u32, payload: Bytes) {
        self.send_message(&Message {
            chunk_stream: chunk_stream::VIDEO,
            timestamp,
            kind: kind::VIDEO,
            stream: self.stream,
            payload,
        });
    }

    /// Sends `@setDataFrame onMetaData` with these entries.
    pub fn send_metadata(&mut self, entries: Vec<(String, Value)>) {
        let values = [
            Value::string("@setDataFrame"),
            Value::string("onMetaData"),
            Value::EcmaArray(entries),
        ];
        self.send_message(&Message {
            chunk_stream: chunk_stream::DATA,
            timestamp: 0,
            kind: kind::DATA_AMF0,
            stream: self.stream,
            payload: amf0::encode_all(&values).into(),
        });
    }

    /// Sends any message, also one that no honest encoder would send.
    pub fn send_message(&mut self, message: &Message) {
        self.writer.write(message, &mut self.out);
    }

    /// The sending half, for tests that write chunks in turns or leave extended timestamps out.
    pub fn writer(&mut self) -> (&mut chunk::Writer, &mut Vec<u8>) {
        (&mut self.writer, &mut self.out)
    }

    /// The message stream of the publication; 0 before the server has made it.
    pub fn stream(&self) -> u32 {
        self.stream
    }

    /// Says goodbye, and returns the last bytes to send.
    pub fn finish(mut self) -> Bytes {
        if self.ready {
            let name = Value::string(self.config.name.clone());
            let stream = Value::Number(f64::from(self.stream));
            self.send_message(&command::command(
                "FCUnpublish",
                6.0,
                0,
                vec![Value::Null, name],
            ));
            self.send_message(&command::command(
                "deleteStream",
                7.0,
                0,
                vec![Value::Null, stream],
            ));
        }
        self.out.into()
    }

    fn connect(&mut self) {
        self.send_message(&command::control_u32(
            kind::SET_CHUNK_SIZE,
            self.config.chunk_size,
        ));
        self.writer.set_size(self.config.chunk_size);
        let properties = command::object([
            ("app", Value::string(self.config.app.clone())),
            ("type", Value::string("nonprivate")),
            ("flashVer", Value::string("FMLE/3.0 (compatible; nearcast)")),
            ("tcUrl", Value::string(self.config.tc_url.clone())),
        ]);
        self.send_message(&command::command("connect", CONNECT, 0, vec![properties]));
    }

    fn handle_message(&mut self, message: &Message) -> Result<(), PublisherError> {
        let first = message
            .payload
            .first_chunk()
            .map(|bytes| u32::from_be_bytes(*bytes));
        match (message.kind, first) {
            (kind::SET_CHUNK_SIZE, Some(size)) => self.reader.set_size(size)?,
            (kind::USER_CONTROL, _) => {
                if let Some((event, [a, b, c, d, ..])) = message.payload.split_first_chunk::<2>()
                    && u16::from_be_bytes(*event) == control::PING_REQUEST
                {
                    let time = u32::from_be_bytes([*a, *b, *c, *d]);
                    self.send_message(&command::user_control(control::PING_RESPONSE, time));
                }
            }
            (kind::COMMAND_AMF0, _) => {
                if let Some(command) = Command::decode(&message.payload)? {
                    self.handle_command(&command);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_command(&mut self, command: &Command) {
        let is = |transaction: f64| (command.transaction - transaction).abs() < 0.5;
        match command.name.as_str() {
            "_result" if is(CONNECT) => {
                let name = || Value::string(self.config.name.clone());
                let release = command::command("releaseStream", 2.0, 0, vec![Value::Null, name()]);
                let publish = command::command("FCPublish", 3.0, 0, vec![Value::Null, name()]);
                self.send_message(&release);
                self.send_message(&publish);
                self.send_message(&command::command(
                    "createStream",
                    CREATE_STREAM,
                    0,
                    vec![Value::Null],
                ));
            }
            "_result" if is(CREATE_STREAM) => {
                let number = command
                    .arguments
                    .get(1)
                    .and_then(Value::as_number)
                    .unwrap_or(1.0);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "saturates; small by design"
                )]
                let stream = number as u32;
                self.stream = stream;
                let name = Value::string(self.config.name.clone());
                let arguments = vec![Value::Null, name, Value::string("live")];
                self.send_message(&command::command("publish", 5.0, self.stream, arguments));
            }
            "onStatus" | "_error" => {
                let information = command.arguments.get(1).unwrap_or(&Value::Null);
                let text = |key| {
                    information
                        .field(key)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                if text("code") == "NetStream.Publish.Start" {
                    self.ready = true;
                    self.events.push_back(PublisherEvent::Ready);
                } else if text("level") == "error" || command.name == "_error" {
                    self.ready = false;
                    let (code, description) = (text("code"), text("description"));
                    self.events
                        .push_back(PublisherEvent::Refused { code, description });
                }
            }
            _ => {}
        }
    }
}
