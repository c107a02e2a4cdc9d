//! The handshake of both ends: three packets each way before the chunk stream starts.
//!
//! In → Out: the peer's C0–C2 (or S0–S2) → our S0–S2 (or C0–C2). A peer that signs its C1 with Adobe's player key gets
//! signed answers ("complex" handshake); all others get an echo ("simple").
//! Holds at most one packet of 1,537 bytes, and that only as it arrives.
//! Spec: Adobe RTMP 1.0, section 5.2 "Handshake". The digest handshake is not specified; known from Flash players.

use sha2::{Digest, Sha256};

/// Length of C1, C2, S1 and S2.
const PACKET: usize = 1_536;
/// Length of an HMAC-SHA256 digest.
const DIGEST: usize = 32;
const VERSION: u8 = 3;

const PLAYER_KEY: &[u8] = b"Genuine Adobe Flash Player 001";
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";
/// What both products append to their name to make the key of C2 and S2.
const KEY_TAIL: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57,
    0x6E, 0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The first byte is not a version that we can talk to; text protocols and encrypted RTMP end here.
    #[error("first byte {0:#04x} is not an RTMP version that we take")]
    Version(u8),
}

/// The server's half.
#[derive(Debug)]
pub(crate) struct Server {
    /// C0 and C1 as far as they have come; empty again once they are answered.
    held: Vec<u8>,
    answered: bool,
    /// Bytes of C2 still to come; its content does not matter.
    skip: usize,
    seed: u64,
}

impl Server {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            held: Vec::new(),
            answered: false,
            skip: PACKET,
            seed,
        }
    }

    /// Takes bytes from the front of `input`; appends the answer to `out`. Returns whether the handshake is complete.
    pub(crate) fn read(
        &mut self,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, HandshakeError> {
        if !self.answered {
            if !fill(&mut self.held, 1 + PACKET, input)? {
                return Ok(false);
            }
            self.answer(out);
            self.held = Vec::new();
            self.answered = true;
        }
        Ok(skip(&mut self.skip, input))
    }

    fn answer(&self, out: &mut Vec<u8>) {
        let c1 = &self.held[1..];
        let mut s1 = filler(self.seed);
        out.push(VERSION);
        if let Some(digest) = client_digest(c1) {
            s1[4..8].copy_from_slice(&[4, 5, 0, 1]);
            let at = digest_offset(&s1, SCHEMA_OFFSETS[1]);
            let signature = packet_digest(&s1, at, SERVER_KEY);
            s1[at..at + DIGEST].copy_from_slice(&signature);
            out.extend_from_slice(&s1);
            let mut s2 = filler(self.seed.wrapping_add(1));
            let key = hmac(&[SERVER_KEY, &KEY_TAIL].concat(), &[&digest]);
            let signature = hmac(&key, &[&s2[..PACKET - DIGEST]]);
            s2[PACKET - DIGEST..].copy_from_slice(&signature);
            out.extend_from_slice(&s2);
        } else {
            out.extend_from_slice(&s1);
            out.extend_from_slice(c1);
        }
    }
}

/// The publisher's half, simple form.
#[derive(Debug)]
pub(crate) struct Client {
    held: Vec<u8>,
    answered: bool,
    skip: usize,
}

impl Client {
    /// Starts: appends C0 and C1.
    pub(crate) fn start(seed: u64, out: &mut Vec<u8>) -> Self {
        out.push(VERSION);
        out.extend_from_slice(&filler(seed));
        Self {
            held: Vec::new(),
            answered: false,
            skip: PACKET,
        }
    }

    /// Takes bytes from the front of `input`; appends C2 to `out` once S1 is there. Returns whether S2 is complete.
    pub(crate) fn read(
        &mut self,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, HandshakeError> {
        if !self.answered {
            if !fill(&mut self.held, 1 + PACKET, input)? {
                return Ok(false);
            }
            out.extend_from_slice(&self.held[1..]);
            self.held = Vec::new();
            self.answered = true;
        }
        Ok(skip(&mut self.skip, input))
    }
}

/// Fills `held` to `wanted` bytes and checks the version byte as soon as it is there. Returns whether it is full.
fn fill(held: &mut Vec<u8>, wanted: usize, input: &mut &[u8]) -> Result<bool, HandshakeError> {
    let taken = (wanted - held.len()).min(input.len());
    // Exact: a pending peer costs what it has sent, not the next power of two.
    held.reserve_exact(taken);
    held.extend_from_slice(&input[..taken]);
    *input = &input[taken..];
    if let Some(&version) = held.first() {
        // 6 and above ask for encryption or are no RTMP at all; 3 to 5 fall back to 3 by the specification.
        if !(3..=5).contains(&version) {
            return Err(HandshakeError::Version(version));
        }
    }
    Ok(held.len() == wanted)
}

/// Passes over bytes that do not matter. Returns whether all have come.
fn skip(left: &mut usize, input: &mut &[u8]) -> bool {
    let skipped = (*left).min(input.len());
    *input = &input[skipped..];
    *left -= skipped;
    *left == 0
}

/// A packet with time 0, version 0 and filler that differs between sessions; it need not be secret.
fn filler(seed: u64) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    let mut state = seed;
    for word in packet[8..].chunks_exact_mut(8) {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    packet
}

/// Where the four bytes that tell the digest's place stand, in the two layouts in use.
const SCHEMA_OFFSETS: [usize; 2] = [8, 772];

fn digest_offset(packet: &[u8], schema: usize) -> usize {
    let sum: usize = packet[schema..schema + 4]
        .iter()
        .map(|&byte| usize::from(byte))
        .sum();
    sum % 728 + schema + 4
}

/// The digest in a signed C1; `None` if it is not signed.
fn client_digest(c1: &[u8]) -> Option<[u8; DIGEST]> {
    if c1[4..8] == [0; 4] {
        return None;
    }
    SCHEMA_OFFSETS.into_iter().find_map(|schema| {
        let at = digest_offset(c1, schema);
        let digest = packet_digest(c1, at, PLAYER_KEY);
        (c1[at..at + DIGEST] == digest).then_some(digest)
    })
}

/// The digest of a packet without the digest itself.
fn packet_digest(packet: &[u8], at: usize, key: &[u8]) -> [u8; DIGEST] {
    hmac(key, &[&packet[..at], &packet[at + DIGEST..]])
}

/// HMAC-SHA256 (RFC 2104) with keys of at most 64 bytes, or of any length if hashed first.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST] {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..DIGEST].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5C));
    outer.update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(c0c1: &[u8]) -> Vec<u8> {
        let mut server = Server::new(7);
        let mut out = Vec::new();
        for byte in c0c1.chunks(100) {
            let mut input = byte;
            assert!(!server.read(&mut input, &mut out).unwrap());
        }
        let c2 = [0; PACKET];
        let mut input = &c2[..PACKET - 1];
        assert!(!server.read(&mut input, &mut out).unwrap());
        let mut input = &b"xyz"[..];
        assert!(server.read(&mut input, &mut out).unwrap());
        assert_eq!(input, b"yz", "what follows C2 is left for the chunk stream");
        out
    }

    #[test]
    fn a_plain_c1_is_echoed() {
        let mut c0c1 = vec![3];
        c0c1.extend_from_slice(&filler(1));
        let out = run(&c0c1);
        assert_eq!(out.len(), 1 + 2 * PACKET);
        assert_eq!(out[1 + PACKET..], c0c1[1..]);
    }

    #[test]
    fn a_signed_c1_gets_signed_answers_in_both_layouts() {
        for schema in SCHEMA_OFFSETS {
            let mut c1 = filler(2);
            c1[4..8].copy_from_slice(&[9, 0, 124, 2]);
            let at = digest_offset(&c1, schema);
            let digest = packet_digest(&c1, at, PLAYER_KEY);
            c1[at..at + DIGEST].copy_from_slice(&digest);
            let out = run(&[&[3][..], &c1].concat());
            let (s1, s2) = out[1..].split_at(PACKET);
            let at = digest_offset(s1, SCHEMA_OFFSETS[1]);
            assert_eq!(s1[at..at + DIGEST], packet_digest(s1, at, SERVER_KEY));
            let key = hmac(&[SERVER_KEY, &KEY_TAIL].concat(), &[&digest]);
            assert_eq!(s2[PACKET - DIGEST..], hmac(&key, &[&s2[..PACKET - DIGEST]]));
        }
    }

    #[test]
    fn other_protocols_are_refused_at_the_first_byte() {
        for (first, text) in [
            (b'G', "GET / HTTP/1.1"),
            (6, "\u{6}encrypted"),
            (0x16, "\u{16}tls"),
        ] {
            let mut input = text.as_bytes();
            let error = Server::new(0).read(&mut input, &mut Vec::new());
            assert_eq!(error, Err(HandshakeError::Version(first)));
        }
    }

    #[test]
    fn hmac_agrees_with_rfc_4231() {
        let hex = |bytes: [u8; 32]| {
            let high = u128::from_be_bytes(bytes[..16].try_into().unwrap());
            let low = u128::from_be_bytes(bytes[16..].try_into().unwrap());
            format!("{high:032x}{low:032x}")
        };
        assert_eq!(
            hex(hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(hmac(
                &[0xAA; 131],
                &[b"Test Using Larger Than Block-Size Key - Hash Key First"]
            )),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
