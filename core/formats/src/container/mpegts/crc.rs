//! The checksum of program tables.
//!
//! In → Out: the bytes of a section → its CRC-32.
//! Spec: ISO/IEC 13818-1, annex A (polynomial 0x04C11DB7, begins with ones, not reflected).

/// The checksum of `bytes`; over a section with its own checksum it is 0.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc & 0x8000_0000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x04c1_1db7
            }
        })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_checksum_and_zero_over_itself() {
        assert_eq!(super::crc32(b"123456789"), 0x0376_e6e7);
        assert_eq!(super::crc32(b"123456789\x03\x76\xe6\xe7"), 0);
    }
}
