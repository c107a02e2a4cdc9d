//! Cuts messages into chunks.
//!
//! In → Out: [`Message`]s → bytes, with the shortest header that the previous message on the same chunk stream allows.
//! Spec: Adobe RTMP 1.0, section 5.3.1 "Chunk Format".

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{EXTENDED, Message, SIZE_DEFAULT, SIZE_MAX};

/// The sending half of a chunk stream.
#[derive(Debug)]
pub struct Writer {
    size: usize,
    streams: BTreeMap<u32, Last>,
    repeats_extended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    timestamp: u32,
    delta: Option<u32>,
    length: usize,
    kind: u8,
    stream: u32,
}

/// A message on its way out, chunk by chunk. Messages on different chunk streams may be written in turns.
#[derive(Debug)]
pub struct Outgoing {
    chunk_stream: u32,
    header: Vec<u8>,
    extended: Option<u32>,
    payload: Bytes,
    started: bool,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A writer at the start of a chunk stream, with chunks of [`SIZE_DEFAULT`].
    pub fn new() -> Self {
        Self {
            size: 128,
            streams: BTreeMap::new(),
            repeats_extended: true,
        }
    }

    /// Sets the size of the chunks that follow; the peer must have been told. Clamped to 1–[`SIZE_MAX`].
    pub fn set_size(&mut self, size: u32) {
        let size = size.clamp(1, SIZE_MAX);
        self.size = usize::try_from(size).unwrap_or(SIZE_DEFAULT as usize);
    }

    /// Whether type-3 chunks repeat an extended timestamp, as the specification says (the default), or leave it out, as
    /// some encoders do.
    pub fn set_repeats_extended(&mut self, repeats: bool) {
        self.repeats_extended = repeats;
    }

    /// Appends a whole message.
    pub fn write(&mut self, message: &Message, out: &mut Vec<u8>) {
        let mut outgoing = self.start(message);
        while self.write_chunk(&mut outgoing, out) {}
    }

    /// Begins a message. Messages on the same chunk stream must be finished in the order in which they were started.
    pub fn start(&mut self, message: &Message) -> Outgoing {
        let last = self.streams.get(&message.chunk_stream).copied();
        let delta = last.and_then(|last| {
            let delta = message.timestamp.wrapping_sub(last.timestamp);
            // A message stream may not change, and time may not go back, with a delta header.
            (last.stream == message.stream && delta < 0x8000_0000).then_some(delta)
        });
        let same_shape = last
            .is_some_and(|last| last.length == message.payload.len() && last.kind == message.kind);
        let format: u8 = match delta {
            None => 0,
            Some(_) if !same_shape => 1,
            Some(delta) if last.and_then(|last| last.delta) != Some(delta) => 2,
            Some(_) => 3,
        };
        let time = delta.unwrap_or(message.timestamp);
        let extended = (time >= EXTENDED).then_some(time);
        let mut header = basic_header(format, message.chunk_stream);
        if format <= 2 {
            header.extend_from_slice(&time.min(EXTENDED).to_be_bytes()[1..]);
        }
        if format <= 1 {
            let length = u32::try_from(message.payload.len()).unwrap_or(u32::MAX);
            header.extend_from_slice(&length.to_be_bytes()[1..]);
            header.push(message.kind);
        }
        if format == 0 {
            header.extend_from_slice(&message.stream.to_le_bytes());
        }
        if let Some(extended) = extended
            && (format <= 2 || self.repeats_extended)
        {
            header.extend_from_slice(&extended.to_be_bytes());
        }
        self.streams.insert(
            message.chunk_stream,
            Last {
                timestamp: message.timestamp,
                delta,
                length: message.payload.len(),
                kind: message.kind,
                stream: message.stream,
            },
        );
        Outgoing {
            chunk_stream: message.chunk_stream,
            header,
            extended,
            payload: message.payload.clone(),
            started: false,
        }
    }

    /// Appends the next chunk of a message. Returns whether more chunks follow.
    pub fn write_chunk(&self, outgoing: &mut Outgoing, out: &mut Vec<u8>) -> bool {
        if outgoing.started {
            out.extend_from_slice(&basic_header(3, outgoing.chunk_stream));
            if let Some(extended) = outgoing.extended
                && self.repeats_extended
            {
                out.extend_from_slice(&extended.to_be_bytes());
            }
        } else {
            outgoing.started = true;
            out.extend_from_slice(&outgoing.header);
        }
        let chunk = outgoing
            .payload
            .split_to(outgoing.payload.len().min(self.size));
        out.extend_from_slice(&chunk);
        !outgoing.payload.is_empty()
    }
}

fn basic_header(format: u8, chunk_stream: u32) -> Vec<u8> {
    let format = format << 6;
    match chunk_stream {
        64..=319 => vec![format, low_byte(chunk_stream - 64)],
        320.. => vec![
            format | 1,
            low_byte(chunk_stream - 64),
            low_byte((chunk_stream - 64) >> 8),
        ],
        _ => vec![format | low_byte(chunk_stream)],
    }
}

fn low_byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}
