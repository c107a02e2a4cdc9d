//! Commands and control messages, as values.
//!
//! In → Out: the payload of a command message → [`Command`]; replies and control messages → [`Message`]s to send.
//! Spec: Adobe RTMP 1.0, sections 5.4 "Protocol Control Messages", 7.1.7 "User Control Message Events" and 7.2 "Types of
//! Commands"; Enhanced RTMP v2, "Enhancing NetConnection connect Command".

use bytes::Bytes;

use crate::amf0::{self, Amf0Error, Value};
use crate::chunk::Message;

/// Message type ids.
pub(crate) mod kind {
    pub(crate) const SET_CHUNK_SIZE: u8 = 1;
    pub(crate) const ABORT: u8 = 2;
    pub(crate) const ACKNOWLEDGEMENT: u8 = 3;
    pub(crate) const USER_CONTROL: u8 = 4;
    pub(crate) const WINDOW_ACK_SIZE: u8 = 5;
    pub(crate) const SET_PEER_BANDWIDTH: u8 = 6;
    pub(crate) const AUDIO: u8 = 8;
    pub(crate) const VIDEO: u8 = 9;
    pub(crate) const DATA_AMF3: u8 = 15;
    pub(crate) const COMMAND_AMF3: u8 = 17;
    pub(crate) const DATA_AMF0: u8 = 18;
    pub(crate) const COMMAND_AMF0: u8 = 20;
    pub(crate) const AGGREGATE: u8 = 22;
}

/// User control event types.
pub(crate) mod control {
    pub(crate) const STREAM_BEGIN: u16 = 0;
    pub(crate) const STREAM_EOF: u16 = 1;
    pub(crate) const PING_REQUEST: u16 = 6;
    pub(crate) const PING_RESPONSE: u16 = 7;
}

/// Chunk streams by purpose, as other servers use them.
pub(crate) mod chunk_stream {
    pub(crate) const CONTROL: u32 = 2;
    pub(crate) const COMMAND: u32 = 3;
    pub(crate) const AUDIO: u32 = 4;
    pub(crate) const STATUS: u32 = 5;
    pub(crate) const VIDEO: u32 = 6;
    pub(crate) const DATA: u32 = 8;
}

/// Four-character codes that we take in enhanced tags: those of the codecs that classic tags carry as well.
pub(crate) const FOURCC_TAKEN: [&str; 2] = ["avc1", "mp4a"];

/// Why a publisher was turned away or stopped, in RTMP's words. OBS, ffmpeg and GStreamer end the session at each of
/// these and print the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusCode {
    /// `NetStream.Publish.BadName`: the name is in use. GStreamer prints it as "stream already exists".
    BadName,
    /// `NetStream.Publish.Denied`: not allowed to publish here.
    Denied,
    /// `NetStream.Publish.Rejected`: allowed, but what was sent cannot be taken, or the server stops.
    Rejected,
}

impl StatusCode {
    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadName => "NetStream.Publish.BadName",
            Self::Denied => "NetStream.Publish.Denied",
            Self::Rejected => "NetStream.Publish.Rejected",
        }
    }
}

/// A remote procedure call, or the answer to one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) transaction: f64,
    /// The command object, if any, and what follows it.
    pub(crate) arguments: Vec<Value>,
}

impl Command {
    pub(crate) fn decode(payload: &[u8]) -> Result<Option<Self>, Amf0Error> {
        let mut values = amf0::decode_all(payload)?.into_iter();
        let Some(Value::String(name)) = values.next() else {
            return Ok(None);
        };
        let transaction = values
            .next()
            .and_then(|value| value.as_number())
            .unwrap_or(0.0);
        Ok(Some(Self {
            name,
            transaction,
            arguments: values.collect(),
        }))
    }

    /// The text argument at `index`, where 0 is the command object.
    pub(crate) fn text(&self, index: usize) -> Option<&str> {
        self.arguments.get(index).and_then(Value::as_str)
    }
}

/// A command message. `arguments` begin with the command object.
pub(crate) fn command(name: &str, transaction: f64, stream: u32, arguments: Vec<Value>) -> Message {
    let mut values = vec![Value::string(name), Value::Number(transaction)];
    values.extend(arguments);
    let chunk_stream = if stream == 0 {
        chunk_stream::COMMAND
    } else {
        chunk_stream::STATUS
    };
    message(
        chunk_stream,
        kind::COMMAND_AMF0,
        stream,
        amf0::encode_all(&values),
    )
}

/// An object from literal entries.
pub(crate) fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(
        entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// The positive answer to `connect`. Enhanced capabilities are named only to a peer that named its own.
pub(crate) fn connect_result(transaction: f64, enhanced: bool) -> Message {
    let properties = object([
        ("fmsVer", Value::string("FMS/3,0,1,123")),
        ("capabilities", Value::Number(31.0)),
    ]);
    let mut information = vec![
        ("level".to_owned(), Value::string("status")),
        (
            "code".to_owned(),
            Value::string("NetConnection.Connect.Success"),
        ),
        (
            "description".to_owned(),
            Value::string("Connection succeeded."),
        ),
        ("objectEncoding".to_owned(), Value::Number(0.0)),
    ];
    if enhanced {
        let codes = FOURCC_TAKEN.map(Value::string).to_vec();
        information.push(("fourCcList".to_owned(), Value::StrictArray(codes)));
        // None of reconnect, multitrack, ModEx and timestamp offsets.
        information.push(("capsEx".to_owned(), Value::Number(0.0)));
    }
    command(
        "_result",
        transaction,
        0,
        vec![properties, Value::Object(information)],
    )
}

/// An `onStatus` with level `status` or `error`.
pub(crate) fn on_status(stream: u32, level: &str, code: &str, description: &str) -> Message {
    let information = object([
        ("level", Value::string(level)),
        ("code", Value::string(code)),
        ("description", Value::string(description)),
    ]);
    command("onStatus", 0.0, stream, vec![Value::Null, information])
}

/// A control message whose payload is one 32-bit number.
pub(crate) fn control_u32(kind: u8, value: u32) -> Message {
    message(chunk_stream::CONTROL, kind, 0, value.to_be_bytes().to_vec())
}

/// Set Peer Bandwidth with the dynamic limit type.
pub(crate) fn set_peer_bandwidth(window: u32) -> Message {
    let mut payload = window.to_be_bytes().to_vec();
    payload.push(2);
    message(chunk_stream::CONTROL, kind::SET_PEER_BANDWIDTH, 0, payload)
}

/// A user control event with one 32-bit argument.
pub(crate) fn user_control(event: u16, argument: u32) -> Message {
    let mut payload = event.to_be_bytes().to_vec();
    payload.extend_from_slice(&argument.to_be_bytes());
    message(chunk_stream::CONTROL, kind::USER_CONTROL, 0, payload)
}

fn message(chunk_stream: u32, kind: u8, stream: u32, payload: Vec<u8>) -> Message {
    Message {
        chunk_stream,
        timestamp: 0,
        kind,
        stream,
        payload: Bytes::from(payload),
    }
}
