//! The init section: what a decoder must know before the first chunk.
//!
//! In → Out: [`Track`]s → `ftyp` + `moov`.
//! Written by hand and not through a box library: decoder configurations leave exactly as they came in (libraries
//! normalise `avcC` and forget the tail of an AudioSpecificConfig, which is where HE-AAC is signalled). There is no
//! `mehd` and `mvhd` says 0, by which browsers know a live stream and start on the first picture.
//!
//! Spec: ISO/IEC 14496-12, "Movie Box"; 14496-14 5.6 (`esds`); 14496-15 5.4.2 (`avc1`); 14496-1 7.2.6 (descriptors).

#![expect(
    clippy::cast_possible_truncation,
    reason = "descriptor sizes are cut into seven-bit groups"
)]

use media::{AudioConfig, Rotation, Track, TrackConfig, VideoConfig};

use super::mux::{MuxError, TrackLayout};

/// Appends a box; its size is filled in afterwards.
pub(super) fn put_box(out: &mut Vec<u8>, kind: [u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind);
    body(out);
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// Appends a box that begins with a version and flags.
pub(super) fn put_full_box(
    out: &mut Vec<u8>,
    kind: [u8; 4],
    version: u8,
    flags: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    put_box(out, kind, |out| {
        put_u32(out, u32::from(version) << 24 | flags);
        body(out);
    });
}

pub(super) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Renders `ftyp` + `moov` for at least one track.
pub(super) fn render(tracks: &[Track]) -> Result<Vec<u8>, MuxError> {
    if tracks.is_empty() {
        return Err(MuxError::NoTracks);
    }
    for track in tracks {
        let config = match &track.config {
            TrackConfig::Video(video) => &video.decoder_config,
            TrackConfig::Audio(audio) => &audio.decoder_config,
        };
        if config.len() > CONFIG_LENGTH_MAX {
            return Err(MuxError::ConfigTooLong {
                track: track.id,
                length: config.len(),
            });
        }
    }
    let mut out = Vec::with_capacity(1_500);
    put_box(&mut out, *b"ftyp", |out| {
        out.extend_from_slice(b"iso6\0\0\0\0iso6mp42hlsf");
    });
    put_box(&mut out, *b"moov", |out| {
        put_movie_header(out);
        for track in tracks {
            put_track(out, track);
        }
        put_box(out, *b"mvex", |out| {
            for track in tracks {
                put_track_extends(out, track);
            }
        });
    });
    Ok(out)
}

const CONFIG_LENGTH_MAX: usize = 64 << 10;
const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

fn put_matrix(out: &mut Vec<u8>, matrix: [u32; 9]) {
    for value in matrix {
        put_u32(out, value);
    }
}

fn put_movie_header(out: &mut Vec<u8>) {
    put_full_box(out, *b"mvhd", 0, 0, |out| {
        out.extend_from_slice(&[0; 8]);
        put_u32(out, 1_000);
        put_u32(out, 0);
        put_u32(out, 0x1_0000);
        put_u16(out, 0x100);
        out.extend_from_slice(&[0; 10]);
        put_matrix(out, UNITY);
        out.extend_from_slice(&[0; 24]);
        put_u32(out, u32::MAX);
    });
}

fn put_track(out: &mut Vec<u8>, track: &Track) {
    put_box(out, *b"trak", |out| {
        put_track_header(out, track);
        put_box(out, *b"mdia", |out| {
            put_full_box(out, *b"mdhd", 0, 0, |out| {
                out.extend_from_slice(&[0; 8]);
                put_u32(out, track.timescale().hertz());
                put_u32(out, 0);
                // "und" in five-bit letters.
                put_u16(out, 0x55c4);
                put_u16(out, 0);
            });
            put_handler(out, track);
            put_box(out, *b"minf", |out| put_media_information(out, track));
        });
    });
}

fn put_track_header(out: &mut Vec<u8>, track: &Track) {
    let (volume, width, height, matrix) = match &track.config {
        TrackConfig::Audio(_) => (0x100, 0, 0, UNITY),
        TrackConfig::Video(video) => (0, video.width, video.height, display_matrix(video)),
    };
    // Flags: enabled, in movie, in preview.
    put_full_box(out, *b"tkhd", 0, 7, |out| {
        out.extend_from_slice(&[0; 8]);
        put_u32(out, track.id.0);
        out.extend_from_slice(&[0; 16]);
        put_u32(out, 0);
        put_u16(out, volume);
        put_u16(out, 0);
        put_matrix(out, matrix);
        put_u32(out, width << 16);
        put_u32(out, height << 16);
    });
}

/// The matrix that turns the coded picture as the publisher held the phone.
fn display_matrix(video: &VideoConfig) -> [u32; 9] {
    const ONE: u32 = 0x1_0000;
    const MINUS: u32 = 0xffff_0000;
    let (width, height) = (video.width << 16, video.height << 16);
    match video.rotation {
        Rotation::None => UNITY,
        Rotation::Clockwise90 => [0, ONE, 0, MINUS, 0, 0, height, 0, 0x4000_0000],
        Rotation::Half => [MINUS, 0, 0, 0, MINUS, 0, width, height, 0x4000_0000],
        Rotation::Clockwise270 => [0, MINUS, 0, ONE, 0, 0, 0, width, 0x4000_0000],
    }
}

fn put_handler(out: &mut Vec<u8>, track: &Track) {
    let (kind, name): (&[u8; 4], &[u8]) = match track.config {
        TrackConfig::Video(_) => (b"vide", b"picture\0"),
        TrackConfig::Audio(_) => (b"soun", b"sound\0"),
    };
    put_full_box(out, *b"hdlr", 0, 0, |out| {
        put_u32(out, 0);
        out.extend_from_slice(kind);
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(name);
    });
}

fn put_media_information(out: &mut Vec<u8>, track: &Track) {
    match track.config {
        TrackConfig::Video(_) => {
            put_full_box(out, *b"vmhd", 0, 1, |out| out.extend_from_slice(&[0; 8]));
        }
        TrackConfig::Audio(_) => {
            put_full_box(out, *b"smhd", 0, 0, |out| out.extend_from_slice(&[0; 4]));
        }
    }
    put_box(out, *b"dinf", |out| {
        put_full_box(out, *b"dref", 0, 0, |out| {
            put_u32(out, 1);
            // The flag says "in this file".
            put_full_box(out, *b"url ", 0, 1, |_| ());
        });
    });
    put_box(out, *b"stbl", |out| {
        put_full_box(out, *b"stsd", 0, 0, |out| {
            put_u32(out, 1);
            match &track.config {
                TrackConfig::Video(video) => put_avc1(out, video),
                TrackConfig::Audio(audio) => put_mp4a(out, audio),
            }
        });
        for kind in [b"stts", b"stsc", b"stco"] {
            put_full_box(out, *kind, 0, 0, |out| put_u32(out, 0));
        }
        put_full_box(out, *b"stsz", 0, 0, |out| out.extend_from_slice(&[0; 8]));
    });
}

fn put_avc1(out: &mut Vec<u8>, video: &VideoConfig) {
    put_box(out, *b"avc1", |out| {
        out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
        out.extend_from_slice(&[0; 16]);
        put_u16(out, u16::try_from(video.width).unwrap_or(u16::MAX));
        put_u16(out, u16::try_from(video.height).unwrap_or(u16::MAX));
        put_u32(out, 72 << 16);
        put_u32(out, 72 << 16);
        put_u32(out, 0);
        put_u16(out, 1);
        out.extend_from_slice(&[0; 32]);
        put_u16(out, 24);
        put_u16(out, u16::MAX);
        put_box(out, *b"avcC", |out| {
            out.extend_from_slice(&video.decoder_config);
        });
    });
}

fn put_mp4a(out: &mut Vec<u8>, audio: &AudioConfig) {
    put_box(out, *b"mp4a", |out| {
        out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
        out.extend_from_slice(&[0; 8]);
        put_u16(out, u16::from(audio.channels));
        put_u16(out, 16);
        put_u32(out, 0);
        // 16.16 fixed point; rates that do not fit are left to the decoder configuration.
        put_u32(
            out,
            u16::try_from(audio.sample_rate).map_or(0, |rate| u32::from(rate) << 16),
        );
        put_full_box(out, *b"esds", 0, 0, |out| {
            put_es_descriptor(out, &audio.decoder_config);
        });
    });
}

fn put_es_descriptor(out: &mut Vec<u8>, config: &[u8]) {
    let mut decoder = Vec::with_capacity(config.len() + 20);
    // MPEG-4 audio, an audio stream; no buffer size, no bitrates.
    decoder.extend_from_slice(&[0x40, 0x15]);
    decoder.extend_from_slice(&[0; 11]);
    put_descriptor(&mut decoder, 5, config);
    let mut stream = Vec::with_capacity(decoder.len() + 12);
    stream.extend_from_slice(&[0, 0, 0]);
    put_descriptor(&mut stream, 4, &decoder);
    put_descriptor(&mut stream, 6, &[2]);
    put_descriptor(out, 3, &stream);
}

/// A descriptor with its size in seven-bit groups.
fn put_descriptor(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    let size = body.len();
    for shift in [21, 14, 7] {
        if size >> shift != 0 {
            out.push(0x80 | (size >> shift & 0x7f) as u8);
        }
    }
    out.push((size & 0x7f) as u8);
    out.extend_from_slice(body);
}

fn put_track_extends(out: &mut Vec<u8>, track: &Track) {
    let layout = TrackLayout::of(track);
    put_full_box(out, *b"trex", 0, 0, |out| {
        put_u32(out, track.id.0);
        put_u32(out, 1);
        put_u32(out, layout.default_duration);
        put_u32(out, 0);
        put_u32(out, layout.default_flags());
    });
}
