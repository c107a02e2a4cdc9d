//! Reads an FLV stream from a pipe, tag by tag, however its bytes are split.
//!
//! In → Out: any pieces of a byte stream → [`Tag`]s with their bodies, for [`super::demux`] or for an encoder's reader.
//! Memory is bounded by [`TAG_SIZE_MAX`]; a stream that is not FLV is an error for good.
//! Spec: Adobe Flash Video File Format 10.1, annex E.2 to E.4.

use bytes::{Buf, Bytes, BytesMut};

/// The largest tag body that is read, in bytes: far above any picture of a live stream.
pub const TAG_SIZE_MAX: usize = 8 << 20;

const FILE_HEADER_SIZE: usize = 9;
const TAG_HEADER_SIZE: usize = 11;
const BACK_POINTER_SIZE: usize = 4;

/// Which kind of tag; others are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
    /// `onMetaData` and the like.
    Script,
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What the body is.
    pub kind: TagKind,
    /// Decode time in milliseconds, modulo 2^32.
    pub millis: u32,
    /// The body, without the tag header.
    pub body: Bytes,
}

/// Why a stream is not FLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The first bytes are not `FLV`.
    #[error("no FLV signature")]
    Signature,
    /// A tag of a kind that the format does not have.
    #[error("tag kind {kind} at byte {offset}")]
    Kind {
        /// What stood there.
        kind: u8,
        /// Where, in bytes from the start of the stream.
        offset: u64,
    },
    /// A tag larger than [`TAG_SIZE_MAX`].
    #[error("tag of {size} bytes at byte {offset}")]
    Size {
        /// The declared size in bytes.
        size: usize,
        /// Where, in bytes from the start of the stream.
        offset: u64,
    },
}

/// The reader. After an error every further call gives the same error.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    offset: u64,
    started: bool,
    failed: Option<FileError>,
}

impl Reader {
    /// Takes the next bytes of the stream.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole tag, or `None` until more bytes have come.
    pub fn poll_tag(&mut self) -> Result<Option<Tag>, FileError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.next_tag();
        self.failed = result.as_ref().err().copied();
        result
    }

    fn next_tag(&mut self) -> Result<Option<Tag>, FileError> {
        if !self.started && !self.skip_header()? {
            return Ok(None);
        }
        loop {
            let Some(header) = self.buffer.first_chunk::<TAG_HEADER_SIZE>().copied() else {
                return Ok(None);
            };
            let [kind, s0, s1, s2, t0, t1, t2, t3, ..] = header;
            let size = usize::from(s0) << 16 | usize::from(s1) << 8 | usize::from(s2);
            if size > TAG_SIZE_MAX {
                return Err(FileError::Size {
                    size,
                    offset: self.offset,
                });
            }
            let whole = TAG_HEADER_SIZE + size + BACK_POINTER_SIZE;
            if self.buffer.len() < whole {
                return Ok(None);
            }
            let offset = self.offset;
            let body = self
                .take(whole)
                .slice(TAG_HEADER_SIZE..TAG_HEADER_SIZE + size);
            let kind = match kind & 0x1f {
                8 => TagKind::Audio,
                9 => TagKind::Video,
                18 => TagKind::Script,
                other => {
                    return Err(FileError::Kind {
                        kind: other,
                        offset,
                    });
                }
            };
            if !body.is_empty() {
                return Ok(Some(Tag {
                    kind,
                    millis: u32::from_be_bytes([t3, t0, t1, t2]),
                    body,
                }));
            }
        }
    }

    fn skip_header(&mut self) -> Result<bool, FileError> {
        let signature = b"FLV";
        let seen = self.buffer.len().min(signature.len());
        if self.buffer[..seen] != signature[..seen] {
            return Err(FileError::Signature);
        }
        let Some(header) = self.buffer.first_chunk::<FILE_HEADER_SIZE>() else {
            return Ok(false);
        };
        let size = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) as usize;
        if !(FILE_HEADER_SIZE..=1024).contains(&size) {
            return Err(FileError::Signature);
        }
        if self.buffer.len() < size + BACK_POINTER_SIZE {
            return Ok(false);
        }
        self.take(size + BACK_POINTER_SIZE);
        self.started = true;
        Ok(true)
    }

    fn take(&mut self, size: usize) -> Bytes {
        self.offset += size as u64;
        let taken = self.buffer.split_to(size).freeze();
        debug_assert_eq!(taken.remaining(), size);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::flv::mux::{self, FrameKind};

    fn stream() -> Vec<u8> {
        let mut bytes = mux::header().to_vec();
        for index in 0..5_u32 {
            let kind = if index == 0 {
                FrameKind::Key
            } else {
                FrameKind::Inter
            };
            let payload = Bytes::from(vec![u8::try_from(index).unwrap(); 100 + index as usize]);
            bytes.extend_from_slice(
                &mux::video(0x00ff_fff0 + index * 33, -40, kind, &payload).unwrap(),
            );
        }
        bytes
    }

    fn read(pieces: &[&[u8]]) -> Result<Vec<Tag>, FileError> {
        let mut reader = Reader::default();
        let mut tags = Vec::new();
        for piece in pieces {
            reader.handle_bytes(piece);
            while let Some(tag) = reader.poll_tag()? {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    #[test]
    fn tags_come_out_the_same_however_the_stream_is_split() {
        let stream = stream();
        let whole = read(&[&stream]).unwrap();
        assert_eq!(whole.len(), 5);
        assert_eq!(whole[4].millis, 0x00ff_fff0 + 4 * 33, "stamps pass 24 bits");
        assert_eq!(
            &whole[0].body[..5],
            &[0x17, 1, 0xff, 0xff, 0xd8],
            "key, AVC, units, composition −40"
        );
        for size in [1, 2, 7, 11, 64] {
            assert_eq!(
                read(&stream.chunks(size).collect::<Vec<_>>()).unwrap(),
                whole,
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn garbage_is_refused_for_good() {
        assert_eq!(read(&[b"MP4 or so"]), Err(FileError::Signature));
        let mut stream = stream();
        stream[13] = 7;
        assert_eq!(
            read(&[&stream]),
            Err(FileError::Kind {
                kind: 7,
                offset: 13
            })
        );
        stream[13] = 9;
        stream[14] = 0xff;
        assert!(matches!(
            read(&[&stream]),
            Err(FileError::Size { offset: 13, .. })
        ));
    }
}
