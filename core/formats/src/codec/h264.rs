//! H.264: parameter sets, NAL units in both framings, random access.
//!
//! In → Out: decoder configuration records and coded pictures as publishers send them → [`VideoConfig`] and payloads with
//! four-byte lengths and no parameter sets inside. A picture that needs no change is passed on without a copy.
//! Spec: ITU-T H.264, 7.3.1 "NAL unit syntax", annex B; ISO/IEC 14496-15, "AVC decoder configuration record".

mod order;
mod sps;

use bytes::{BufMut, Bytes, BytesMut};
use media::{Rotation, VideoCodec, VideoConfig};

use super::bits::{BitReader, OutOfBits};
pub use order::{Order, OrderWatch};
pub use sps::{LENGTH_MAX as SPS_LENGTH_MAX, REFERENCE_FRAMES_MAX, SIDE_MAX, Sps};

/// The largest coded picture that is passed on, in bytes.
pub const UNIT_LENGTH_MAX: usize = 8 * 1024 * 1024;
/// Longer SEI messages are taken out: captions fit easily, megabytes of user data are not for viewers.
pub const SEI_LENGTH_MAX: usize = 64 * 1024;
/// How many sequence (and picture) parameter sets a stream may have in use.
pub const SETS_MAX: usize = 32;

/// Why H.264 cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum H264Error {
    /// The record is not an AVC decoder configuration record.
    #[error("AVC decoder configuration record cannot be read")]
    Record,
    /// An SPS ends early or contradicts itself.
    #[error("SPS cannot be read")]
    SpsCutOff,
    /// A parameter set that no encoder needs.
    #[error("parameter set is too long")]
    ParameterSetTooLong,
    /// More than [`SETS_MAX`] parameter sets.
    #[error("too many parameter sets")]
    TooManySets,
    /// A chroma format that does not exist.
    #[error("chroma format {0} does not exist")]
    ChromaFormat(u32),
    /// A bit depth that does not exist.
    #[error("bit depth does not exist")]
    BitDepth,
    /// More reference frames than the standard allows.
    #[error("{0} reference frames; at most {REFERENCE_FRAMES_MAX} exist")]
    ReferenceFrames(u32),
    /// A side longer than [`SIDE_MAX`].
    #[error("picture is larger than {SIDE_MAX} pixels")]
    PictureTooLarge,
    /// The crop leaves nothing.
    #[error("crop is larger than the picture")]
    Crop,
    /// NAL unit lengths do not add up.
    #[error("NAL units cannot be told apart")]
    Framing,
    /// A coded picture longer than [`UNIT_LENGTH_MAX`].
    #[error("coded picture of {0} bytes is too long")]
    UnitTooLong(usize),
}

impl From<OutOfBits> for H264Error {
    fn from(_: OutOfBits) -> Self {
        Self::SpsCutOff
    }
}

/// What a NAL unit is to us.
mod nal_type {
    pub(super) const SLICE: u8 = 1;
    pub(super) const IDR: u8 = 5;
    pub(super) const SEI: u8 = 6;
    pub(super) const SPS: u8 = 7;
    pub(super) const PPS: u8 = 8;
}

fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1F)
}

/// One coded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// NAL units with four-byte lengths; parameter sets, delimiters, filler and unknown types taken out.
    pub payload: Bytes,
    /// Whether it is an IDR picture.
    pub idr: bool,
    /// Whether it carries a recovery point SEI with recovery count zero: a decoder can start here without an IDR.
    pub recovery_point: bool,
    /// Whether it has B slices.
    pub prediction: Prediction,
    /// Whether it brought parameter sets that differ from those before: [`Stream::config`] is a new one.
    pub config_changed: bool,
}

/// From where a picture is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prediction {
    /// From itself, or from pictures before it.
    Forward,
    /// From two sides: pictures decoded before it may be shown after it.
    Bidirectional,
}

/// The state of one H.264 stream: its parameter sets, and how its NAL units are framed.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    sps: Vec<(u32, Bytes)>,
    pps: Vec<(u32, Bytes)>,
    length_size: LengthSize,
    order: Order,
}

/// How many bytes tell the length of a NAL unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LengthSize(u8);

impl Default for LengthSize {
    fn default() -> Self {
        Self(4)
    }
}

impl Stream {
    /// A stream of which nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a decoder configuration record, or parameter sets in Annex B framing, in place of the sets known so far.
    /// Without any SPS inside, the record only tells the framing. Returns whether the sets changed.
    pub fn handle_record(&mut self, record: &Bytes) -> Result<bool, H264Error> {
        let mut next = Self {
            order: self.order,
            ..Self::default()
        };
        if record.first() == Some(&1) {
            next.read_record(record)?;
        } else {
            for nal in annex_b(record) {
                next.absorb(&record.slice_ref(nal))?;
            }
            if next.sps.is_empty() {
                return Err(H264Error::Record);
            }
        }
        let changed = next.sps != self.sps || next.pps != self.pps;
        *self = next;
        Ok(changed)
    }

    /// Takes what is known of the order of pictures. Where it permits, [`Self::config`] says for parameter sets that are
    /// silent about it that nothing is reordered. Returns whether it is news.
    pub fn set_order(&mut self, order: Order) -> bool {
        std::mem::replace(&mut self.order, order) != order
    }

    /// What a decoder needs; `None` until there is an SPS and a PPS.
    pub fn config(&self) -> Result<Option<VideoConfig>, H264Error> {
        let (Some((_, first)), false) = (self.sps.first(), self.pps.is_empty()) else {
            return Ok(None);
        };
        let sps = Sps::parse(first)?;
        Ok(Some(VideoConfig {
            codec: VideoCodec::H264,
            width: sps.width,
            height: sps.height,
            frame_duration: sps.frame_duration,
            decoder_config: self.write_record(&sps),
            codec_string: sps.codec_string(),
            rotation: Rotation::None,
            reorder_frames: self.order.reorder_frames(&sps),
            scan: sps.scan,
        }))
    }

    /// Takes a coded picture in length-prefixed or Annex B framing. `None` if it holds no picture data.
    /// Parameter sets inside that are not valid are left out; so is what else cannot be used.
    pub fn handle_picture(&mut self, body: &Bytes) -> Result<Option<Picture>, H264Error> {
        if body.len() > UNIT_LENGTH_MAX {
            return Err(H264Error::UnitTooLong(body.len()));
        }
        let (nals, prefixed) = match length_prefixed(body, self.length_size) {
            Some(nals) => (nals, true),
            None if starts_like_annex_b(body) => (annex_b(body).collect(), false),
            None => return Err(H264Error::Framing),
        };
        let mut picture = Picture {
            payload: Bytes::new(),
            idr: false,
            recovery_point: false,
            prediction: Prediction::Forward,
            config_changed: false,
        };
        let mut kept = Vec::with_capacity(nals.len());
        let mut has_slice = false;
        for &nal in &nals {
            match nal_type(nal) {
                nal_type::SLICE..=nal_type::IDR => {
                    has_slice = true;
                    picture.idr |= nal_type(nal) == nal_type::IDR;
                    if is_b_slice(nal) {
                        picture.prediction = Prediction::Bidirectional;
                    }
                }
                nal_type::SEI if nal.len() <= SEI_LENGTH_MAX => {
                    picture.recovery_point |= is_recovery_point(nal);
                }
                nal_type::SPS | nal_type::PPS => {
                    picture.config_changed |= self.absorb(&body.slice_ref(nal)).unwrap_or(false);
                    continue;
                }
                _ => continue,
            }
            kept.push(nal);
        }
        if !has_slice {
            return Ok(None);
        }
        // Empty units count too: they are not among `nals`, and decoders stumble over them.
        let kept_bytes: usize = kept.iter().map(|nal| 4 + nal.len()).sum();
        let untouched = prefixed && self.length_size == LengthSize(4) && kept_bytes == body.len();
        picture.payload = if untouched { body.clone() } else { join(&kept) };
        Ok(Some(picture))
    }

    fn read_record(&mut self, record: &Bytes) -> Result<(), H264Error> {
        let [1, _, _, _, lengths, counts, ..] = record[..] else {
            return Err(H264Error::Record);
        };
        self.length_size = LengthSize((lengths & 3) + 1);
        if self.length_size == LengthSize(3) {
            return Err(H264Error::Record);
        }
        let mut at = 6;
        let mut read_sets = |count: u8, sets: &mut Self| {
            for _ in 0..count {
                let [high, low] = record.get(at..at + 2).ok_or(H264Error::Record)? else {
                    return Err(H264Error::Record);
                };
                let start = at + 2;
                at = start + usize::from(u16::from_be_bytes([*high, *low]));
                if at > record.len() {
                    return Err(H264Error::Record);
                }
                sets.absorb(&record.slice(start..at))?;
            }
            let next = record.get(at).copied();
            at += 1;
            Ok(next)
        };
        let pictures = read_sets(counts & 0x1F, self)?;
        read_sets(pictures.unwrap_or(0), self)?;
        Ok(())
    }

    /// Adds a parameter set, or replaces the one with its number. Returns whether anything changed.
    fn absorb(&mut self, nal: &Bytes) -> Result<bool, H264Error> {
        if nal.len() > SPS_LENGTH_MAX {
            return Err(H264Error::ParameterSetTooLong);
        }
        let (sets, id) = match nal_type(nal) {
            nal_type::SPS => {
                let id = Sps::parse(nal)?.id;
                (&mut self.sps, id)
            }
            nal_type::PPS => {
                // Emulation prevention cannot stand within the first number.
                let id = BitReader::new(nal.get(1..).unwrap_or_default()).ue()?;
                (&mut self.pps, id)
            }
            _ => return Ok(false),
        };
        // A copy: a slice would keep the whole message that the set came in.
        let copy = Bytes::copy_from_slice(nal);
        match sets.iter().position(|(known, _)| *known == id) {
            Some(index) if sets[index].1 == nal => return Ok(false),
            Some(index) => sets[index].1 = copy,
            None if sets.len() >= SETS_MAX => return Err(H264Error::TooManySets),
            None => sets.push((id, copy)),
        }
        Ok(true)
    }

    fn write_record(&self, first: &Sps) -> Bytes {
        let mut record = BytesMut::new();
        record.put_slice(&[1, first.profile, first.constraints, first.level, 0xFC | 3]);
        // The field for the count has five bits; SETS_MAX leaves one set too many for it.
        let sps: Vec<Bytes> = self
            .sps
            .iter()
            .take(31)
            .map(|(_, set)| self.with_hint(set))
            .collect();
        record.put_u8(0xE0 | count(sps.len()));
        for set in &sps {
            put_set(set, &mut record);
        }
        record.put_u8(count(self.pps.len()));
        for (_, set) in &self.pps {
            put_set(set, &mut record);
        }
        if first.has_chroma_info() {
            let (luma, chroma) = (first.bit_depth_luma_minus8, first.bit_depth_chroma_minus8);
            record.put_slice(&[0xFC | first.chroma_format, 0xF8 | luma, 0xF8 | chroma, 0]);
        }
        record.freeze()
    }

    /// A sequence parameter set that says that nothing is reordered, where that is so.
    fn with_hint(&self, sps: &Bytes) -> Bytes {
        Sps::parse(sps)
            .ok()
            .filter(|parsed| self.order.reorder_frames(parsed) == Some(0))
            .and_then(|parsed| parsed.with_low_delay(sps))
            .map_or_else(|| sps.clone(), Bytes::from)
    }
}

fn count(sets: usize) -> u8 {
    u8::try_from(sets).unwrap_or(u8::MAX)
}

fn put_set(set: &[u8], record: &mut BytesMut) {
    record.put_u16(u16::try_from(set.len()).unwrap_or(u16::MAX));
    record.put_slice(set);
}

/// The NAL units of a length-prefixed body without empty ones; `None` if the lengths do not add up.
fn length_prefixed(body: &[u8], size: LengthSize) -> Option<Vec<&[u8]>> {
    let mut nals = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (prefix, tail) = rest.split_at_checked(usize::from(size.0))?;
        let length = prefix
            .iter()
            .fold(0_usize, |length, &byte| length << 8 | usize::from(byte));
        let (nal, tail) = tail.split_at_checked(length)?;
        // A forbidden bit in the header of the first unit is what Annex B looks like when read as lengths.
        if nal.first().is_some_and(|header| header & 0x80 != 0) {
            return None;
        }
        if !nal.is_empty() {
            nals.push(nal);
        }
        rest = tail;
    }
    Some(nals)
}

fn starts_like_annex_b(body: &[u8]) -> bool {
    matches!(body, [0, 0, 1, ..] | [0, 0, 0, 1, ..])
}

/// The NAL units between start codes, without trailing zeros.
fn annex_b(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = start_code(body).map_or(&[][..], |at| &body[at + 3..]);
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = start_code(rest);
            let mut nal = &rest[..end.unwrap_or(rest.len())];
            rest = end.map_or(&[], |end| &rest[end + 3..]);
            while let [shorter @ .., 0] = nal {
                nal = shorter;
            }
            if !nal.is_empty() {
                return Some(nal);
            }
        }
        None
    })
}

fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1])
}

fn join(nals: &[&[u8]]) -> Bytes {
    let mut payload = BytesMut::with_capacity(nals.iter().map(|nal| nal.len() + 4).sum());
    for nal in nals {
        payload.put_u32(u32::try_from(nal.len()).unwrap_or(u32::MAX));
        payload.put_slice(nal);
    }
    payload.freeze()
}

/// Whether a slice is of a B picture.
fn is_b_slice(nal: &[u8]) -> bool {
    const B: [u32; 2] = [1, 6];
    if nal_type(nal) != nal_type::SLICE {
        return false;
    }
    // Emulation prevention can stand within the first number only in slices far from the top; the one at the top tells.
    let mut bits = BitReader::new(&nal[1..]);
    bits.ue().is_ok() && bits.ue().is_ok_and(|slice_type| B.contains(&slice_type))
}

/// Whether an SEI unit begins with a recovery point that is reached at once.
fn is_recovery_point(nal: &[u8]) -> bool {
    const RECOVERY_POINT: u8 = 6;
    match nal {
        [_, RECOVERY_POINT, _, payload @ ..] => BitReader::new(payload).ue() == Ok(0),
        _ => false,
    }
}
