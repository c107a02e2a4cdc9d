//! Init sections and chunks, read: whatever pieces of bytes come in, samples come out.
//!
//! In → Out: bytes of a growing (or whole) object → [`Item`]s: tracks, producer times, samples, ends of chunks.
//! Reads what [`super::mux`] writes and what ffmpeg writes. Bounded: a box that is not needed is skipped without being
//! held, one that is needed may be as large as [`Limits`] says, and nothing is allocated by a declared count alone.
//!
//! Spec: ISO/IEC 14496-12, "Object-structured File Organization", "Movie Fragment Box", "Track Fragment Run Box".

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use media::{Timescale, TrackId, TrackKind, UnixTime};

use super::mux::{ProducerTime, SAMPLE_IS_NON_SYNC};

/// Why bytes cannot be read. Nothing more comes out of a demuxer that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DemuxError {
    /// A box whose size is impossible, or that ends before its fields do.
    #[error("box at byte {offset} is malformed")]
    Malformed {
        /// Where the top-level box begins.
        offset: u64,
    },
    /// A box larger than the limit for its kind.
    #[error("box at byte {offset} is larger than allowed")]
    TooLarge {
        /// Where the top-level box begins.
        offset: u64,
    },
    /// A fragment of a track that no init section announced.
    #[error("fragment at byte {offset} names unknown track {}", track.0)]
    UnknownTrack {
        /// Where the `moof` begins.
        offset: u64,
        /// The number.
        track: TrackId,
    },
    /// Sample data outside the `mdat` that follows the fragment.
    #[error("fragment before byte {offset} points outside its data")]
    DataOutside {
        /// Where the `mdat` begins.
        offset: u64,
    },
    /// The bytes ended inside a box or between `moof` and `mdat`.
    #[error("ends in the middle of a chunk")]
    Truncated,
}

/// How much a demuxer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one `moov` or `moof`.
    pub header: usize,
    /// Bytes of one `mdat`.
    pub data: usize,
    /// Samples of one `moof`.
    pub samples: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header: 1 << 20,
            data: 32 << 20,
            samples: 16_384,
        }
    }
}

/// What an init section says of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackInfo {
    /// Its number.
    pub id: TrackId,
    /// Sound or picture.
    pub kind: TrackKind,
    /// The clock of its ticks.
    pub timescale: Timescale,
    /// Sample entry, such as `avc1` or `mp4a`.
    pub sample_entry: [u8; 4],
    /// `avcC` content or AudioSpecificConfig; empty for other sample entries.
    pub decoder_config: Bytes,
    defaults: Defaults,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

/// One sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its track.
    pub track: TrackId,
    /// Decode time in ticks of the track's timescale.
    pub dts: u64,
    /// Composition time minus decode time, in ticks.
    pub composition_offset: i32,
    /// In ticks.
    pub duration: u32,
    /// Whether a decoder can start here.
    pub sync: bool,
    /// The data.
    pub payload: Bytes,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An init section: the tracks from here on.
    Init(Vec<TrackInfo>),
    /// When a moment of a track happened.
    ProducerTime(ProducerTime),
    /// A sample; those of one chunk come by track, in decode order.
    Sample(Sample),
    /// All samples of a chunk have come out.
    ChunkEnd,
}

/// Reads one object, or an init section followed by any number of media objects.
#[derive(Debug, Default)]
pub struct Demuxer {
    limits: Limits,
    buffer: BytesMut,
    /// Bytes of a box nobody needs that are still to come.
    skip: u64,
    offset: u64,
    tracks: Vec<TrackInfo>,
    pending: Option<Fragment>,
    items: VecDeque<Item>,
    failed: Option<DemuxError>,
}

/// A `moof` whose `mdat` has not come.
#[derive(Debug)]
struct Fragment {
    samples: Vec<(u64, u32, Sample)>,
}

impl Demuxer {
    /// A demuxer with the given bounds.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes the next bytes, in pieces of any size. After an error every call returns the same error.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), DemuxError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.buffer.extend_from_slice(bytes);
        loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    self.failed = Some(error);
                    self.buffer = BytesMut::new();
                    return Err(error);
                }
            }
        }
    }

    /// The next item.
    pub fn poll_item(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// Says that no more bytes come: an object ends between chunks.
    pub fn finish(self) -> Result<(), DemuxError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.buffer.is_empty() && self.skip == 0 && self.pending.is_none() => Ok(()),
            None => Err(DemuxError::Truncated),
        }
    }

    /// Whether anything was done; `false` means that more bytes are needed.
    fn step(&mut self) -> Result<bool, DemuxError> {
        if self.skip > 0 {
            let available = usize::try_from(self.skip)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            self.buffer.advance(available);
            self.skip -= available as u64;
            self.offset += available as u64;
            return Ok(available > 0);
        }
        let malformed = DemuxError::Malformed {
            offset: self.offset,
        };
        let Some(header) = BoxHeader::parse(&self.buffer).map_err(|()| malformed)? else {
            return Ok(false);
        };
        let limit = match &header.kind {
            b"moov" | b"moof" | b"prft" => self.limits.header,
            b"mdat" if self.pending.is_some() => self.limits.data,
            _ => {
                self.skip = header.size;
                return Ok(true);
            }
        };
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        if size - header.length > limit {
            return Err(DemuxError::TooLarge {
                offset: self.offset,
            });
        }
        if self.buffer.len() < size {
            self.buffer.reserve(size.min(64 << 10));
            return Ok(false);
        }
        let offset = self.offset;
        let mut body = self.buffer.split_to(size).freeze();
        body.advance(header.length);
        self.offset += size as u64;
        self.handle_box(header, &body, offset)?;
        Ok(true)
    }

    fn handle_box(
        &mut self,
        header: BoxHeader,
        body: &Bytes,
        offset: u64,
    ) -> Result<(), DemuxError> {
        let malformed = DemuxError::Malformed { offset };
        match &header.kind {
            b"moov" => {
                self.tracks = parse_movie(body).ok_or(malformed)?;
                self.items.push_back(Item::Init(self.tracks.clone()));
            }
            b"prft" => self.items.push_back(Item::ProducerTime(
                parse_producer_time(body).ok_or(malformed)?,
            )),
            b"moof" => {
                self.pending = Some(self.parse_fragment(body, offset)?);
            }
            _ => self.release(body, offset, offset + header.length as u64)?,
        }
        Ok(())
    }

    /// Cuts an `mdat` into the samples that the fragment before it named.
    fn release(&mut self, data: &Bytes, offset: u64, data_start: u64) -> Result<(), DemuxError> {
        let Some(fragment) = self.pending.take() else {
            return Ok(());
        };
        for (at, size, mut sample) in fragment.samples {
            let start = at
                .checked_sub(data_start)
                .and_then(|start| usize::try_from(start).ok());
            let range = start.and_then(|start| Some(start..start.checked_add(size as usize)?));
            let range = range
                .filter(|range| range.end <= data.len())
                .ok_or(DemuxError::DataOutside { offset })?;
            sample.payload = data.slice(range);
            self.items.push_back(Item::Sample(sample));
        }
        self.items.push_back(Item::ChunkEnd);
        Ok(())
    }

    fn parse_fragment(&self, body: &[u8], offset: u64) -> Result<Fragment, DemuxError> {
        let malformed = DemuxError::Malformed { offset };
        let mut fragment = Fragment {
            samples: Vec::new(),
        };
        for child in Boxes(body) {
            let (kind, traf) = child.ok_or(malformed)?;
            if &kind != b"traf" {
                continue;
            }
            let header = Boxes(traf)
                .flatten()
                .find(|(kind, _)| kind == b"tfhd")
                .ok_or(malformed)?;
            let header = FragmentHeader::parse(header.1).ok_or(malformed)?;
            let track = self.tracks.iter().find(|track| track.id == header.track);
            let track = track.ok_or(DemuxError::UnknownTrack {
                offset,
                track: header.track,
            })?;
            let mut run = RunReader {
                track: track.id,
                defaults: header.over(track.defaults),
                base: header.base_data_offset.unwrap_or(offset),
                dts: 0,
                samples_max: self.limits.samples,
            };
            for child in Boxes(traf) {
                match child.ok_or(malformed)? {
                    (kind, body) if &kind == b"tfdt" => {
                        run.dts = parse_decode_time(body).ok_or(malformed)?;
                    }
                    (kind, body) if &kind == b"trun" => {
                        run.read(body, &mut fragment).ok_or(malformed)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(fragment)
    }
}

#[derive(Clone, Copy)]
struct BoxHeader {
    kind: [u8; 4],
    /// Of the whole box.
    size: u64,
    /// Of the header alone.
    length: usize,
}

impl BoxHeader {
    /// `Ok(None)`: more bytes are needed.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, ()> {
        let mut reader = Reader(bytes);
        let (Some(short), Some(kind)) = (reader.u32(), reader.array()) else {
            return Ok(None);
        };
        let (size, length) = match short {
            1 => match reader.u64() {
                Some(size) => (size, 16),
                None => return Ok(None),
            },
            size => (u64::from(size), 8),
        };
        // Size 0 means "to the end of the file", which a growing object does not have.
        if size < length as u64 {
            Err(())
        } else {
            Ok(Some(Self { kind, size, length }))
        }
    }
}

/// The boxes inside a box. Yields `None` once for a malformed one, and then ends.
struct Boxes<'a>(&'a [u8]);

impl<'a> Iterator for Boxes<'a> {
    type Item = Option<([u8; 4], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let parsed = BoxHeader::parse(self.0).ok().flatten().and_then(|header| {
            let size = usize::try_from(header.size)
                .ok()
                .filter(|size| *size <= self.0.len())?;
            let (this, rest) = self.0.split_at(size);
            self.0 = rest;
            Some((header.kind, &this[header.length..]))
        });
        if parsed.is_none() {
            self.0 = &[];
        }
        Some(parsed)
    }
}

fn child(body: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    Boxes(body)
        .flatten()
        .find(|(kind, _)| *kind == wanted)
        .map(|(_, body)| body)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A field that is 64 bits wide in version 1 and 32 in version 0.
    fn wide(&mut self, version: u32) -> Option<u64> {
        if version == 1 {
            self.u64()
        } else {
            self.u32().map(u64::from)
        }
    }

    fn version_and_flags(&mut self) -> Option<(u32, u32)> {
        let word = self.u32()?;
        Some((word >> 24, word & 0xff_ffff))
    }
}

fn parse_producer_time(body: &[u8]) -> Option<ProducerTime> {
    let mut reader = Reader(body);
    let (version, _) = reader.version_and_flags()?;
    let track = TrackId(reader.u32()?);
    let wall = UnixTime::from_ntp(reader.u64()?);
    Some(ProducerTime {
        track,
        media_time: reader.wide(version)?,
        wall,
    })
}

fn parse_movie(body: &[u8]) -> Option<Vec<TrackInfo>> {
    let mut tracks = Vec::new();
    for (kind, trak) in Boxes(body).flatten() {
        if &kind == b"trak" && tracks.len() < TRACKS_MAX {
            tracks.extend(parse_track(trak)?);
        }
    }
    let extends = child(body, *b"mvex").unwrap_or_default();
    for (_, body) in Boxes(extends).flatten().filter(|(kind, _)| kind == b"trex") {
        let mut reader = Reader(body);
        reader.version_and_flags()?;
        let id = TrackId(reader.u32()?);
        reader.u32()?;
        let defaults = Defaults {
            duration: reader.u32()?,
            size: reader.u32()?,
            flags: reader.u32()?,
        };
        for track in tracks.iter_mut().filter(|track| track.id == id) {
            track.defaults = defaults;
        }
    }
    Some(tracks)
}

const TRACKS_MAX: usize = 16;

/// `Some(None)`: a track that is neither sound nor picture.
#[expect(
    clippy::option_option,
    reason = "malformed and uninteresting are two things"
)]
fn parse_track(trak: &[u8]) -> Option<Option<TrackInfo>> {
    let mut header = Reader(child(trak, *b"tkhd")?);
    let (version, _) = header.version_and_flags()?;
    header.take(if version == 1 { 16 } else { 8 })?;
    let id = TrackId(header.u32()?);
    let mdia = child(trak, *b"mdia")?;
    let mut header = Reader(child(mdia, *b"mdhd")?);
    let (version, _) = header.version_and_flags()?;
    header.take(if version == 1 { 16 } else { 8 })?;
    let timescale = Timescale::new(header.u32()?)?;
    let kind = match child(mdia, *b"hdlr")?.get(8..12)? {
        b"vide" => TrackKind::Video,
        b"soun" => TrackKind::Audio,
        _ => return Some(None),
    };
    let table = child(child(mdia, *b"minf")?, *b"stbl")?;
    let (sample_entry, entry) = Boxes(child(table, *b"stsd")?.get(8..)?).next()??;
    let config = match (&sample_entry, kind) {
        (b"avc1" | b"avc3", _) => child(entry.get(78..)?, *b"avcC")?,
        (b"mp4a", _) => parse_es_descriptor(child(entry.get(28..)?, *b"esds")?.get(4..)?)?,
        _ => &[],
    };
    let decoder_config = Bytes::copy_from_slice(config);
    Some(Some(TrackInfo {
        id,
        kind,
        timescale,
        sample_entry,
        decoder_config,
        defaults: Defaults::default(),
    }))
}

/// Finds the AudioSpecificConfig.
fn parse_es_descriptor(bytes: &[u8]) -> Option<&[u8]> {
    let stream = descriptor(bytes, 3)?;
    let flags = *stream.get(2)?;
    // Depends-on id, URL and OCR id stand between the flags and the first inner descriptor.
    let skip = 3 + if flags & 0x80 != 0 { 2 } else { 0 } + if flags & 0x20 != 0 { 2 } else { 0 };
    let decoder = descriptor(stream.get(skip..)?, 4)?;
    Some(descriptor(decoder.get(13..)?, 5).unwrap_or_default())
}

fn descriptor(bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut reader = Reader(bytes);
    loop {
        let tag = reader.u8()?;
        let mut size = 0_usize;
        for _ in 0..4 {
            let byte = reader.u8()?;
            size = size << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let body = reader.take(size)?;
        if tag == wanted {
            return Some(body);
        }
    }
}

fn parse_decode_time(body: &[u8]) -> Option<u64> {
    let mut reader = Reader(body);
    let (version, _) = reader.version_and_flags()?;
    reader.wide(version)
}

struct FragmentHeader {
    track: TrackId,
    base_data_offset: Option<u64>,
    duration: Option<u32>,
    size: Option<u32>,
    flags: Option<u32>,
}

impl FragmentHeader {
    fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let (_, flags) = reader.version_and_flags()?;
        let track = TrackId(reader.u32()?);
        let base_data_offset = if flags & 1 != 0 {
            Some(reader.u64()?)
        } else {
            None
        };
        if flags & 2 != 0 {
            reader.u32()?;
        }
        let duration = if flags & 8 != 0 {
            Some(reader.u32()?)
        } else {
            None
        };
        let size = if flags & 0x10 != 0 {
            Some(reader.u32()?)
        } else {
            None
        };
        let flags = if flags & 0x20 != 0 {
            Some(reader.u32()?)
        } else {
            None
        };
        Some(Self {
            track,
            base_data_offset,
            duration,
            size,
            flags,
        })
    }

    fn over(&self, defaults: Defaults) -> Defaults {
        Defaults {
            duration: self.duration.unwrap_or(defaults.duration),
            size: self.size.unwrap_or(defaults.size),
            flags: self.flags.unwrap_or(defaults.flags),
        }
    }
}

/// Where the next run of a track fragment stands.
struct RunReader {
    track: TrackId,
    defaults: Defaults,
    base: u64,
    dts: u64,
    samples_max: usize,
}

impl RunReader {
    fn read(&mut self, body: &[u8], fragment: &mut Fragment) -> Option<()> {
        let mut reader = Reader(body);
        let (_, flags) = reader.version_and_flags()?;
        let count = reader.u32()?;
        let mut at = self.base;
        if flags & 1 != 0 {
            let relative = reader.u32()?.cast_signed();
            at = self.base.checked_add_signed(i64::from(relative))?;
        } else if let Some((last, size, _)) = fragment.samples.last() {
            at = last.checked_add(u64::from(*size))?;
        }
        let mut first_flags = if flags & 4 != 0 {
            Some(reader.u32()?)
        } else {
            None
        };
        for _ in 0..count {
            if fragment.samples.len() >= self.samples_max {
                return None;
            }
            let duration = if flags & 0x100 != 0 {
                reader.u32()?
            } else {
                self.defaults.duration
            };
            let size = if flags & 0x200 != 0 {
                reader.u32()?
            } else {
                self.defaults.size
            };
            let stated = if flags & 0x400 != 0 {
                Some(reader.u32()?)
            } else {
                None
            };
            // Version 0 says "unsigned", but writers put negative values there as well, and nobody means 2³¹.
            let composition_offset = if flags & 0x800 != 0 {
                reader.u32()?.cast_signed()
            } else {
                0
            };
            let sample_flags = first_flags.take().or(stated).unwrap_or(self.defaults.flags);
            let sample = Sample {
                track: self.track,
                dts: self.dts,
                composition_offset,
                duration,
                sync: sample_flags & SAMPLE_IS_NON_SYNC == 0,
                payload: Bytes::new(),
            };
            fragment.samples.push((at, size, sample));
            at = at.checked_add(u64::from(size))?;
            self.dts = self.dts.checked_add(u64::from(duration))?;
        }
        Some(())
    }
}
