//! Reads growing fMP4 as it arrives: init sections whole, segments chunk by chunk, without keeping media bytes.
//!
//! In → Out: bytes in any pieces → [`Init`] and [`Chunk`]s, or the box that is wrong.
//! This shares no code with the packager on purpose: a mistake made by both would not be seen.
//! Spec: ISO/IEC 14496-12, "Movie Fragment Box", "Track Fragment Run Box", "Producer Reference Time Box"; ISO/IEC 23000-19, "chunk".

use std::collections::VecDeque;

use media::UnixTime;

/// The longest `moof` or `moov` that is read; a chunk of a few access units needs a few hundred bytes.
const BOX_MAX: usize = 1 << 20;

/// Samples in one run; a chunk of a second of sound has fifty.
const SAMPLES_MAX: u32 = 100_000;

/// Why bytes are not a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoxError {
    /// A box says that it is shorter than its header, or longer than is sane.
    #[error("box {kind} has the impossible length {length}")]
    Length {
        /// Its four letters.
        kind: String,
        /// What it says.
        length: u64,
    },
    /// A box ends before its fields do, or lacks a part that it must have.
    #[error("box {0} is cut short or lacks a part")]
    Content(&'static str),
    /// `mdat` without `moof` before it, or two `moof`s in a row.
    #[error("{0} is out of order")]
    Order(&'static str),
    /// Sample sizes and offsets do not describe `mdat`.
    #[error("samples describe {described} bytes but mdat has {present}")]
    Sizes {
        /// From the runs.
        described: u64,
        /// In the box.
        present: u64,
    },
    /// The body ended inside of a box or before the first chunk.
    #[error("the body ends inside of a chunk")]
    Torn,
}

/// A track as the init section tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitTrack {
    /// Track id.
    pub id: u32,
    /// Ticks a second.
    pub timescale: u32,
    /// Whether it is picture.
    pub video: bool,
    defaults: Defaults,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

/// An init section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Init {
    /// Its tracks.
    pub tracks: Vec<InitTrack>,
    /// Whether players may take it for live: no movie duration, no `mehd`.
    pub live: bool,
}

/// The wall-clock time at which a media time happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Of which track.
    pub track: u32,
    /// When.
    pub wall: UnixTime,
    /// In the track's ticks.
    pub media_time: u64,
}

/// What a chunk holds of one track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Track id.
    pub track: u32,
    /// Decode time of the first sample, in ticks.
    pub decode_time: u64,
    /// Length of all samples, in ticks.
    pub duration: u64,
    /// Length of the last sample, in ticks.
    pub last_duration: u64,
    /// How many samples.
    pub samples: u32,
    /// Whether the first sample is a sync sample.
    pub sync: bool,
}

/// One chunk, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// `prft`, if one came before it.
    pub stamp: Option<Stamp>,
    /// `mfhd` sequence number.
    pub sequence: u32,
    /// Per track.
    pub runs: Vec<Run>,
    /// Bytes of `prft`, `moof` and `mdat`.
    pub bytes: u64,
    /// Bytes of the samples in it.
    pub payload: u64,
}

/// Splits a segment's body into chunks.
#[derive(Debug, Default)]
pub struct ChunkReader {
    header: Vec<u8>,
    open: Option<OpenBox>,
    stamp: Option<Stamp>,
    moof: Option<(Moof, u64)>,
    bytes: u64,
    chunks: VecDeque<Chunk>,
    failed: bool,
}

#[derive(Debug)]
struct OpenBox {
    kind: [u8; 4],
    header_length: u64,
    length: u64,
    left: u64,
    content: Vec<u8>,
}

impl ChunkReader {
    /// Takes more bytes; after an error, the rest of the body is ignored.
    pub fn push(&mut self, mut bytes: &[u8], init: &Init) -> Result<(), BoxError> {
        while !bytes.is_empty() && !self.failed {
            let step = self.step(&mut bytes, init);
            self.failed = step.is_err();
            step?;
        }
        Ok(())
    }

    /// The next complete chunk.
    pub fn poll(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// The body ended: was that between two chunks?
    pub fn end(&self) -> Result<(), BoxError> {
        if self.failed || (self.header.is_empty() && self.open.is_none() && self.moof.is_none()) {
            Ok(())
        } else {
            Err(BoxError::Torn)
        }
    }

    fn step(&mut self, bytes: &mut &[u8], init: &Init) -> Result<(), BoxError> {
        let Some(open) = &mut self.open else {
            let wanted = if self.header.starts_with(&[0, 0, 0, 1]) {
                16
            } else {
                8
            };
            let take = bytes.len().min(wanted - self.header.len());
            self.header.extend_from_slice(&bytes[..take]);
            *bytes = &bytes[take..];
            return self.open_box();
        };
        let take = usize::try_from(open.left)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        if open.kind != *b"mdat" {
            open.content.extend_from_slice(&bytes[..take]);
        }
        open.left -= take as u64;
        *bytes = &bytes[take..];
        if open.left == 0 {
            self.close_box(init)?;
        }
        Ok(())
    }

    fn open_box(&mut self) -> Result<(), BoxError> {
        let Some((size, kind)) = self.header.split_first_chunk::<4>() else {
            return Ok(());
        };
        let Some(kind) = kind.first_chunk::<4>().copied() else {
            return Ok(());
        };
        let mut length = u64::from(u32::from_be_bytes(*size));
        if length == 1 {
            let Some(large) = self.header.get(8..16).and_then(|b| b.first_chunk::<8>()) else {
                return Ok(());
            };
            length = u64::from_be_bytes(*large);
        }
        let header_length = self.header.len() as u64;
        let sane = kind == *b"mdat" || length <= BOX_MAX as u64;
        if length < header_length || !sane {
            let kind = String::from_utf8_lossy(&kind).into_owned();
            return Err(BoxError::Length { kind, length });
        }
        self.header.clear();
        self.open = Some(OpenBox {
            kind,
            header_length,
            length,
            left: length - header_length,
            content: Vec::new(),
        });
        Ok(())
    }

    fn close_box(&mut self, init: &Init) -> Result<(), BoxError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        self.bytes += open.length;
        match &open.kind {
            b"prft" => self.stamp = Some(stamp(&open.content)?),
            b"moof" => {
                if self.moof.is_some() {
                    return Err(BoxError::Order("moof"));
                }
                self.moof = Some((Moof::parse(&open.content, init)?, open.length));
            }
            b"mdat" => {
                let Some((moof, moof_length)) = self.moof.take() else {
                    return Err(BoxError::Order("mdat"));
                };
                let payload = open.length - open.header_length;
                moof.check(moof_length + open.header_length, payload)?;
                self.chunks.push_back(Chunk {
                    stamp: self.stamp.take(),
                    sequence: moof.sequence,
                    runs: moof.runs,
                    bytes: std::mem::take(&mut self.bytes),
                    payload,
                });
            }
            _ => {}
        }
        Ok(())
    }
}

/// A `moof`, read.
#[derive(Debug)]
struct Moof {
    sequence: u32,
    runs: Vec<Run>,
    /// Where each run's bytes begin, counted from the `moof`, and how many they are.
    spans: Vec<(u64, u64)>,
}

impl Moof {
    fn parse(content: &[u8], init: &Init) -> Result<Self, BoxError> {
        let mut moof = Self {
            sequence: 0,
            runs: Vec::new(),
            spans: Vec::new(),
        };
        for (kind, body) in boxes(content)? {
            match &kind {
                b"mfhd" => moof.sequence = Fields(body, "mfhd").skip(4)?.u32()?,
                b"traf" => moof.track(body, init)?,
                _ => {}
            }
        }
        if moof.runs.is_empty() {
            return Err(BoxError::Content("moof"));
        }
        Ok(moof)
    }

    fn track(&mut self, content: &[u8], init: &Init) -> Result<(), BoxError> {
        let mut head = None;
        let mut decode_time = None;
        for (kind, body) in boxes(content)? {
            match &kind {
                b"tfhd" => head = Some(track_header(body, init)?),
                b"tfdt" => {
                    let mut fields = Fields(body, "tfdt");
                    let version = fields.u32()? >> 24;
                    decode_time = Some(if version == 0 {
                        u64::from(fields.u32()?)
                    } else {
                        fields.u64()?
                    });
                }
                b"trun" => {
                    let (track, defaults) = head.ok_or(BoxError::Order("trun"))?;
                    let begin = decode_time.ok_or(BoxError::Content("traf"))?;
                    let (run, span) = sample_run(body, track, defaults, begin)?;
                    decode_time = Some(begin.saturating_add(run.duration));
                    self.runs.push(run);
                    self.spans.push(span);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Do the runs tile the payload that begins `first` bytes after the start of the `moof`?
    fn check(&self, first: u64, payload: u64) -> Result<(), BoxError> {
        let described: u64 = self.spans.iter().map(|(_, length)| length).sum();
        let mut spans = self.spans.clone();
        spans.sort_unstable();
        let mut at = first;
        for (begin, length) in spans {
            if begin != at {
                return Err(BoxError::Sizes {
                    described: begin.abs_diff(first),
                    present: payload,
                });
            }
            at += length;
        }
        if described == payload {
            Ok(())
        } else {
            Err(BoxError::Sizes {
                described,
                present: payload,
            })
        }
    }
}

fn track_header(body: &[u8], init: &Init) -> Result<(u32, Defaults), BoxError> {
    let mut fields = Fields(body, "tfhd");
    let flags = fields.u32()? & 0x00FF_FFFF;
    let track = fields.u32()?;
    let known = init.tracks.iter().find(|known| known.id == track);
    let mut defaults = known.map(|known| known.defaults).unwrap_or_default();
    if flags & 0x01 != 0 {
        fields.u64()?;
    }
    if flags & 0x02 != 0 {
        fields.u32()?;
    }
    if flags & 0x08 != 0 {
        defaults.duration = fields.u32()?;
    }
    if flags & 0x10 != 0 {
        defaults.size = fields.u32()?;
    }
    if flags & 0x20 != 0 {
        defaults.flags = fields.u32()?;
    }
    // Offsets below are counted from the moof, which CMAF demands to be said.
    if flags & 0x02_0000 == 0 {
        return Err(BoxError::Content("tfhd"));
    }
    Ok((track, defaults))
}

fn sample_run(
    body: &[u8],
    track: u32,
    defaults: Defaults,
    begin: u64,
) -> Result<(Run, (u64, u64)), BoxError> {
    const NOT_SYNC: u32 = 0x0001_0000;
    let mut fields = Fields(body, "trun");
    let flags = fields.u32()? & 0x00FF_FFFF;
    let samples = fields.u32()?;
    if samples > SAMPLES_MAX {
        return Err(BoxError::Content("trun"));
    }
    let offset = if flags & 0x01 == 0 {
        0
    } else {
        u64::from(fields.u32()?)
    };
    let first_flags = if flags & 0x04 == 0 {
        None
    } else {
        Some(fields.u32()?)
    };
    let mut run = Run {
        track,
        decode_time: begin,
        duration: 0,
        last_duration: 0,
        samples,
        sync: false,
    };
    let mut size = 0;
    for sample in 0..samples {
        let has = |flag: u32| flags & flag != 0;
        let duration = if has(0x100) {
            fields.u32()?
        } else {
            defaults.duration
        };
        size += u64::from(if has(0x200) {
            fields.u32()?
        } else {
            defaults.size
        });
        let own = if has(0x400) {
            fields.u32()?
        } else {
            defaults.flags
        };
        if has(0x800) {
            fields.u32()?;
        }
        if sample == 0 {
            run.sync = first_flags.unwrap_or(own) & NOT_SYNC == 0;
        }
        run.last_duration = u64::from(duration);
        run.duration += u64::from(duration);
    }
    Ok((run, (offset, size)))
}

fn stamp(content: &[u8]) -> Result<Stamp, BoxError> {
    const SECONDS_1900_TO_1970: u64 = 2_208_988_800;
    let mut fields = Fields(content, "prft");
    let version = fields.u32()? >> 24;
    let track = fields.u32()?;
    let ntp = fields.u64()?;
    let media_time = if version == 0 {
        u64::from(fields.u32()?)
    } else {
        fields.u64()?
    };
    let seconds = (ntp >> 32).saturating_sub(SECONDS_1900_TO_1970);
    let nanos = ((ntp & 0xFFFF_FFFF) * 1_000_000_000) >> 32;
    let wall = UnixTime::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos));
    Ok(Stamp {
        track,
        wall,
        media_time,
    })
}

impl Init {
    /// Reads a whole init section.
    pub fn parse(bytes: &[u8]) -> Result<Self, BoxError> {
        let mut init = Self {
            tracks: Vec::new(),
            live: true,
        };
        let movie = child(bytes, *b"moov")?.ok_or(BoxError::Content("init section"))?;
        for (kind, body) in boxes(movie)? {
            match &kind {
                b"mvhd" => init.live &= movie_duration(body)? == 0,
                b"trak" => init.tracks.push(track(body)?),
                _ => {}
            }
        }
        let extends = child(movie, *b"mvex")?.ok_or(BoxError::Content("moov"))?;
        for (kind, body) in boxes(extends)? {
            match &kind {
                b"mehd" => init.live = false,
                b"trex" => init.extend(body)?,
                _ => {}
            }
        }
        Ok(init)
    }

    /// The track that leads: picture where there is one.
    pub fn leading(&self) -> Option<&InitTrack> {
        self.tracks
            .iter()
            .find(|track| track.video)
            .or(self.tracks.first())
    }

    fn extend(&mut self, body: &[u8]) -> Result<(), BoxError> {
        let mut fields = Fields(body, "trex");
        let id = fields.skip(4)?.u32()?;
        fields.u32()?;
        let (duration, size, flags) = (fields.u32()?, fields.u32()?, fields.u32()?);
        for track in self.tracks.iter_mut().filter(|track| track.id == id) {
            track.defaults = Defaults {
                duration,
                size,
                flags,
            };
        }
        Ok(())
    }
}

fn movie_duration(body: &[u8]) -> Result<u64, BoxError> {
    let mut fields = Fields(body, "mvhd");
    if fields.u32()? >> 24 == 0 {
        Ok(u64::from(fields.skip(12)?.u32()?))
    } else {
        fields.skip(20)?.u64()
    }
}

fn track(content: &[u8]) -> Result<InitTrack, BoxError> {
    let header = child(content, *b"tkhd")?.ok_or(BoxError::Content("trak"))?;
    let mut fields = Fields(header, "tkhd");
    let skipped = if fields.u32()? >> 24 == 0 { 8 } else { 16 };
    let id = fields.skip(skipped)?.u32()?;
    let media = child(content, *b"mdia")?.ok_or(BoxError::Content("trak"))?;
    let mut fields = Fields(
        child(media, *b"mdhd")?.ok_or(BoxError::Content("mdia"))?,
        "mdhd",
    );
    let skipped = if fields.u32()? >> 24 == 0 { 8 } else { 16 };
    let timescale = fields.skip(skipped)?.u32()?;
    let handler = child(media, *b"hdlr")?.ok_or(BoxError::Content("mdia"))?;
    let video = handler.get(8..12) == Some(b"vide");
    if timescale == 0 {
        return Err(BoxError::Content("mdhd"));
    }
    Ok(InitTrack {
        id,
        timescale,
        video,
        defaults: Defaults::default(),
    })
}

fn child(content: &[u8], wanted: [u8; 4]) -> Result<Option<&[u8]>, BoxError> {
    let found = boxes(content)?
        .into_iter()
        .find(|(kind, _)| *kind == wanted);
    Ok(found.map(|(_, body)| body))
}

/// A box: its four letters and what is inside.
type Boxed<'a> = ([u8; 4], &'a [u8]);

/// The boxes side by side in `content`.
fn boxes(mut content: &[u8]) -> Result<Vec<Boxed<'_>>, BoxError> {
    let mut list = Vec::new();
    while !content.is_empty() {
        let mut fields = Fields(content, "box header");
        let length = fields.u32()? as usize;
        let kind = fields.u32()?.to_be_bytes();
        let body = content.get(8..length).ok_or_else(|| BoxError::Length {
            kind: String::from_utf8_lossy(&kind).into_owned(),
            length: length as u64,
        })?;
        list.push((kind, body));
        content = &content[length..];
    }
    Ok(list)
}

/// Big-endian fields of a box, by name for errors.
struct Fields<'a>(&'a [u8], &'static str);

impl Fields<'_> {
    fn u32(&mut self) -> Result<u32, BoxError> {
        let (value, rest) = self
            .0
            .split_first_chunk::<4>()
            .ok_or(BoxError::Content(self.1))?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*value))
    }

    fn u64(&mut self) -> Result<u64, BoxError> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    fn skip(&mut self, bytes: usize) -> Result<&mut Self, BoxError> {
        self.0 = self.0.get(bytes..).ok_or(BoxError::Content(self.1))?;
        Ok(self)
    }
}
