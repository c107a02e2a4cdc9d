//! The sequence parameter set: how large the pictures are, how fast they come, how far they are reordered.
//!
//! In → Out: an SPS NAL unit → [`Sps`]. Nothing is allocated by what it declares, and what exceeds a limit is refused.
//! A level that is too low for the picture is let through: several hardware encoders write one, and decoders play it.
//! Spec: ITU-T H.264, 7.3.2.1.1 "Sequence parameter set data syntax", E.1.1 "VUI parameters syntax".

use media::{Duration, Rounding, Scan, Timescale, Timestamp};

use super::H264Error;
use crate::codec::bits::{BitReader, BitWriter, OutOfBits};

/// The longest side of a picture, in pixels.
pub const SIDE_MAX: u32 = 16_384;
/// The greatest number of reference frames that the standard allows.
pub const REFERENCE_FRAMES_MAX: u32 = 16;
/// The longest SPS NAL unit, in bytes.
pub const LENGTH_MAX: usize = 4_096;
/// More than an SPS grows by with a VUI of nothing but bitstream restrictions, in bytes.
const HINT_MAX: usize = 16;

/// What a sequence parameter set says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// Its number: 0–31.
    pub id: u32,
    /// `profile_idc`.
    pub profile: u8,
    /// The constraint flags byte.
    pub constraints: u8,
    /// `level_idc`.
    pub level: u8,
    /// `chroma_format_idc`: 0–3.
    pub chroma_format: u8,
    /// Bits of a luma sample beyond 8.
    pub bit_depth_luma_minus8: u8,
    /// Bits of a chroma sample beyond 8.
    pub bit_depth_chroma_minus8: u8,
    /// Shown width in pixels.
    pub width: u32,
    /// Shown height in pixels.
    pub height: u32,
    /// Whether pictures may be made of fields.
    pub scan: Scan,
    /// How long a picture lasts, if the VUI says so and it is plausible (1/300 s to 2 s).
    pub frame_duration: Option<Duration>,
    /// How many pictures a decoder must hold back for reordering, if it can be told.
    pub reorder_frames: Option<u8>,
    /// Reference frames that a decoder must keep.
    pub reference_frames: u32,
    /// Where the VUI would say how pictures are reordered, but does not.
    silent: Option<Silent>,
}

/// A place in the unescaped payload of an SPS at which everything that follows may be replaced, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silent {
    /// There is no VUI: its flag stands here.
    Vui(usize),
    /// There is one without bitstream restrictions: their flag stands here, last of all.
    Restriction(usize),
}

impl Sps {
    /// Reads an SPS NAL unit, its header byte included.
    pub fn parse(nal: &[u8]) -> Result<Self, H264Error> {
        if nal.len() > LENGTH_MAX {
            return Err(H264Error::ParameterSetTooLong);
        }
        let [header, payload @ ..] = nal else {
            return Err(H264Error::SpsCutOff);
        };
        if header & 0x1F != 7 {
            return Err(H264Error::SpsCutOff);
        }
        let mut sps = parse(&mut BitReader::new(&unescape(payload)))?;
        // No encoder's is so long that what it leaves out could not be added.
        sps.silent = sps.silent.filter(|_| nal.len() <= LENGTH_MAX - HINT_MAX);
        Ok(sps)
    }

    /// RFC 6381, such as `avc1.64001f`.
    pub fn codec_string(&self) -> String {
        format!(
            "avc1.{:02x}{:02x}{:02x}",
            self.profile, self.constraints, self.level
        )
    }

    /// Whether it leaves open how pictures are reordered. [`Self::reorder_frames`] is then what the profile allows.
    pub fn is_silent(&self) -> bool {
        self.silent.is_some()
    }

    /// This NAL unit with a VUI that says that nothing is reordered; `None` if it says how pictures are reordered.
    /// All else stays as it is, bit by bit. Whether it is true is for the caller to know.
    /// Hardware decoders otherwise hold back as many pictures as they can.
    pub fn with_low_delay(&self, nal: &[u8]) -> Option<Vec<u8>> {
        let payload = unescape(nal.get(1..)?);
        let mut bits = BitWriter::default();
        let (Silent::Vui(at) | Silent::Restriction(at)) = self.silent?;
        bits.copy(&payload, at);
        if matches!(self.silent, Some(Silent::Vui(_))) {
            // Present, and nothing in it: aspect, overscan, signal type, chroma place, timing, two HRDs, structure.
            bits.u(1, 1);
            bits.u(0, 8);
        }
        // Restrictions present; motion vectors may leave the picture; no limits on bytes, bits and vectors; no reordering.
        bits.u(0b11, 2);
        for value in [0, 0, 15, 15, 0, self.reference_frames.max(1)] {
            bits.ue(value);
        }
        bits.u(1, 1);
        Some(escape(*nal.first()?, &bits.bytes))
    }

    /// Whether the profile has chroma format and bit depths of its own.
    pub fn has_chroma_info(&self) -> bool {
        has_chroma_info(self.profile)
    }
}

/// Takes emulation prevention bytes out.
fn unescape(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Puts emulation prevention bytes in, behind a header byte.
fn escape(header: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![header];
    let mut zeros = 0;
    for &byte in payload {
        if zeros == 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

fn has_chroma_info(profile: u8) -> bool {
    matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    )
}

fn parse(bits: &mut BitReader<'_>) -> Result<Sps, H264Error> {
    let (profile, constraints, level) = (bits.u8(8)?, bits.u8(8)?, bits.u8(8)?);
    let id = bits.ue()?;
    if id > 31 {
        return Err(H264Error::SpsCutOff);
    }
    let (mut chroma_format, mut separate_planes, mut luma, mut chroma) = (1, false, 0, 0);
    if has_chroma_info(profile) {
        chroma_format = bits.ue()?;
        if chroma_format > 3 {
            return Err(H264Error::ChromaFormat(chroma_format));
        }
        separate_planes = chroma_format == 3 && bits.bit()?;
        (luma, chroma) = (bits.ue()?, bits.ue()?);
        if luma > 6 || chroma > 6 {
            return Err(H264Error::BitDepth);
        }
        bits.bit()?;
        if bits.bit()? {
            scaling_matrix(bits, if chroma_format == 3 { 12 } else { 8 })?;
        }
    }
    bits.ue()?;
    let order_type = bits.ue()?;
    picture_order(bits, order_type)?;
    let references = bits.ue()?;
    if references > REFERENCE_FRAMES_MAX {
        return Err(H264Error::ReferenceFrames(references));
    }
    bits.bit()?;
    let (width, height, scan) =
        picture_size(bits, if separate_planes { 0 } else { chroma_format })?;
    let vui_flag = bits.position();
    let vui = if bits.bit()? {
        vui(bits)
    } else {
        Vui {
            silent: Some(Silent::Vui(vui_flag)),
            ..Vui::default()
        }
    };
    // These profiles cannot reorder: Baseline has no B pictures, and with flag 3 the others are intra only.
    let intra_only = constraints & 0x10 != 0 && matches!(profile, 44 | 86 | 100 | 110 | 122 | 244);
    let cannot_reorder = profile == 66 || intra_only || order_type == 2;
    Ok(Sps {
        id,
        profile,
        constraints,
        level,
        chroma_format: low_byte(chroma_format),
        bit_depth_luma_minus8: low_byte(luma),
        bit_depth_chroma_minus8: low_byte(chroma),
        width,
        height,
        scan,
        frame_duration: vui.frame_duration,
        reorder_frames: vui.reorder_frames.or(cannot_reorder.then_some(0)),
        reference_frames: references,
        silent: vui.silent,
    })
}

fn low_byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

fn scaling_matrix(bits: &mut BitReader<'_>, lists: usize) -> Result<(), OutOfBits> {
    for list in 0..lists {
        if !bits.bit()? {
            continue;
        }
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.se()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Ok(())
}

fn picture_order(bits: &mut BitReader<'_>, order_type: u32) -> Result<(), H264Error> {
    match order_type {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.bit()?;
            bits.se()?;
            bits.se()?;
            let cycle = bits.ue()?;
            if cycle > 255 {
                return Err(H264Error::SpsCutOff);
            }
            for _ in 0..cycle {
                bits.se()?;
            }
        }
        2 => {}
        _ => return Err(H264Error::SpsCutOff),
    }
    Ok(())
}

/// Shown width and height, after cropping, and whether fields may occur.
fn picture_size(
    bits: &mut BitReader<'_>,
    chroma_array: u32,
) -> Result<(u32, u32, Scan), H264Error> {
    let (columns, rows) = (bits.ue()?, bits.ue()?);
    let frames_only = bits.bit()?;
    if !frames_only {
        bits.bit()?;
    }
    bits.bit()?;
    let (fields, scan) = if frames_only {
        (1, Scan::Progressive)
    } else {
        (2, Scan::Interlaced)
    };
    let side = |units: u32, unit: u32| {
        units
            .checked_add(1)
            .and_then(|units| units.checked_mul(unit))
    };
    let (width, height) = (side(columns, 16), side(rows, 16 * fields));
    let (Some(width @ ..=SIDE_MAX), Some(height @ ..=SIDE_MAX)) = (width, height) else {
        return Err(H264Error::PictureTooLarge);
    };
    if !bits.bit()? {
        return Ok((width, height, scan));
    }
    let crop = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?].map(u64::from);
    let unit_x = if matches!(chroma_array, 1 | 2) { 2 } else { 1 };
    let unit_y = u64::from(fields) * if chroma_array == 1 { 2 } else { 1 };
    let shown = |side: u32, crop: u64| u64::from(side).checked_sub(crop).filter(|&side| side > 0);
    let width = shown(width, (crop[0] + crop[1]) * unit_x).ok_or(H264Error::Crop)?;
    let height = shown(height, (crop[2] + crop[3]) * unit_y).ok_or(H264Error::Crop)?;
    Ok((
        u32::try_from(width).unwrap_or(SIDE_MAX),
        u32::try_from(height).unwrap_or(SIDE_MAX),
        scan,
    ))
}

#[derive(Default)]
struct Vui {
    frame_duration: Option<Duration>,
    reorder_frames: Option<u8>,
    silent: Option<Silent>,
}

/// Reads as much of the VUI as is there: encoders cut it off or fill it with nonsense, and the picture plays anyway.
fn vui(bits: &mut BitReader<'_>) -> Vui {
    let mut vui = Vui::default();
    let _ = read_vui(bits, &mut vui);
    vui
}

fn read_vui(bits: &mut BitReader<'_>, vui: &mut Vui) -> Result<(), OutOfBits> {
    const EXTENDED_ASPECT: u32 = 255;
    if bits.bit()? && bits.u(8)? == EXTENDED_ASPECT {
        bits.u(32)?;
    }
    if bits.bit()? {
        bits.bit()?;
    }
    if bits.bit()? {
        bits.u(4)?;
        if bits.bit()? {
            bits.u(24)?;
        }
    }
    if bits.bit()? {
        bits.ue()?;
        bits.ue()?;
    }
    if bits.bit()? {
        let (units, scale) = (bits.u(32)?, bits.u(32)?);
        bits.bit()?;
        vui.frame_duration = frame_duration(units, scale);
    }
    let nal_hrd = bits.bit()?;
    if nal_hrd {
        hrd(bits)?;
    }
    let vcl_hrd = bits.bit()?;
    if vcl_hrd {
        hrd(bits)?;
    }
    if nal_hrd || vcl_hrd {
        bits.bit()?;
    }
    bits.bit()?;
    let restriction_flag = bits.position();
    if bits.bit()? {
        bits.bit()?;
        for _ in 0..4 {
            bits.ue()?;
        }
        let reorder = bits.ue()?;
        vui.reorder_frames = u8::try_from(reorder)
            .ok()
            .filter(|&frames| u32::from(frames) <= REFERENCE_FRAMES_MAX);
    } else {
        vui.silent = Some(Silent::Restriction(restriction_flag));
    }
    Ok(())
}

fn hrd(bits: &mut BitReader<'_>) -> Result<(), OutOfBits> {
    let count = bits.ue()?;
    bits.u(8)?;
    if count > 31 {
        return Err(OutOfBits);
    }
    for _ in 0..=count {
        bits.ue()?;
        bits.ue()?;
        bits.bit()?;
    }
    bits.u(20)?;
    Ok(())
}

/// A picture lasts two ticks, as a tick is a field.
fn frame_duration(units: u32, scale: u32) -> Option<Duration> {
    const SHORTEST: Duration = Duration::from_nanos(1_000_000_000 / 300);
    const LONGEST: Duration = Duration::from_secs(2);
    let end = Timestamp::from_ticks(2 * i64::from(units), Timescale::new(scale)?);
    let nanos = end.to_ticks(Timescale::new(1_000_000_000)?, Rounding::Nearest);
    let duration = Duration::from_nanos(nanos.unsigned_abs());
    (SHORTEST..=LONGEST).contains(&duration).then_some(duration)
}
