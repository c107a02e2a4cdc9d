//! The chunk stream: messages cut into chunks that may interleave, and put together again.
//!
//! In → Out: [`Reader`]: bytes → [`Message`]s; [`Writer`]: messages → bytes.
//! Spec: Adobe RTMP 1.0, section 5.3 "Chunking".

mod reader;
mod writer;

use bytes::Bytes;

pub use reader::{ChunkError, Limits, Reader};
pub use writer::{Outgoing, Writer};

/// The chunk size of both directions until a peer sets another.
pub const SIZE_DEFAULT: u32 = 128;
/// The largest chunk size in use; greater ones are clamped, as no message can be longer.
pub const SIZE_MAX: u32 = 0xFF_FFFF;
/// A timestamp field of this value says that four more bytes carry the timestamp.
pub(crate) const EXTENDED: u32 = 0xFF_FFFF;

/// One RTMP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The chunk stream that it came or goes on: 2–65,599.
    pub chunk_stream: u32,
    /// Milliseconds on the sender's clock; wraps.
    pub timestamp: u32,
    /// The message type id.
    pub kind: u8,
    /// The message stream id: 0 for control and connection commands.
    pub stream: u32,
    /// The message body.
    pub payload: Bytes,
}
