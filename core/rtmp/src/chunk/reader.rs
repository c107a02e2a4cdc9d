//! Puts messages together from chunks.
//!
//! In → Out: bytes in any split → one [`Message`] at a time, so that a Set Chunk Size applies to the very next chunk.
//! Memory grows with bytes received, never with lengths declared: see [`Limits`].
//! Extended timestamps: some senders repeat them in type-3 chunks (as the specification says), some do not. The first
//! continuation chunk after an extended timestamp tells which kind of sender this is.
//! Spec: Adobe RTMP 1.0, sections 5.3.1 "Chunk Format" and 5.4.1 "Set Chunk Size".

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::{EXTENDED, Message, SIZE_DEFAULT, SIZE_MAX};

/// What a peer may make us hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, in bytes.
    pub message_bytes_max: usize,
    /// All unfinished messages together, in bytes.
    pub partial_bytes_max: usize,
    /// Chunk streams in use.
    pub chunk_streams_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 * 1024 * 1024,
            partial_bytes_max: 24 * 1024 * 1024,
            chunk_streams_max: 64,
        }
    }
}

/// Why bytes are not a chunk stream that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A chunk of a stream refers to an earlier one that never was.
    #[error("chunk stream {0} starts without a full header")]
    NoHeader(u32),
    /// A message declares more than [`Limits::message_bytes_max`].
    #[error("message of {0} bytes is too long")]
    MessageTooLong(u32),
    /// Unfinished messages exceed [`Limits::partial_bytes_max`].
    #[error("unfinished messages hold too many bytes")]
    TooMuchUnfinished,
    /// More than [`Limits::chunk_streams_max`].
    #[error("too many chunk streams")]
    TooManyStreams,
    /// A chunk size of zero.
    #[error("chunk size zero")]
    SizeZero,
}

/// The receiving half of a chunk stream.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    size: u32,
    streams: BTreeMap<u32, Assembly>,
    /// Bytes taken from the input that are not consumed yet: an unfinished header, or what was read ahead to tell an
    /// extended timestamp from payload.
    held: Held,
    /// The chunk whose payload comes next, if its header is complete.
    current: Option<Current>,
    habit: Option<Habit>,
    partial_bytes: usize,
}

/// Basic header (3) + message header (11) + extended timestamp (4).
const HEADER_MAX: usize = 18;

#[derive(Debug, Default)]
struct Held {
    bytes: [u8; HEADER_MAX],
    length: usize,
}

impl Held {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Takes from `input` until `wanted` bytes are held. Returns whether they are.
    fn fill(&mut self, wanted: usize, input: &mut &[u8]) -> bool {
        let missing = wanted.saturating_sub(self.length).min(input.len());
        let (taken, rest) = input.split_at(missing);
        self.bytes[self.length..self.length + missing].copy_from_slice(taken);
        self.length += missing;
        *input = rest;
        self.length >= wanted
    }

    fn consume(&mut self, length: usize) {
        self.bytes.copy_within(length..self.length, 0);
        self.length -= length;
    }
}

#[derive(Clone, Copy, Debug)]
struct Current {
    chunk_stream: u32,
    left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    RepeatsExtended,
    OmitsExtended,
}

#[derive(Debug, Default)]
struct Assembly {
    timestamp: u32,
    delta: u32,
    length: u32,
    kind: u8,
    message_stream: u32,
    extended: Option<u32>,
    /// The unfinished message.
    partial: Option<BytesMut>,
}

enum Header {
    /// The header cannot be read before so many bytes are there.
    Needs(usize),
    /// The header takes so many of the bytes held.
    Complete(usize),
}

/// Absolute timestamps above this, in milliseconds, are not taken as the delta of a following type-3 message.
const DELTA_PLAUSIBLE: u32 = 10_000;

impl Reader {
    /// A reader at the start of a chunk stream, with chunks of [`SIZE_DEFAULT`].
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            size: SIZE_DEFAULT,
            streams: BTreeMap::new(),
            held: Held::default(),
            current: None,
            habit: None,
            partial_bytes: 0,
        }
    }

    /// Sets the size of the chunks that follow. Zero is refused; what exceeds [`SIZE_MAX`] is clamped.
    pub fn set_size(&mut self, size: u32) -> Result<(), ChunkError> {
        if size == 0 {
            return Err(ChunkError::SizeZero);
        }
        self.size = size.min(SIZE_MAX);
        Ok(())
    }

    /// The chunk size in use.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Discards the unfinished message of a chunk stream.
    pub fn abort(&mut self, chunk_stream: u32) {
        if let Some(stream) = self.streams.get_mut(&chunk_stream) {
            self.partial_bytes -= stream.partial.take().map_or(0, |partial| partial.len());
        }
    }

    /// Bytes held for unfinished messages.
    pub fn partial_bytes(&self) -> usize {
        self.partial_bytes
    }

    /// Takes bytes from the front of `input` until a message is complete or nothing is left.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            if let Some(current) = self.current {
                if let Some(message) = self.read_payload(current, input)? {
                    return Ok(Some(message));
                }
                if self.current.is_some() {
                    return Ok(None);
                }
            } else if !self.read_header(input)? {
                return Ok(None);
            }
        }
    }

    /// Returns whether a header was completed; otherwise the input is used up.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<bool, ChunkError> {
        loop {
            match self.parse_header()? {
                Header::Complete(length) => {
                    self.held.consume(length);
                    return Ok(true);
                }
                Header::Needs(wanted) => {
                    if !self.held.fill(wanted, input) {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Reads the header at the start of the held bytes; once it is complete its chunk becomes the current one.
    fn parse_header(&mut self) -> Result<Header, ChunkError> {
        let held = self.held.as_slice();
        let Some(&first) = held.first() else {
            return Ok(Header::Needs(1));
        };
        let format = first >> 6;
        let basic = match first & 0x3F {
            0 => 2,
            1 => 3,
            _ => 1,
        };
        let fields = basic + [11, 7, 3, 0][usize::from(format)];
        if held.len() < fields {
            return Ok(Header::Needs(fields));
        }
        let chunk_stream = match basic {
            2 => 64 + u32::from(held[1]),
            3 => 64 + u32::from(held[1]) + 256 * u32::from(held[2]),
            _ => u32::from(first & 0x3F),
        };
        let known = self.streams.get(&chunk_stream);
        if known.is_none() {
            // Type 1 is let through: some encoders open a chunk stream with it, meaning a delta from zero.
            if format >= 2 {
                return Err(ChunkError::NoHeader(chunk_stream));
            }
            if self.streams.len() >= self.limits.chunk_streams_max {
                return Err(ChunkError::TooManyStreams);
            }
        }
        let length = if format <= 1 {
            u24(&held[basic + 3..])
        } else {
            known.map_or(0, |stream| stream.length)
        };
        if usize::try_from(length).unwrap_or(usize::MAX) > self.limits.message_bytes_max {
            return Err(ChunkError::MessageTooLong(length));
        }
        if format == 3 {
            return Ok(self.parse_type_3(chunk_stream, basic));
        }
        let field = u24(&held[basic..]);
        let extended = field == EXTENDED;
        let total = fields + if extended { 4 } else { 0 };
        if held.len() < total {
            return Ok(Header::Needs(total));
        }
        let time = if extended {
            u32_be(&held[fields..])
        } else {
            field
        };
        let kind = (format <= 1).then(|| held[basic + 6]);
        let message_stream = (format == 0).then(|| u32::from_le_bytes(array(&held[basic + 7..])));
        self.abort(chunk_stream);
        let stream = self.streams.entry(chunk_stream).or_default();
        if format == 0 {
            stream.timestamp = time;
            // A type-3 message after this one adds the same value once more, by the specification; senders for whom the
            // type-0 timestamp is absolute and large do not mean that.
            stream.delta = if time <= DELTA_PLAUSIBLE { time } else { 0 };
        } else {
            stream.timestamp = stream.timestamp.wrapping_add(time);
            stream.delta = time;
        }
        stream.length = length;
        stream.kind = kind.unwrap_or(stream.kind);
        stream.message_stream = message_stream.unwrap_or(stream.message_stream);
        stream.extended = extended.then_some(time);
        self.begin_chunk(chunk_stream);
        Ok(Header::Complete(total))
    }

    fn parse_type_3(&mut self, chunk_stream: u32, basic: usize) -> Header {
        let held = self.held.as_slice();
        let mut total = basic;
        let stream = self.streams.entry(chunk_stream).or_default();
        if let Some(extended) = stream.extended
            && self.habit != Some(Habit::OmitsExtended)
        {
            // Byte by byte: the last chunk of a sender that omits may hold less than a timestamp, and nothing may follow it.
            let seen = &held[basic..held.len().min(basic + 4)];
            let alike = extended.to_be_bytes().starts_with(seen);
            if seen.len() < 4 && (alike || self.habit.is_some()) {
                return Header::Needs(held.len() + 1);
            }
            let habit = self.habit.get_or_insert(if alike {
                Habit::RepeatsExtended
            } else {
                Habit::OmitsExtended
            });
            if *habit == Habit::RepeatsExtended {
                total += 4;
            }
        }
        if stream.partial.is_none() {
            stream.timestamp = stream.timestamp.wrapping_add(stream.delta);
        }
        self.begin_chunk(chunk_stream);
        Header::Complete(total)
    }

    fn begin_chunk(&mut self, chunk_stream: u32) {
        let stream = self.streams.entry(chunk_stream).or_default();
        let partial = stream.partial.get_or_insert_default();
        let missing = usize::try_from(stream.length)
            .unwrap_or(usize::MAX)
            .saturating_sub(partial.len());
        let left = missing.min(usize::try_from(self.size).unwrap_or(usize::MAX));
        self.current = Some(Current { chunk_stream, left });
    }

    /// Moves payload of the current chunk; the chunk stops being current when it is complete.
    fn read_payload(
        &mut self,
        mut current: Current,
        input: &mut &[u8],
    ) -> Result<Option<Message>, ChunkError> {
        let Some(stream) = self.streams.get_mut(&current.chunk_stream) else {
            self.current = None;
            return Ok(None);
        };
        let partial = stream.partial.get_or_insert_default();
        let from_held = self.held.length.min(current.left);
        let from_input = (current.left - from_held).min(input.len());
        if self.partial_bytes + from_held + from_input > self.limits.partial_bytes_max {
            return Err(ChunkError::TooMuchUnfinished);
        }
        partial.extend_from_slice(&self.held.as_slice()[..from_held]);
        self.held.consume(from_held);
        let (taken, rest) = input.split_at(from_input);
        partial.extend_from_slice(taken);
        *input = rest;
        self.partial_bytes += from_held + from_input;
        current.left -= from_held + from_input;
        if current.left > 0 {
            self.current = Some(current);
            return Ok(None);
        }
        self.current = None;
        if partial.len() < usize::try_from(stream.length).unwrap_or(usize::MAX) {
            return Ok(None);
        }
        self.partial_bytes -= partial.len();
        let payload = stream
            .partial
            .take()
            .map_or_else(Bytes::new, BytesMut::freeze);
        Ok(Some(Message {
            chunk_stream: current.chunk_stream,
            timestamp: stream.timestamp,
            kind: stream.kind,
            stream: stream.message_stream,
            payload,
        }))
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

fn u24(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])
}

fn u32_be(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(array(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(reader: &mut Reader, bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
        let mut input = bytes;
        let mut messages = Vec::new();
        while let Some(message) = reader.read(&mut input)? {
            messages.push(message);
        }
        Ok(messages)
    }

    fn type_0(chunk_stream: u8, timestamp: u32, length: u32) -> Vec<u8> {
        let mut header = vec![chunk_stream];
        header.extend_from_slice(&timestamp.min(EXTENDED).to_be_bytes()[1..]);
        header.extend_from_slice(&length.to_be_bytes()[1..]);
        header.extend_from_slice(&[9, 1, 0, 0, 0]);
        if timestamp >= EXTENDED {
            header.extend_from_slice(&timestamp.to_be_bytes());
        }
        header
    }

    #[test]
    fn audio_inside_an_unfinished_video_message_leaves_both_whole() {
        let mut bytes = type_0(6, 40, 200);
        bytes.extend([b'v'; 128]);
        bytes.extend(type_0(4, 41, 3));
        bytes.extend(b"aaa");
        bytes.push(0xC6);
        bytes.extend([b'V'; 72]);
        let messages = read_all(&mut Reader::new(Limits::default()), &bytes).unwrap();
        assert_eq!(messages[0].payload, "aaa");
        assert_eq!(
            messages[1].payload,
            [&[b'v'; 128][..], &[b'V'; 72]].concat()
        );
        assert_eq!((messages[0].timestamp, messages[1].timestamp), (41, 40));
    }

    #[test]
    fn ing_11_extended_timestamps_are_read_from_senders_of_both_habits() {
        for repeats in [true, false] {
            let mut reader = Reader::new(Limits::default());
            let mut bytes = Vec::new();
            for timestamp in [0x00FF_FFFE, 0x00FF_FFFF, 0x0100_0020] {
                bytes.extend(type_0(6, timestamp, 300));
                for (index, length) in [128_usize, 128, 44].into_iter().enumerate() {
                    if index > 0 {
                        bytes.push(0xC6);
                        if repeats && timestamp >= EXTENDED {
                            bytes.extend(timestamp.to_be_bytes());
                        }
                    }
                    bytes.extend(std::iter::repeat_n(b'x', length));
                }
            }
            let messages = read_all(&mut reader, &bytes).unwrap();
            assert_eq!(
                messages.iter().map(|m| m.timestamp).collect::<Vec<_>>(),
                [0xFF_FFFE, 0xFF_FFFF, 0x100_0020]
            );
            assert!(
                messages.iter().all(|m| m.payload == [b'x'; 300][..]),
                "repeats: {repeats}"
            );
        }
    }

    #[test]
    fn a_last_chunk_shorter_than_a_timestamp_is_read_at_once_when_the_sender_omits_it() {
        let mut bytes = type_0(4, EXTENDED + 1, 130);
        bytes.extend([b'x'; 128]);
        bytes.extend([0xC4, b'x', b'x']);
        let mut reader = Reader::new(Limits::default());
        let message = reader.read(&mut &bytes[..]).unwrap().unwrap();
        assert_eq!(message.payload.len(), 130);
    }

    #[test]
    fn a_type_3_message_repeats_the_last_delta() {
        let mut bytes = type_0(4, 100, 1);
        bytes.push(b'a');
        bytes.extend([0x84, 0, 0, 23, b'b']);
        bytes.extend([0xC4, b'c']);
        let messages = read_all(&mut Reader::new(Limits::default()), &bytes).unwrap();
        assert_eq!(
            messages.iter().map(|m| m.timestamp).collect::<Vec<_>>(),
            [100, 123, 146]
        );
    }

    #[test]
    fn ing_02_set_chunk_size_is_clamped_and_zero_refused() {
        let mut reader = Reader::new(Limits::default());
        assert_eq!(reader.set_size(0), Err(ChunkError::SizeZero));
        reader.set_size(0x7FFF_FFFF).unwrap();
        assert_eq!(reader.size(), SIZE_MAX);
        reader.set_size(1).unwrap();
        let mut bytes = type_0(4, 0, 3);
        bytes.extend([b'a', 0xC4, b'b', 0xC4, b'c']);
        assert_eq!(read_all(&mut reader, &bytes).unwrap()[0].payload, "abc");
    }

    #[test]
    fn ing_03_memory_grows_with_bytes_received_not_declared() {
        let mut reader = Reader::new(Limits::default());
        reader.set_size(SIZE_MAX).unwrap();
        let mut bytes = type_0(4, 0, 0xFF_FFFF);
        bytes.extend([0; 1_000]);
        assert!(read_all(&mut reader, &bytes).unwrap().is_empty());
        let held = reader.streams[&4].partial.as_ref().unwrap().capacity();
        assert!(held < 8 * 1_024, "{held} bytes held for 1,000 received");
    }

    #[test]
    fn a_message_longer_than_the_limit_is_refused_at_its_header() {
        let mut reader = Reader::new(Limits {
            message_bytes_max: 1_000,
            ..Limits::default()
        });
        assert_eq!(
            read_all(&mut reader, &type_0(4, 0, 1_001)),
            Err(ChunkError::MessageTooLong(1_001))
        );
    }

    #[test]
    fn unfinished_messages_are_bounded_together() {
        let mut reader = Reader::new(Limits {
            partial_bytes_max: 300,
            ..Limits::default()
        });
        let mut bytes = Vec::new();
        for chunk_stream in 4..7 {
            bytes.extend(type_0(chunk_stream, 0, 200));
            bytes.extend([0; 128]);
        }
        assert_eq!(
            read_all(&mut reader, &bytes),
            Err(ChunkError::TooMuchUnfinished)
        );
    }

    #[test]
    fn ing_05_more_than_64_chunk_streams_are_refused() {
        let mut reader = Reader::new(Limits::default());
        for index in 0..64_u8 {
            let mut header = type_0(0, 0, 1);
            header.insert(1, index);
            header.push(b'x');
            assert_eq!(
                read_all(&mut reader, &header).unwrap()[0].chunk_stream,
                64 + u32::from(index)
            );
        }
        let mut wide = type_0(1, 0, 1);
        wide.splice(1..1, [0xFF, 0xFF]);
        assert_eq!(
            read_all(&mut reader, &wide),
            Err(ChunkError::TooManyStreams)
        );
    }

    #[test]
    fn a_continuation_of_nothing_is_refused() {
        for first in [0x84, 0xC4] {
            assert_eq!(
                read_all(&mut Reader::new(Limits::default()), &[first, 0, 0, 0]),
                Err(ChunkError::NoHeader(4))
            );
        }
    }

    #[test]
    fn a_new_header_discards_the_unfinished_message() {
        let mut reader = Reader::new(Limits::default());
        let mut bytes = type_0(4, 0, 200);
        bytes.extend([0; 128]);
        bytes.extend(type_0(4, 5, 1));
        bytes.push(b'x');
        assert_eq!(read_all(&mut reader, &bytes).unwrap()[0].payload, "x");
        assert_eq!(reader.partial_bytes(), 0);
    }
}
