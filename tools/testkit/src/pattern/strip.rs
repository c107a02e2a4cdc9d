//! The machine-readable clock: 40 black or white cells across the top of the picture.
//!
//! In → Out: milliseconds since 1970 (modulo 2^32) → 40 bits; luma values of 40 cell pairs → milliseconds.
//! Row A carries the bits, row B their inverse, so a reader needs no threshold; eight check bits refuse torn pictures.
//! Spec: docs/clock-strip.md.

/// Cells across the picture.
pub const CELLS: usize = 40;

/// The least difference of luma between a cell and its inverse that counts as readable.
const CONTRAST_MIN: i32 = 40;

/// Why a strip cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripError {
    /// A cell and its inverse look alike.
    #[error("cell {0} is unreadable")]
    Contrast(usize),
    /// The check bits do not fit the clock bits.
    #[error("check bits do not match")]
    Check,
}

/// The 40 cells of a clock value, left to right: 32 bits of milliseconds, then 8 check bits; `true` is white in row A.
pub fn encode(unix_millis: u32) -> [bool; CELLS] {
    let word = (u64::from(unix_millis) << 8) | u64::from(check(unix_millis));
    std::array::from_fn(|cell| word >> (CELLS - 1 - cell) & 1 == 1)
}

/// Reads a clock value from the luma at the centres of the cells: `(row A, row B)`, left to right.
pub fn decode(luma: &[(u8, u8); CELLS]) -> Result<u32, StripError> {
    let mut word = 0_u64;
    for (cell, &(a, b)) in luma.iter().enumerate() {
        let difference = i32::from(a) - i32::from(b);
        if difference.abs() < CONTRAST_MIN {
            return Err(StripError::Contrast(cell));
        }
        word = (word << 1) | u64::from(difference > 0);
    }
    let millis = u32::try_from(word >> 8).map_err(|_| StripError::Check)?;
    if u64::from(check(millis)) == word & 0xFF {
        Ok(millis)
    } else {
        Err(StripError::Check)
    }
}

/// Reads the strip of a luma plane with `stride` bytes a line; `None` inside if a sample lies outside of the plane.
pub fn read(plane: &[u8], stride: usize, width: usize) -> Option<Result<u32, StripError>> {
    let height = width / CELLS;
    let mut luma = [(0, 0); CELLS];
    for (cell, pair) in luma.iter_mut().enumerate() {
        let x = usize::midpoint(cell * width / CELLS, (cell + 1) * width / CELLS);
        *pair = (
            *plane.get(height / 2 * stride + x)?,
            *plane.get((height + height / 2) * stride + x)?,
        );
    }
    Some(decode(&luma))
}

/// CRC-8 with polynomial 0x07 and initial value 0xFF over the four bytes, most significant first.
fn check(unix_millis: u32) -> u8 {
    unix_millis.to_be_bytes().iter().fold(0xFF, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| {
            if crc & 0x80 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x07
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_bits_match_the_published_vectors() {
        for (millis, crc) in [
            (0, 0xD1),
            (1, 0xD6),
            (0x1234_5678, 0xCD),
            (0xFFFF_FFFF, 0x0F),
            (0x0340_A095, 0x97),
        ] {
            assert_eq!(check(millis), crc, "{millis:08x}");
        }
    }

    #[test]
    fn a_clock_survives_the_strip() {
        for millis in [0, 1, 0x8000_0000, 0xDEAD_BEEF, u32::MAX] {
            let luma = encode(millis).map(|white| if white { (220, 30) } else { (30, 220) });
            assert_eq!(decode(&luma), Ok(millis));
        }
    }

    #[test]
    fn a_grey_cell_and_a_flipped_cell_are_refused() {
        let mut luma = encode(0x1234_5678).map(|white| if white { (220, 30) } else { (30, 220) });
        luma[7] = (120, 130);
        assert_eq!(decode(&luma), Err(StripError::Contrast(7)));
        luma[7] = if encode(0x1234_5678)[7] {
            (30, 220)
        } else {
            (220, 30)
        };
        assert_eq!(decode(&luma), Err(StripError::Check));
    }
}
