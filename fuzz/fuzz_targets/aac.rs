//! AAC configurations: rate and channels are ones that decoders have, and nothing that passes is ADTS.
//!
//! In → Out: an AudioSpecificConfig → what a decoder needs, or a reason.
//! Covers: core/formats/src/codec/aac.rs
//! Spec: ISO/IEC 14496-3, 1.6.2.1 "AudioSpecificConfig"; case ING-10.
#![no_main]

use bytes::Bytes;
use formats::codec::aac::{has_adts_header, parse_config};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    if let Ok(config) = parse_config(&bytes) {
        assert!(!has_adts_header(&bytes));
        assert!((7_350..=96_000).contains(&config.sample_rate), "{}", config.sample_rate);
        assert!((1..=8).contains(&config.channels));
        assert!([1024, 960, 2048, 1920].contains(&config.samples_per_unit));
        assert!(config.codec_string.starts_with("mp4a.40."));
    }
});
