//! Bits from bytes, most significant first.
//!
//! In → Out: a byte slice → fixed-width and Exp-Golomb numbers; the end of the slice is an error, never a panic.
//! Spec: ITU-T H.264, 7.2 "Specification of syntax functions" and 9.1 "Parsing process for Exp-Golomb codes".

/// The bits ended too early, or a number does not fit 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bits end too early")]
pub(crate) struct OutOfBits;

/// A cursor over bits.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits not read yet.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// Bits read so far.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn bit(&mut self) -> Result<bool, OutOfBits> {
        let byte = self.bytes.get(self.at / 8).ok_or(OutOfBits)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// An unsigned number of up to 32 bits.
    pub(crate) fn u(&mut self, width: u32) -> Result<u32, OutOfBits> {
        let mut value = 0;
        for _ in 0..width {
            value = value << 1 | u32::from(self.bit()?);
        }
        Ok(value)
    }

    /// The low eight bits of [`Self::u`], for widths up to 8.
    pub(crate) fn u8(&mut self, width: u32) -> Result<u8, OutOfBits> {
        Ok(self.u(width)?.to_le_bytes()[0])
    }

    /// An unsigned Exp-Golomb number: 0 to 2³² − 2.
    pub(crate) fn ue(&mut self) -> Result<u32, OutOfBits> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return Err(OutOfBits);
            }
        }
        Ok((1 << zeros) - 1 + self.u(zeros)?)
    }

    /// A signed Exp-Golomb number.
    pub(crate) fn se(&mut self) -> Result<i64, OutOfBits> {
        let code = i64::from(self.ue()?);
        Ok(if code % 2 == 0 {
            -(code / 2)
        } else {
            code / 2 + 1
        })
    }
}

/// Collects bits into bytes; the last byte is filled up with zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    pub(crate) bytes: Vec<u8>,
    at: usize,
}

impl BitWriter {
    pub(crate) fn bit(&mut self, bit: bool) {
        if self.at.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (7 - self.at % 8);
        }
        self.at += 1;
    }

    /// The low `width` bits of a number, at most 32.
    pub(crate) fn u(&mut self, value: u32, width: u32) {
        for shift in (0..width).rev() {
            self.bit(value >> shift & 1 == 1);
        }
    }

    /// An unsigned Exp-Golomb number: 0 to 2³² − 2.
    pub(crate) fn ue(&mut self, value: u32) {
        let code = value.saturating_add(1);
        let width = code.ilog2() + 1;
        self.u(0, width - 1);
        self.u(code, width);
    }

    /// The first bits of a slice, as far as it has so many.
    pub(crate) fn copy(&mut self, bytes: &[u8], count: usize) {
        let mut reader = BitReader::new(bytes);
        for bit in std::iter::from_fn(|| reader.bit().ok()).take(count) {
            self.bit(bit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_count_up() {
        // 1, 010, 011, 00100, 00101, then padding.
        let mut bits = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!([0, 1, 2, 3, 4].map(|_| bits.ue().unwrap()), [0, 1, 2, 3, 4]);
        let mut bits = BitReader::new(&[0b0100_1100, 0b1000_0101]);
        assert_eq!([0, 1, 2].map(|_| bits.se().unwrap()), [1, -1, 2]);
    }

    #[test]
    fn the_longest_code_fits_and_longer_ones_are_refused() {
        assert_eq!(
            BitReader::new(&[0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF]).ue(),
            Ok(u32::MAX - 1)
        );
        assert_eq!(BitReader::new(&[0; 9]).ue(), Err(OutOfBits));
        assert_eq!(BitReader::new(&[0]).ue(), Err(OutOfBits));
    }
}
