//! AAC: its configuration, and what can stand in its place by mistake.
//!
//! In → Out: an AudioSpecificConfig → [`AudioConfig`]; an access unit → whether it wears an ADTS header.
//! Spec: ISO/IEC 14496-3, 1.6.2.1 "AudioSpecificConfig", 1.6.5 "Signaling of SBR", 1.A.3 "ADTS"; RFC 6381, 3.3.

use bytes::Bytes;
use media::{AudioCodec, AudioConfig};

use super::bits::{BitReader, OutOfBits};

/// The largest AAC access unit that is passed on, in bytes: 6,144 bits for each of eight channels, with room.
pub const UNIT_LENGTH_MAX: usize = 16 * 1024;

/// Why AAC cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AacError {
    /// The configuration ends early.
    #[error("AudioSpecificConfig cannot be read")]
    CutOff,
    /// ADTS headers where raw access units belong.
    #[error("ADTS headers inside RTMP; AAC must come as raw access units")]
    Adts,
    /// An audio object type that browsers do not play.
    #[error("AAC object type {0} is not taken; use AAC-LC, HE-AAC or HE-AAC v2")]
    ObjectType(u32),
    /// A sample rate outside 7,350–96,000 Hz.
    #[error("sample rate {0} Hz is not possible")]
    SampleRate(u32),
    /// A channel configuration of zero (described inside the stream) or one that does not exist.
    #[error("channel configuration {0} is not taken")]
    Channels(u32),
}

impl From<OutOfBits> for AacError {
    fn from(_: OutOfBits) -> Self {
        Self::CutOff
    }
}

mod object_type {
    pub(super) const LC: u32 = 2;
    pub(super) const SBR: u32 = 5;
    pub(super) const PS: u32 = 29;
}

const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Reads an AudioSpecificConfig. Spectral band replication counts if it is signalled explicitly, in either way.
pub fn parse_config(config: &Bytes) -> Result<AudioConfig, AacError> {
    if has_adts_header(config) {
        return Err(AacError::Adts);
    }
    let bits = &mut BitReader::new(config);
    let mut signalled = object_type(bits)?;
    let core_rate = sample_rate(bits)?;
    let channel_configuration = bits.u(4)?;
    let mut core = signalled;
    let mut extension_rate = None;
    if matches!(signalled, object_type::SBR | object_type::PS) {
        extension_rate = Some(sample_rate(bits)?);
        core = object_type(bits)?;
    }
    if core != object_type::LC {
        return Err(AacError::ObjectType(core));
    }
    // GASpecificConfig: frame length, core coder dependency, extension flag.
    let short_frames = bits.bit()?;
    if bits.bit()? {
        bits.u(14)?;
    }
    bits.bit()?;
    if extension_rate.is_none()
        && let Ok(Some((rate, parametric))) = trailing_extension(bits)
    {
        extension_rate = Some(rate);
        signalled = if parametric {
            object_type::PS
        } else {
            object_type::SBR
        };
    }
    let rate = extension_rate.unwrap_or(core_rate);
    if !(7_350..=96_000).contains(&rate) || !(7_350..=96_000).contains(&core_rate) {
        return Err(AacError::SampleRate(rate));
    }
    let core_samples = if short_frames { 960 } else { 1_024 };
    // With SBR a unit lasts as long as before and holds more samples: twice as many, or as many if it runs at one rate.
    let samples_per_unit = if rate == core_rate {
        core_samples
    } else {
        core_samples * 2
    };
    if rate != core_rate && rate != core_rate * 2 {
        return Err(AacError::SampleRate(rate));
    }
    let channels = match channel_configuration {
        1..=6 => channel_configuration,
        7 | 12 | 14 => 8,
        11 => 7,
        other => return Err(AacError::Channels(other)),
    };
    // Parametric stereo makes two channels of one.
    let channels = if signalled == object_type::PS && channels == 1 {
        2
    } else {
        channels
    };
    Ok(AudioConfig {
        codec: AudioCodec::Aac,
        sample_rate: rate,
        channels: channels.to_le_bytes()[0],
        samples_per_unit,
        decoder_config: Bytes::copy_from_slice(config),
        codec_string: format!("mp4a.40.{signalled}"),
    })
}

/// Whether bytes begin with an ADTS header whose length fits them.
pub fn has_adts_header(unit: &[u8]) -> bool {
    let [0xFF, second, _, fourth, fifth, sixth, _, ..] = *unit else {
        return false;
    };
    let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    second & 0xF6 == 0xF0 && length >= 7 && length <= unit.len()
}

fn object_type(bits: &mut BitReader<'_>) -> Result<u32, OutOfBits> {
    const ESCAPE: u32 = 31;
    match bits.u(5)? {
        ESCAPE => Ok(32 + bits.u(6)?),
        value => Ok(value),
    }
}

fn sample_rate(bits: &mut BitReader<'_>) -> Result<u32, AacError> {
    const EXPLICIT: u32 = 15;
    match bits.u(4)? {
        EXPLICIT => Ok(bits.u(24)?),
        index => RATES
            .get(index as usize)
            .copied()
            .ok_or(AacError::SampleRate(0)),
    }
}

/// The backward-compatible signalling at the end: the extension's sample rate, and whether parametric stereo follows.
fn trailing_extension(bits: &mut BitReader<'_>) -> Result<Option<(u32, bool)>, AacError> {
    const SYNC_SBR: u32 = 0x2B7;
    const SYNC_PS: u32 = 0x548;
    if bits.left() < 16
        || bits.u(11)? != SYNC_SBR
        || object_type(bits)? != object_type::SBR
        || !bits.bit()?
    {
        return Ok(None);
    }
    let rate = sample_rate(bits)?;
    let parametric = bits.left() >= 12 && bits.u(11)? == SYNC_PS && bits.bit()?;
    Ok(Some((rate, parametric)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(config: &[u8], expect: Result<(&str, u32, u8, u32), AacError>) {
        let got = parse_config(&Bytes::copy_from_slice(config));
        let got = got
            .as_ref()
            .map(|c| {
                (
                    c.codec_string.as_str(),
                    c.sample_rate,
                    c.channels,
                    c.samples_per_unit,
                )
            })
            .map_err(|error| *error);
        assert_eq!(got, expect);
    }

    #[test]
    fn plain_and_high_efficiency_configurations() {
        check(&[0x12, 0x10], Ok(("mp4a.40.2", 44_100, 2, 1_024)));
        check(&[0x11, 0x88], Ok(("mp4a.40.2", 48_000, 1, 1_024)));
        // 960 samples: the frame length flag.
        check(&[0x11, 0x94], Ok(("mp4a.40.2", 48_000, 2, 960)));
        // Explicit: SBR at 24 to 48 kHz, and with parametric stereo.
        check(
            &[0x2B, 0x11, 0x88, 0x00],
            Ok(("mp4a.40.5", 48_000, 2, 2_048)),
        );
        check(
            &[0xEB, 0x09, 0x88, 0x00],
            Ok(("mp4a.40.29", 48_000, 2, 2_048)),
        );
        // Backward compatible: the sync word after a plain configuration.
        check(
            &[0x13, 0x10, 0x56, 0xE5, 0x98],
            Ok(("mp4a.40.5", 48_000, 2, 2_048)),
        );
        check(
            &[0x13, 0x08, 0x56, 0xE5, 0x9D, 0x48, 0x80],
            Ok(("mp4a.40.29", 48_000, 2, 2_048)),
        );
        // The sync word with the flag off, as ffmpeg writes it for plain AAC.
        check(
            &[0x12, 0x10, 0x56, 0xE5, 0x00],
            Ok(("mp4a.40.2", 44_100, 2, 1_024)),
        );
        // An explicit 24-bit sample rate.
        check(
            &[0x17, 0x80, 0x56, 0x22, 0x10],
            Ok(("mp4a.40.2", 44_100, 2, 1_024)),
        );
    }

    #[test]
    fn ing_10_impossible_configurations_are_refused_with_a_reason() {
        check(
            &[0xFF, 0xF1, 0x50, 0x80, 0x00, 0xFF, 0xFC],
            Err(AacError::Adts),
        );
        check(
            &[0x17, 0x80, 0x00, 0x00, 0x10],
            Err(AacError::SampleRate(0)),
        );
        check(&[0x16, 0x90], Err(AacError::SampleRate(0)));
        check(&[0x12, 0x00], Err(AacError::Channels(0)));
        check(&[0x0A, 0x10], Err(AacError::ObjectType(1)));
        check(&[0x12], Err(AacError::CutOff));
        check(&[], Err(AacError::CutOff));
    }
}
