//! Silence as AAC-LC, written bit by bit.
//!
//! In → Out: constants.
//! Spec: ISO/IEC 14496-3, "AudioSpecificConfig" (1.6.2.1), "raw_data_block" (4.4.2.1).

/// Samples per second.
pub const SAMPLE_RATE: u32 = 48_000;
/// Samples in one unit.
pub const SAMPLES_PER_UNIT: u32 = 1_024;

/// AAC-LC (2), 48 kHz (index 3), one channel.
pub const DECODER_CONFIG: [u8; 2] = [0b0001_0001, 0b1000_1000];

/// One single-channel element with no scale-factor band and so no spectrum, then the end marker: 29 zeros and three ones.
pub const SILENCE: [u8; 4] = [0, 0, 0, 0b111];
