//! H.264 parameter sets and pictures: sizes and counts within limits, pictures reframed so that every length fits.
//!
//! In → Out: a configuration record and then pictures, split by the input → what a decoder needs, or a reason.
//! Covers: core/formats/src/codec/h264.rs, core/formats/src/codec/h264/sps.rs, core/formats/src/codec/bits.rs
//! Spec: ISO/IEC 14496-10, 7.3.2.1 "Sequence parameter set"; ISO/IEC 14496-15, 5.3.3 "AVCDecoderConfigurationRecord"; case ING-09.
#![no_main]

use bytes::Bytes;
use formats::codec::h264::Stream;
use libfuzzer_sys::fuzz_target;

fn check_payload(payload: &[u8]) {
    let mut rest = payload;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().expect("four bytes of length");
        let length = u32::from_be_bytes(*length) as usize;
        assert!(length > 0 && length <= after.len(), "a NAL unit of {length} bytes in {}", after.len());
        rest = &after[length..];
    }
}

fuzz_target!(|input: &[u8]| {
    // Byte 0 says how long the record is; then pictures, each behind two bytes of length.
    let Some((&size, rest)) = input.split_first() else { return };
    let (record, mut rest) = rest.split_at(usize::from(size).min(rest.len()));
    let mut stream = Stream::new();
    let _refused = stream.handle_record(&Bytes::copy_from_slice(record));
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (body, after) = after.split_at(usize::from(u16::from_be_bytes(*length)).min(after.len()));
        rest = after;
        if let Ok(Some(picture)) = stream.handle_picture(&Bytes::copy_from_slice(body)) {
            assert!(!picture.payload.is_empty());
            check_payload(&picture.payload);
        }
        if let Ok(Some(config)) = stream.config() {
            assert!(config.width > 0 && config.height > 0 && config.width <= 16_384 && config.height <= 16_384);
            assert!(config.reorder_frames.is_none_or(|frames| frames <= 16));
            assert!(config.codec_string.starts_with("avc1."));
            assert_eq!(config.decoder_config.first(), Some(&1));
            // What we tell decoders is something that we would take ourselves.
            let mut again = Stream::new();
            assert!(again.handle_record(&config.decoder_config).is_ok());
        }
    }
});
