//! Writes an FLV stream: the header, the decoder configuration, and one tag an access unit.
//!
//! In → Out: [`media::VideoConfig`] and video payloads with millisecond stamps → bytes that any FLV reader takes from a
//! pipe. Used to feed an encoder process, so only video is written: sound is not encoded again.
//! Spec: Adobe Flash Video File Format 10.1, annex E.4 ("The FLV File Body", "Video Tags").

use bytes::{BufMut, Bytes, BytesMut};
use media::VideoConfig;

const TAG_VIDEO: u8 = 9;
const CODEC_AVC: u8 = 7;
const TAG_HEADER_SIZE: usize = 11;
const AVC_HEADER_SIZE: usize = 5;

/// The file header with its empty "previous tag size": a stream with video only.
pub fn header() -> Bytes {
    Bytes::from_static(&[b'F', b'L', b'V', 1, 0b0000_0001, 0, 0, 0, 9, 0, 0, 0, 0])
}

/// The tag that carries the decoder configuration record; `None` if it does not fit the 24-bit tag size.
pub fn video_config(config: &VideoConfig, millis: u32) -> Option<Bytes> {
    video_tag(
        millis,
        PacketType::Config,
        FrameKind::Key,
        0,
        &config.decoder_config,
    )
}

/// One access unit with length-prefixed NAL units; `None` if it does not fit the 24-bit tag size.
///
/// `millis` is the DTS, `composition_millis` what is added for the PTS (a signed 24-bit number).
pub fn video(
    millis: u32,
    composition_millis: i32,
    kind: FrameKind,
    payload: &Bytes,
) -> Option<Bytes> {
    video_tag(millis, PacketType::Units, kind, composition_millis, payload)
}

/// Whether a decoder can start at a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A random access point.
    Key,
    /// Anything else.
    Inter,
}

#[derive(Clone, Copy)]
enum PacketType {
    Config,
    Units,
}

fn video_tag(
    millis: u32,
    packet: PacketType,
    kind: FrameKind,
    composition: i32,
    payload: &Bytes,
) -> Option<Bytes> {
    let data_size = u32::try_from(AVC_HEADER_SIZE + payload.len())
        .ok()
        .filter(|size| *size < 1 << 24)?;
    let mut tag = BytesMut::with_capacity(TAG_HEADER_SIZE + AVC_HEADER_SIZE + payload.len() + 4);
    tag.put_u8(TAG_VIDEO);
    tag.put_uint(data_size.into(), 3);
    tag.put_uint((millis & 0x00ff_ffff).into(), 3);
    tag.put_u8((millis >> 24).to_be_bytes()[3]);
    tag.put_uint(0, 3);
    let frame = match kind {
        FrameKind::Key => 1,
        FrameKind::Inter => 2,
    };
    tag.put_u8(frame << 4 | CODEC_AVC);
    tag.put_u8(match packet {
        PacketType::Config => 0,
        PacketType::Units => 1,
    });
    tag.put_int(composition.into(), 3);
    tag.put_slice(payload);
    tag.put_u32(data_size + 11);
    Some(tag.freeze())
}
