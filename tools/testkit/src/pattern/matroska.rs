//! The least Matroska that carries raw pictures and PCM to ffmpeg through one pipe.
//!
//! In → Out: sizes and rates → a header; a block's track, time and length → the bytes that stand before its payload.
//! One pipe with explicit times, because two inputs make ffmpeg poll them every 10 ms and count frames instead of reading
//! their times, so a missed frame would shift the picture against the sound.
//! Spec: RFC 8794 (EBML); RFC 9559 (Matroska), "Cluster", "SimpleBlock Structure"; codec ids V_UNCOMPRESSED, A_PCM/INT/LIT.

use super::{FrameRate, Size, tone};

/// The picture's track.
pub const VIDEO: u8 = 1;
/// The sound's track.
pub const AUDIO: u8 = 2;

/// Ticks of block times in nanoseconds: ten microseconds.
const TICK_NANOS: u64 = 10_000;

/// Writes the framing; payloads go from their own buffers straight after it.
#[derive(Clone, Copy, Debug)]
pub struct Matroska;

impl Matroska {
    /// Everything before the first block.
    pub fn header(size: Size, rate: FrameRate) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let mut ebml = Vec::new();
        element(&mut ebml, 0x4282, b"matroska");
        unsigned(&mut ebml, 0x4287, 4);
        unsigned(&mut ebml, 0x4285, 2);
        element(&mut out, 0x1A45_DFA3, &ebml);
        id(&mut out, 0x1853_8067);
        // Unknown length: a live stream.
        out.extend_from_slice(&[0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        let mut info = Vec::new();
        unsigned(&mut info, 0x2A_D7B1, TICK_NANOS);
        element(&mut info, 0x4D80, b"nearcast");
        element(&mut info, 0x5741, b"nearcast");
        element(&mut out, 0x1549_A966, &info);
        let mut tracks = video_track(size, rate);
        tracks.extend_from_slice(&audio_track());
        element(&mut out, 0x1654_AE6B, &tracks);
        out
    }

    /// What stands before a payload of `length` bytes that is to be shown or heard at `nanos` of media time.
    pub fn block(track: u8, nanos: u64, length: usize) -> Vec<u8> {
        // A cluster each, so that no time is relative to another block.
        let mut time = Vec::new();
        unsigned(&mut time, 0xE7, nanos / TICK_NANOS);
        let mut block = vec![0xA3];
        size8(&mut block, length + 4);
        block.extend_from_slice(&[0x80 | track, 0, 0, 0x80]);
        let mut out = Vec::with_capacity(40);
        id(&mut out, 0x1F43_B675);
        size8(&mut out, time.len() + block.len() + length);
        out.extend_from_slice(&time);
        out.extend_from_slice(&block);
        out
    }
}

fn video_track(size: Size, rate: FrameRate) -> Vec<u8> {
    let mut video = Vec::new();
    unsigned(&mut video, 0xB0, u64::from(size.width));
    unsigned(&mut video, 0xBA, u64::from(size.height));
    element(&mut video, 0x2E_B524, b"I420");
    let mut track = Vec::new();
    unsigned(&mut track, 0xD7, u64::from(VIDEO));
    unsigned(&mut track, 0x73C5, u64::from(VIDEO));
    unsigned(&mut track, 0x83, 1);
    unsigned(&mut track, 0x9C, 0);
    unsigned(&mut track, 0x23_E383, rate.frame_nanos(1));
    element(&mut track, 0x86, b"V_UNCOMPRESSED");
    element(&mut track, 0xE0, &video);
    let mut entry = Vec::new();
    element(&mut entry, 0xAE, &track);
    entry
}

fn audio_track() -> Vec<u8> {
    let mut audio = Vec::new();
    element(
        &mut audio,
        0xB5,
        &f64::from(tone::SAMPLE_RATE).to_be_bytes(),
    );
    unsigned(&mut audio, 0x9F, u64::from(tone::CHANNELS));
    unsigned(&mut audio, 0x6264, 16);
    let mut track = Vec::new();
    unsigned(&mut track, 0xD7, u64::from(AUDIO));
    unsigned(&mut track, 0x73C5, u64::from(AUDIO));
    unsigned(&mut track, 0x83, 2);
    unsigned(&mut track, 0x9C, 0);
    element(&mut track, 0x86, b"A_PCM/INT/LIT");
    element(&mut track, 0xE1, &audio);
    let mut entry = Vec::new();
    element(&mut entry, 0xAE, &track);
    entry
}

/// An element id; its length marker is part of the value.
fn id(out: &mut Vec<u8>, value: u32) {
    let bytes = value.to_be_bytes();
    let skip = usize::try_from(value.leading_zeros() / 8).unwrap_or(0);
    out.extend_from_slice(&bytes[skip..]);
}

/// A length in eight bytes.
fn size8(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&(0x0100_0000_0000_0000 | length as u64).to_be_bytes());
}

fn element(out: &mut Vec<u8>, name: u32, content: &[u8]) {
    id(out, name);
    size8(out, content.len());
    out.extend_from_slice(content);
}

fn unsigned(out: &mut Vec<u8>, name: u32, value: u64) {
    element(out, name, &value.to_be_bytes());
}
