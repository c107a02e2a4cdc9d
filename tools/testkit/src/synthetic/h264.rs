//! Grey H.264 pictures, written bit by bit: constrained baseline, one slice, CAVLC.
//!
//! In → Out: size, place in the GOP, wanted bytes → parameter sets and length-prefixed access units.
//! Random access points predict every macroblock from nothing and carry no residual; all other pictures skip every macroblock.
//! Spec: ITU-T H.264, 7.3.2.1.1 (SPS), D.1.7 (user data), 7.3.2.2 (PPS), 7.3.3 (slice header), 7.3.4 (slice data);
//! ISO/IEC 14496-15, "AVCDecoderConfigurationRecord".

use bytes::Bytes;

/// RFC 6381 name of what is written here.
pub const CODEC_STRING: &str = "avc1.42c01f";

/// Frame numbers count modulo 2^8.
const FRAME_NUMBER_BITS: u32 = 8;

/// Parameter sets for a size in multiples of 16, as a decoder configuration record.
pub fn decoder_config(width: u32, height: u32) -> Bytes {
    let (sps, pps) = (sps(width, height), pps());
    let mut out = vec![1, 0x42, 0xC0, 0x1F, 0xFF, 0xE1];
    for (set, count) in [(&sps, None), (&pps, Some(1))] {
        out.extend(count);
        out.extend_from_slice(&u16::try_from(set.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(set);
    }
    out.into()
}

/// Marks a stamp in a picture; also the identifier of the user data that it stands in.
pub const STAMP_MARK: [u8; 16] = *b"nearcast-stamp-1";
/// Digits of a stamp, after its mark.
pub const STAMP_DIGITS: usize = 16;

/// A stamp as it stands in a picture: nanoseconds since 1970 in hexadecimal, so that no byte needs escaping.
pub fn stamp(nanos: u64) -> [u8; STAMP_MARK.len() + STAMP_DIGITS] {
    let mut out = [b'0'; STAMP_MARK.len() + STAMP_DIGITS];
    out[..STAMP_MARK.len()].copy_from_slice(&STAMP_MARK);
    for (place, digit) in out[STAMP_MARK.len()..].iter_mut().enumerate() {
        let value = (nanos >> (60 - 4 * place) & 0xF) as u8;
        *digit = if value < 10 {
            b'0' + value
        } else {
            b'a' + value - 10
        };
    }
    out
}

/// The picture at `place` in its GOP (0 is the random access point), padded to `bytes` with user data if it is shorter.
/// That user data begins with a stamp of zero: [`super::Unit::stamped_body`] sets it.
pub fn picture(width: u32, height: u32, place: u64, bytes: usize) -> Bytes {
    let macroblocks = width / 16 * (height / 16);
    let slice = if place == 0 {
        idr(macroblocks)
    } else {
        skipped(macroblocks, place)
    };
    let mut out = Vec::with_capacity(bytes.max(slice.len() + 64));
    user_data(&mut out, bytes.saturating_sub(slice.len() + 4));
    out.extend_from_slice(&length(slice.len()));
    out.extend_from_slice(&slice);
    out.into()
}

/// Supplemental information of type 5, "user data unregistered", `bytes` long with its length and stop bit, or one
/// more: not every size can be written. Filler data would do as padding too, but servers take it out.
fn user_data(out: &mut Vec<u8>, bytes: usize) {
    let stamp = stamp(0);
    // Length, header, type and stop bit are seven bytes; the payload's size is a byte for each 255 and one for the rest.
    let inside = bytes.saturating_sub(7);
    let payload = (inside - inside.div_ceil(256)).max(stamp.len());
    let size_bytes = payload / 255 + 1;
    // Where a size needs one byte less than planned, the payload takes it.
    let payload = payload.max(inside.saturating_sub(size_bytes));
    out.extend_from_slice(&length(3 + payload / 255 + 1 + payload));
    out.extend_from_slice(&[6, 5]);
    out.resize(out.len() + payload / 255, 0xFF);
    out.push(u8::try_from(payload % 255).unwrap_or(0));
    let data = out.len();
    out.extend_from_slice(&stamp);
    out.resize(data + payload, 0xFF);
    out.push(0x80);
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

fn sps(width: u32, height: u32) -> Vec<u8> {
    let mut bits = Bits::new(0x67);
    // Profile 66 with constraint sets 0 and 1, level 3.1.
    bits.fixed(66, 8).fixed(0xC0, 8).fixed(31, 8);
    bits.ue(0).ue(FRAME_NUMBER_BITS - 4);
    // Picture order follows decoding order; one reference picture; no gaps.
    bits.ue(2).ue(1).fixed(0, 1);
    bits.ue(width / 16 - 1).ue(height / 16 - 1);
    // Frames only, 8×8 inference, no cropping.
    bits.fixed(1, 1).fixed(1, 1).fixed(0, 1);
    // Usability information: nothing but the reorder depth, so that decoders hold no picture back.
    bits.fixed(1, 1).fixed(0, 8).fixed(1, 1);
    // Motion over borders; no byte or bit limits; 2^16 vectors; no reordering; one picture buffered.
    bits.fixed(1, 1).ue(0).ue(0).ue(16).ue(16).ue(0).ue(1);
    bits.finish()
}

fn pps() -> Vec<u8> {
    let mut bits = Bits::new(0x68);
    // Ids, CAVLC, no picture order in slices, one slice group, one reference in both lists, no weights.
    bits.ue(0).ue(0).fixed(0, 1).fixed(0, 1).ue(0).ue(0).ue(0);
    bits.fixed(0, 3).se0().se0().se0();
    // No deblocking control, no constrained intra, no redundant pictures.
    bits.fixed(0, 3);
    bits.finish()
}

fn idr(macroblocks: u32) -> Vec<u8> {
    let mut bits = Bits::new(0x65);
    bits.ue(0)
        .ue(7)
        .ue(0)
        .fixed(0, FRAME_NUMBER_BITS)
        .ue(0)
        .fixed(0, 2)
        .se0();
    for _ in 0..macroblocks {
        // Intra 16×16, mean prediction, nothing coded; mean prediction of colour; same quantiser; no luma coefficients.
        bits.ue(3).ue(0).se0().fixed(1, 1);
    }
    bits.finish()
}

fn skipped(macroblocks: u32, place: u64) -> Vec<u8> {
    let number = u32::try_from(place % (1 << FRAME_NUMBER_BITS)).unwrap_or(0);
    let mut bits = Bits::new(0x61);
    bits.ue(0).ue(5).ue(0).fixed(number, FRAME_NUMBER_BITS);
    // As many references as the PPS says, in their usual order, kept as usual; same quantiser.
    bits.fixed(0, 1).fixed(0, 1).fixed(0, 1).se0();
    bits.ue(macroblocks);
    bits.finish()
}

/// Writes the bits of one NAL unit.
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn new(header: u8) -> Self {
        Self {
            bytes: vec![header],
            used: 8,
        }
    }

    fn fixed(&mut self, value: u32, count: u32) -> &mut Self {
        for place in (0..count).rev() {
            if self.used == 8 {
                self.bytes.push(0);
                self.used = 0;
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(value >> place & 1 == 1) << (7 - self.used);
            }
            self.used += 1;
        }
        self
    }

    /// Exp-Golomb, unsigned.
    fn ue(&mut self, value: u32) -> &mut Self {
        let length = u32::BITS - (value + 1).leading_zeros();
        self.fixed(0, length - 1).fixed(value + 1, length)
    }

    /// Exp-Golomb, signed, of zero.
    fn se0(&mut self) -> &mut Self {
        self.fixed(1, 1)
    }

    /// Stop bit, alignment, and emulation prevention.
    fn finish(mut self) -> Vec<u8> {
        self.fixed(1, 1);
        let mut out = Vec::with_capacity(self.bytes.len() + 8);
        let mut zeros = 0;
        for byte in self.bytes {
            if zeros >= 2 && byte <= 3 {
                out.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            out.push(byte);
        }
        out
    }
}
