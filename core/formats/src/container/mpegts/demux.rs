//! Transport streams, read: whatever pieces of bytes come in, whole PES packets come out.
//!
//! In → Out: bytes → [`Pes`] packets of the streams that the program map names.
//! Finds the packet grid again after garbage, drops a PES packet that lost a transport packet, and gives one out at
//! once when its stated length is reached. Bounded: one unfinished PES packet a stream, at most [`STREAMS_MAX`] streams.
//!
//! Spec: ISO/IEC 13818-1 2.4.3 (packets, PES), 2.4.4 (tables); ISO/IEC 14496-3 1.A.2 (ADTS); 14496-10 annex B.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::crc::crc32;
use super::mux::PACKET;

/// How many streams of a programme are followed; further ones are ignored.
pub const STREAMS_MAX: usize = 8;
/// The longest PES packet that is held; a longer one is dropped.
pub const PES_MAX: usize = 8 << 20;

/// One PES packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pes {
    /// Where it was.
    pub pid: u16,
    /// From the program map: 0x1b H.264 in annex B form, 0x0f AAC in ADTS form.
    pub stream_type: u8,
    /// 90 kHz, 33 bits, as it stands.
    pub pts: Option<u64>,
    /// Likewise; equal to `pts` if not stated.
    pub dts: Option<u64>,
    /// Whether the packet said that a decoder can start here.
    pub random_access: bool,
    /// The clock (90 kHz part) in its first packet.
    pub clock: Option<u64>,
    /// The data.
    pub payload: Bytes,
}

/// What went wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Bytes skipped while looking for the packet grid.
    pub skipped: u64,
    /// Packets missing or repeated by their counter.
    pub discontinuous: u64,
    /// PES packets dropped: torn, too long or malformed.
    pub dropped: u64,
}

/// Reads one programme: the first of the newest association table.
#[derive(Debug, Default)]
pub struct Demuxer {
    buffer: BytesMut,
    synchronised: bool,
    map_pid: Option<u16>,
    streams: Vec<Stream>,
    /// Of the two tables.
    counters: [Option<u8>; 2],
    pes: VecDeque<Pes>,
    faults: Faults,
}

#[derive(Debug)]
struct Stream {
    pid: u16,
    kind: u8,
    counter: Option<u8>,
    open: Option<Open>,
}

/// A PES packet in the making.
#[derive(Debug, Default)]
struct Open {
    bytes: BytesMut,
    random_access: bool,
    clock: Option<u64>,
}

/// A transport packet taken apart.
struct Packet<'a> {
    pid: u16,
    start: bool,
    counter: u8,
    random_access: bool,
    clock: Option<u64>,
    payload: &'a [u8],
}

impl Demuxer {
    /// Takes the next bytes, in pieces of any size.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        loop {
            self.synchronise();
            if !self.synchronised || self.buffer.len() < PACKET {
                return;
            }
            if self.buffer[0] != SYNC {
                self.synchronised = false;
                continue;
            }
            let packet = self.buffer.split_to(PACKET);
            self.handle_packet(&packet);
        }
    }

    /// The next whole PES packet.
    pub fn poll_pes(&mut self) -> Option<Pes> {
        self.pes.pop_front()
    }

    /// What went wrong so far.
    pub const fn faults(&self) -> Faults {
        self.faults
    }

    /// Says that nothing follows: PES packets without a stated length end here.
    pub fn finish(&mut self) {
        for index in 0..self.streams.len() {
            self.close(index);
        }
    }

    /// Looks for two sync bytes one packet apart.
    fn synchronise(&mut self) {
        while !self.synchronised && self.buffer.len() > PACKET {
            if self.buffer[0] == SYNC && self.buffer[PACKET] == SYNC {
                self.synchronised = true;
                return;
            }
            let next = self.buffer[1..]
                .iter()
                .position(|byte| *byte == SYNC)
                .map_or(self.buffer.len(), |at| at + 1);
            self.faults.skipped += next as u64;
            self.buffer.advance(next);
        }
    }

    fn handle_packet(&mut self, bytes: &[u8]) {
        let Some(packet) = Packet::parse(bytes) else {
            return;
        };
        if packet.pid == 0 {
            if let Some(pid) = self.table(0, &packet).and_then(association) {
                self.map_pid = Some(pid);
            }
        } else if Some(packet.pid) == self.map_pid {
            if let Some(streams) = self.table(2, &packet).and_then(program_map) {
                self.follow(&streams);
            }
        } else if let Some(index) = self
            .streams
            .iter()
            .position(|stream| stream.pid == packet.pid)
        {
            self.handle_stream(index, &packet);
        }
    }

    /// The section of a table that fits into one packet, if it is whole and its checksum is right.
    fn table<'a>(&mut self, id: u8, packet: &Packet<'a>) -> Option<&'a [u8]> {
        let last = &mut self.counters[usize::from(id != 0)];
        if last.is_some_and(|last| (last + 1) & 0xf != packet.counter) {
            self.faults.discontinuous += 1;
        }
        *last = Some(packet.counter);
        if !packet.start {
            return None;
        }
        let pointer = usize::from(*packet.payload.first()?);
        let section = packet.payload.get(1 + pointer..)?;
        let length = usize::from(u16::from_be_bytes([*section.get(1)?, *section.get(2)?]) & 0xfff);
        let section = section.get(..3 + length)?;
        let valid = section[0] == id && length >= 9 && crc32(section) == 0;
        valid.then(|| &section[8..section.len() - 4])
    }

    /// Keeps the streams that go on, forgets the others.
    fn follow(&mut self, named: &[(u16, u8)]) {
        self.streams
            .retain(|stream| named.contains(&(stream.pid, stream.kind)));
        for (pid, kind) in named {
            if self.streams.len() < STREAMS_MAX
                && !self.streams.iter().any(|stream| stream.pid == *pid)
            {
                self.streams.push(Stream {
                    pid: *pid,
                    kind: *kind,
                    counter: None,
                    open: None,
                });
            }
        }
    }

    fn handle_stream(&mut self, index: usize, packet: &Packet<'_>) {
        let stream = &mut self.streams[index];
        // Packets without data do not count.
        if packet.payload.is_empty() {
            return;
        }
        let torn = stream
            .counter
            .is_some_and(|last| (last + 1) & 0xf != packet.counter);
        stream.counter = Some(packet.counter);
        if torn {
            self.faults.discontinuous += 1;
            self.faults.dropped += u64::from(stream.open.take().is_some());
        }
        if packet.start {
            self.close(index);
            let stream = &mut self.streams[index];
            stream.open = Some(Open {
                random_access: packet.random_access,
                clock: packet.clock,
                ..Open::default()
            });
        }
        let stream = &mut self.streams[index];
        let Some(open) = &mut stream.open else { return };
        if open.bytes.len() + packet.payload.len() > PES_MAX {
            stream.open = None;
            self.faults.dropped += 1;
            return;
        }
        open.bytes.extend_from_slice(packet.payload);
        let stated = open
            .bytes
            .get(4..6)
            .map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        if stated.is_some_and(|stated| stated > 0 && open.bytes.len() >= stated + 6) {
            self.close(index);
        }
    }

    /// Gives out the PES packet in the making.
    fn close(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let Some(open) = stream.open.take() else {
            return;
        };
        match parse_pes(stream, open) {
            Some(pes) => self.pes.push_back(pes),
            None => self.faults.dropped += 1,
        }
    }
}

const SYNC: u8 = 0x47;

impl<'a> Packet<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let pid = u16::from_be_bytes([bytes[1] & 0x1f, bytes[2]]);
        let (error, start) = (bytes[1] & 0x80 != 0, bytes[1] & 0x40 != 0);
        let (has_fields, has_payload) = (bytes[3] & 0x20 != 0, bytes[3] & 0x10 != 0);
        if error || pid == 0x1fff {
            return None;
        }
        let (mut rest, mut random_access, mut clock) = (&bytes[4..], false, None);
        if has_fields {
            let (length, tail) = rest.split_first()?;
            let (fields, tail) = tail.split_at_checked(usize::from(*length))?;
            rest = tail;
            if let Some((flags, fields)) = fields.split_first() {
                random_access = flags & 0x40 != 0;
                clock = if flags & 0x10 == 0 {
                    None
                } else {
                    fields.first_chunk::<6>().copied().map(clock_base)
                };
            }
        }
        let payload = if has_payload { rest } else { &[] };
        Some(Self {
            pid,
            start,
            counter: bytes[3] & 0xf,
            random_access,
            clock,
            payload,
        })
    }
}

fn clock_base(bytes: [u8; 6]) -> u64 {
    let high = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    u64::from(high) << 1 | u64::from(bytes[4] >> 7)
}

/// Where the map of the first programme is.
fn association(body: &[u8]) -> Option<u16> {
    let entry = |entry: &[u8]| {
        (
            u16::from_be_bytes([entry[0], entry[1]]),
            u16::from_be_bytes([entry[2] & 0x1f, entry[3]]),
        )
    };
    body.chunks_exact(4)
        .map(entry)
        .find(|(programme, _)| *programme != 0)
        .map(|(_, pid)| pid)
}

/// Streams by place and type.
fn program_map(body: &[u8]) -> Option<Vec<(u16, u8)>> {
    let length = |high: u8, low: u8| usize::from(u16::from_be_bytes([high & 0xf, low]));
    let mut rest = body.get(4 + length(*body.get(2)?, *body.get(3)?)..)?;
    let mut streams = Vec::new();
    while let Some((entry, tail)) = rest.split_first_chunk::<5>() {
        streams.push((u16::from_be_bytes([entry[1] & 0x1f, entry[2]]), entry[0]));
        rest = tail.get(length(entry[3], entry[4])..)?;
    }
    Some(streams)
}

fn parse_pes(stream: &Stream, open: Open) -> Option<Pes> {
    let mut bytes = open.bytes.freeze();
    let head: [u8; 9] = bytes.get(..9)?.try_into().ok()?;
    if head[..3] != [0, 0, 1] {
        return None;
    }
    let stated = usize::from(u16::from_be_bytes([head[4], head[5]]));
    if stated > 0 {
        // Shorter than stated: packets at its end were lost.
        bytes = (bytes.len() >= stated + 6).then(|| bytes.slice(..stated + 6))?;
    }
    let fields = bytes.get(9..9 + usize::from(head[8]))?;
    let (has_pts, has_dts) = (head[7] & 0x80 != 0, head[7] & 0x40 != 0);
    let pts = if has_pts {
        Some(time(*fields.first_chunk()?))
    } else {
        None
    };
    let dts = if has_pts && has_dts {
        Some(time(*fields.get(5..)?.first_chunk()?))
    } else {
        pts
    };
    let payload = bytes.slice(9 + usize::from(head[8])..);
    let Open {
        random_access,
        clock,
        ..
    } = Open {
        bytes: BytesMut::new(),
        ..open
    };
    Some(Pes {
        pid: stream.pid,
        stream_type: stream.kind,
        pts,
        dts,
        random_access,
        clock,
        payload,
    })
}

fn time(bytes: [u8; 5]) -> u64 {
    // 3, 15 and 15 bits, with a marker bit after each.
    let all = bytes
        .iter()
        .fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    (all >> 33 & 7) << 30 | (all >> 17 & 0x7fff) << 15 | all >> 1 & 0x7fff
}

/// The NAL units of an access unit in annex B form, without their start codes.
pub fn nal_units(payload: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = payload
        .windows(3)
        .enumerate()
        .filter(|(_, code)| *code == [0, 0, 1])
        .map(|(at, _)| at + 3)
        .collect();
    let ends = starts
        .iter()
        .skip(1)
        .map(|start| start - 3)
        .chain([payload.len()]);
    let trim = |nal: &'_ [u8]| {
        nal.iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1)
    };
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &payload[*start..end])
        .map(|nal| &nal[..trim(nal)])
        .collect()
}

/// The raw frames of a run of ADTS frames; ends at the first byte that is not one.
pub fn adts_frames(payload: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    let mut rest = payload;
    while let Some(head) = rest.first_chunk::<7>() {
        let length =
            usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5);
        let header = if head[1] & 1 == 0 { 9 } else { 7 };
        if head[0] != 0xff || head[1] & 0xf6 != 0xf0 || length < header {
            break;
        }
        let Some((frame, tail)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push(&frame[header..]);
        rest = tail;
    }
    frames
}
