//! H.264 parameter sets and pictures: sizes and counts within limits, pictures reframed so that every length fits.
//!
//! In → Out: a configuration record and then pictures, split by the input → what a decoder needs, or a reason.
//! Covers: core/formats/src/codec/h264.rs, core/formats/src/codec/h264/order.rs, core/formats/src/codec/h264/sps.rs,
//! core/formats/src/codec/bits.rs
//! Spec: ISO/IEC 14496-10, 7.3.2.1 "Sequence parameter set"; ISO/IEC 14496-15, 5.3.3 "AVCDecoderConfigurationRecord"; case ING-09.
#![no_main]

use bytes::Bytes;
use formats::codec::h264::{Order, Sps, Stream};
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

fn check_config(stream: &Stream) {
    let Ok(Some(config)) = stream.config() else { return };
    assert!(config.width > 0 && config.height > 0 && config.width <= 16_384 && config.height <= 16_384);
    assert!(config.reorder_frames.is_none_or(|frames| frames <= 16));
    assert!(config.codec_string.starts_with("avc1."));
    assert_eq!(config.decoder_config.first(), Some(&1));
    // What we tell decoders is something that we would take ourselves, and it says what we say.
    let mut again = Stream::new();
    assert!(again.handle_record(&config.decoder_config).is_ok());
    let read = again.config().expect("readable").expect("complete");
    assert_eq!((read.width, read.height, read.frame_duration), (config.width, config.height, config.frame_duration));
    if config.reorder_frames == Some(0) {
        assert_eq!(read.reorder_frames, Some(0));
    }
}

fn check_rewriting(nal: &[u8]) {
    let Ok(sps) = Sps::parse(nal) else { return };
    let Some(rewritten) = sps.with_low_delay(nal) else { return };
    let again = Sps::parse(&rewritten).expect("a rewritten SPS is an SPS");
    assert!(!again.is_silent() && again.reorder_frames == Some(0));
    assert_eq!((again.width, again.height, again.codec_string()), (sps.width, sps.height, sps.codec_string()));
    assert_eq!((again.id, again.frame_duration, again.reference_frames), (sps.id, sps.frame_duration, sps.reference_frames));
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
        check_rewriting(body);
        for order in [Order::InOrder, Order::Reordered, Order::Unknown] {
            stream.set_order(order);
            check_config(&stream);
        }
    }
});
