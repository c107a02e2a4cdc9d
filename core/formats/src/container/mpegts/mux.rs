//! Access units, written as transport stream packets that can be sent at once.
//!
//! In → Out: access units of one picture and one sound track → whole packets; nothing is held back.
//! Each picture is one PES packet, flushed with it, and says its length whenever 16 bits can, so that a player need not
//! wait for the next one. Continuity counters go on from segment to segment; program tables open each segment.
//!
//! Spec: ISO/IEC 13818-1 2.4.3 (packets, PES), 2.4.4 (tables); ISO/IEC 14496-10 annex B; 14496-3 1.A.2 (ADTS).

#![expect(
    clippy::cast_possible_truncation,
    reason = "fields are cut out of wider numbers, bit by bit"
)]

use bytes::Bytes;
use media::{Rounding, Timescale, Timestamp, Track, TrackConfig, TrackKind};

use super::crc::crc32;

/// Bytes of a packet.
pub const PACKET: usize = 188;

/// One access unit: H.264 with four-byte lengths, or a raw AAC frame.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// Sound or picture.
    pub kind: TrackKind,
    /// When it is shown or heard; not negative.
    pub pts: Timestamp,
    /// When it is decoded; not negative.
    pub dts: Timestamp,
    /// Whether a decoder can start here.
    pub random_access: bool,
    /// The data.
    pub payload: &'a [u8],
}

/// Writes one programme. Keep it for all segments of an epoch (or for longer, with [`Mux::set_tracks`]).
#[derive(Debug, Default)]
pub struct Mux {
    parameter_sets: Option<Vec<Bytes>>,
    adts: Option<Adts>,
    counters: Counters,
    tables_due: bool,
    scratch: Vec<u8>,
}

#[derive(Debug, Default)]
struct Counters {
    pat: u8,
    pmt: u8,
    video: u8,
    audio: u8,
}

/// The parts of an ADTS header that do not change.
#[derive(Clone, Copy, Debug)]
struct Adts {
    profile: u8,
    frequency_index: u8,
    channels: u8,
}

impl Mux {
    /// A writer of these tracks (at most one of each kind is taken).
    pub fn new(tracks: &[Track]) -> Self {
        let mut mux = Self::default();
        mux.set_tracks(tracks);
        mux
    }

    /// Other tracks from here on; counters go on.
    pub fn set_tracks(&mut self, tracks: &[Track]) {
        self.parameter_sets = None;
        self.adts = None;
        self.tables_due = true;
        for track in tracks {
            match &track.config {
                TrackConfig::Video(video) => {
                    self.parameter_sets = Some(parameter_sets(&video.decoder_config));
                }
                TrackConfig::Audio(audio) => self.adts = Adts::from_config(&audio.decoder_config),
            }
        }
    }

    /// The next unit opens a segment: program tables go before it.
    pub fn start_segment(&mut self) {
        self.tables_due = true;
    }

    /// Writes units in the given order. Sounds that follow one another share a PES packet.
    pub fn write(&mut self, units: &[Unit<'_>]) -> Bytes {
        let payload: usize = units.iter().map(|unit| unit.payload.len()).sum();
        let mut out = Vec::with_capacity((payload / 184 + units.len() * 2 + 3) * PACKET);
        if std::mem::take(&mut self.tables_due) {
            self.put_tables(&mut out);
        }
        for run in units
            .chunk_by(|left, right| left.kind == TrackKind::Audio && right.kind == TrackKind::Audio)
        {
            match run[0].kind {
                TrackKind::Video => self.put_picture(&mut out, &run[0]),
                TrackKind::Audio => {
                    // A PES length has 16 bits: many sounds in one chunk take several PES packets.
                    for run in run.chunks(SOUNDS_PER_PES) {
                        self.put_sounds(&mut out, run);
                    }
                }
            }
        }
        Bytes::from(out)
    }

    fn put_tables(&mut self, out: &mut Vec<u8>) {
        let mut pat = Vec::with_capacity(16);
        pat.extend_from_slice(&[0, 1, 0xe0 | (PMT_PID >> 8) as u8, PMT_PID as u8]);
        put_section(out, 0, 0, &pat, &mut self.counters.pat);
        let clock = if self.parameter_sets.is_some() {
            VIDEO_PID
        } else {
            AUDIO_PID
        };
        let mut pmt = vec![0xe0 | (clock >> 8) as u8, clock as u8, 0xf0, 0];
        let streams = [
            (self.parameter_sets.is_some(), 0x1b, VIDEO_PID),
            (self.adts.is_some(), 0x0f, AUDIO_PID),
        ];
        for (_, stream_type, pid) in streams.into_iter().filter(|(present, ..)| *present) {
            pmt.extend_from_slice(&[stream_type, 0xe0 | (pid >> 8) as u8, pid as u8, 0xf0, 0]);
        }
        put_section(out, PMT_PID, 2, &pmt, &mut self.counters.pmt);
    }

    fn put_picture(&mut self, out: &mut Vec<u8>, unit: &Unit<'_>) {
        let Some(parameter_sets) = &self.parameter_sets else {
            return;
        };
        let mut pes = std::mem::take(&mut self.scratch);
        pes.clear();
        put_pes_header(&mut pes, 0xe0, unit.pts, Some(unit.dts));
        put_annex_b(&mut pes, unit, parameter_sets);
        set_pes_length(&mut pes);
        let first = Adaptation {
            clock: Some(unit.dts),
            random_access: unit.random_access,
        };
        put_packets(out, VIDEO_PID, &pes, first, &mut self.counters.video);
        self.scratch = pes;
    }

    fn put_sounds(&mut self, out: &mut Vec<u8>, units: &[Unit<'_>]) {
        let Some(adts) = self.adts else { return };
        let mut pes = std::mem::take(&mut self.scratch);
        pes.clear();
        put_pes_header(&mut pes, 0xc0, units[0].pts, None);
        for unit in units {
            adts.put_frame(&mut pes, unit.payload);
        }
        set_pes_length(&mut pes);
        let clock = self.parameter_sets.is_none().then_some(units[0].dts);
        put_packets(
            out,
            AUDIO_PID,
            &pes,
            Adaptation {
                clock,
                random_access: true,
            },
            &mut self.counters.audio,
        );
        self.scratch = pes;
    }
}

/// Where the program map is.
const PMT_PID: u16 = 0x1000;
/// Where pictures are.
const VIDEO_PID: u16 = 0x100;
/// Where sound is.
const AUDIO_PID: u16 = 0x101;
/// At 8,191 bytes a frame, the most that ADTS can say, seven frames fit into one PES packet.
const SOUNDS_PER_PES: usize = 7;
/// Media time 0 is this far into the stream, so that the clock before it is not negative.
pub(super) const BASE: u64 = 90_000;
/// How far the clock is behind the decode time: what a receiver may buffer.
const CLOCK_LAG: u64 = 9_000;
const TIME_MASK: u64 = (1 << 33) - 1;

impl Adts {
    /// From an AudioSpecificConfig. `None` if it says something that ADTS cannot: an odd frequency, more than seven channels.
    fn from_config(config: &[u8]) -> Option<Self> {
        let (first, second) = (*config.first()?, *config.get(1)?);
        let object_type = first >> 3;
        let frequency_index = (first & 7) << 1 | second >> 7;
        let channels = second >> 3 & 0xf;
        // 5 and 29 are AAC LC below with a band replicated on top, which decoders find by themselves.
        let core = if object_type == 5 || object_type == 29 {
            2
        } else {
            object_type
        };
        if !(1..=4).contains(&core) || frequency_index > 12 || channels > 7 {
            return None;
        }
        Some(Self {
            profile: core - 1,
            frequency_index,
            channels,
        })
    }

    /// A frame too long for its header's 13 bits is left out.
    fn put_frame(self, out: &mut Vec<u8>, frame: &[u8]) {
        let Some(length) = u16::try_from(frame.len() + 7)
            .ok()
            .filter(|length| *length < 1 << 13)
        else {
            return;
        };
        out.extend_from_slice(&[
            0xff,
            0xf1,
            self.profile << 6 | self.frequency_index << 2 | self.channels >> 2,
            self.channels << 6 | (length >> 11) as u8,
            (length >> 3) as u8,
            (length << 5) as u8 | 0x1f,
            0xfc,
        ]);
        out.extend_from_slice(frame);
    }
}

/// The sequence and picture parameter sets of an `avcC`; those before the first error.
fn parameter_sets(avcc: &Bytes) -> Vec<Bytes> {
    fn read(avcc: &Bytes, at: &mut usize, count: u8, sets: &mut Vec<Bytes>) -> Option<()> {
        for _ in 0..count {
            let length = usize::from(u16::from_be_bytes(avcc.get(*at..*at + 2)?.try_into().ok()?));
            let end = *at + 2 + length;
            avcc.get(*at + 2..end)?;
            sets.push(avcc.slice(*at + 2..end));
            *at = end;
        }
        Some(())
    }
    let mut sets = Vec::new();
    let mut at = 6;
    let sequence = avcc.get(5).map_or(0, |byte| byte & 0x1f);
    if read(avcc, &mut at, sequence, &mut sets).is_some() {
        let picture = avcc.get(at).copied().unwrap_or(0);
        at += 1;
        let _ = read(avcc, &mut at, picture, &mut sets);
    }
    sets
}

/// The NAL units of an access unit with four-byte lengths; ends at the first length that does not fit.
fn nal_units(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (nal, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = tail;
        Some(nal)
    })
}

fn put_annex_b(out: &mut Vec<u8>, unit: &Unit<'_>, parameter_sets: &[Bytes]) {
    const START: [u8; 4] = [0, 0, 0, 1];
    let kind = |nal: &[u8]| nal.first().map_or(0, |byte| byte & 0x1f);
    // An access unit delimiter that allows any kind of slice; players find the end of the picture before by it.
    out.extend_from_slice(&[0, 0, 0, 1, 9, 0xf0]);
    if unit.random_access && !nal_units(unit.payload).any(|nal| kind(nal) == 7) {
        for set in parameter_sets {
            out.extend_from_slice(&START);
            out.extend_from_slice(set);
        }
    }
    for nal in nal_units(unit.payload).filter(|nal| kind(nal) != 9 && !nal.is_empty()) {
        out.extend_from_slice(&START);
        out.extend_from_slice(nal);
    }
}

/// 90 kHz ticks from the stream's base, not yet wrapped.
fn ticks(time: Timestamp) -> u64 {
    BASE.saturating_add(
        u64::try_from(time.to_ticks(Timescale::MPEG, Rounding::Nearest)).unwrap_or(0),
    )
}

fn put_pes_header(out: &mut Vec<u8>, stream_id: u8, pts: Timestamp, dts: Option<Timestamp>) {
    let pts = ticks(pts) & TIME_MASK;
    let dts = dts
        .map(|dts| ticks(dts) & TIME_MASK)
        .filter(|dts| *dts != pts);
    let (flags, length) = if dts.is_some() { (0xc0, 10) } else { (0x80, 5) };
    // The length of the packet is filled in later. "Data alignment": each PES packet begins with an access unit.
    out.extend_from_slice(&[0, 0, 1, stream_id, 0, 0, 0x84, flags, length]);
    put_time(out, if dts.is_some() { 3 } else { 2 }, pts);
    if let Some(dts) = dts {
        put_time(out, 1, dts);
    }
}

fn put_time(out: &mut Vec<u8>, prefix: u8, ticks: u64) {
    out.extend_from_slice(&[
        prefix << 4 | (ticks >> 29 & 0xe) as u8 | 1,
        (ticks >> 22) as u8,
        (ticks >> 14) as u8 | 1,
        (ticks >> 7) as u8,
        (ticks << 1) as u8 | 1,
    ]);
}

/// States the length where 16 bits can; 0 means "until the next begins", which is allowed for pictures only.
fn set_pes_length(pes: &mut [u8]) {
    let length = u16::try_from(pes.len() - 6).unwrap_or(0);
    pes[4..6].copy_from_slice(&length.to_be_bytes());
}

/// What the first packet of a PES packet says beside its data.
#[derive(Clone, Copy, Default)]
struct Adaptation {
    clock: Option<Timestamp>,
    random_access: bool,
}

fn put_packets(out: &mut Vec<u8>, pid: u16, pes: &[u8], first: Adaptation, counter: &mut u8) {
    let mut rest = pes;
    let mut adaptation = first;
    let mut start = 0x40;
    while !rest.is_empty() {
        let mut fields: Vec<u8> = Vec::new();
        if adaptation.clock.is_some() || adaptation.random_access {
            let clock = adaptation
                .clock
                .map(|dts| (ticks(dts) - CLOCK_LAG) & TIME_MASK);
            fields.push(
                if adaptation.random_access { 0x40 } else { 0 }
                    | if clock.is_some() { 0x10 } else { 0 },
            );
            if let Some(base) = clock {
                let low = (base & 1) as u8;
                fields.extend_from_slice(&[
                    (base >> 25) as u8,
                    (base >> 17) as u8,
                    (base >> 9) as u8,
                    (base >> 1) as u8,
                ]);
                fields.extend_from_slice(&[low << 7 | 0x7e, 0]);
            }
        }
        // A length byte, the fields, and stuffing so that the data ends with the packet.
        let mut head = if fields.is_empty() {
            0
        } else {
            1 + fields.len()
        };
        let room = PACKET - 4 - head;
        let stuffing = room.saturating_sub(rest.len());
        let taken = rest.len().min(room);
        let control = if head + stuffing > 0 { 0x30 } else { 0x10 };
        out.extend_from_slice(&[
            0x47,
            start | (pid >> 8) as u8,
            pid as u8,
            control | *counter,
        ]);
        *counter = (*counter + 1) & 0xf;
        head += stuffing;
        if head > 0 {
            out.push((head - 1) as u8);
            if fields.is_empty() && head > 1 {
                fields.push(0);
            }
            out.extend_from_slice(&fields);
            out.resize(out.len() + (head - 1).saturating_sub(fields.len()), 0xff);
        }
        out.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
        adaptation = Adaptation::default();
        start = 0;
    }
}

/// A program table that fits into one packet.
fn put_section(out: &mut Vec<u8>, pid: u16, table: u8, body: &[u8], counter: &mut u8) {
    let length = (body.len() + 9) as u8;
    out.extend_from_slice(&[0x47, 0x40 | (pid >> 8) as u8, pid as u8, 0x10 | *counter, 0]);
    *counter = (*counter + 1) & 0xf;
    let start = out.len();
    // Stream or programme 1, version 0, valid now, section 0 of 0.
    out.extend_from_slice(&[table, 0xb0, length, 0, 1, 0xc1, 0, 0]);
    out.extend_from_slice(body);
    let crc = crc32(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out.resize(start + PACKET - 5, 0xff);
}
