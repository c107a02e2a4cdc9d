//! A budget for HTTP/2 frames that cost us work and the sender nothing.
//!
//! In → Out: the bytes a peer sends → an error once it has spent its budget of control frames. Bytes that are not HTTP/2 pass.
//! hyper bounds resets, streams and heads; PING, SETTINGS, PRIORITY, WINDOW_UPDATE and empty frames it answers without limit.
//! Spec: RFC 9113, "Frame Format" (4.1), "Denial-of-Service Considerations" (10.5).

use std::io;
use std::time::{Duration, Instant};

/// Follows the frames of one connection.
#[derive(Debug, Default)]
pub(crate) struct FrameGuard {
    place: Place,
    spent: u32,
    window: Option<Instant>,
}

#[derive(Debug, Default)]
enum Place {
    /// Comparing with the preface: this many bytes match.
    #[default]
    Start,
    Preface(usize),
    /// In a frame's head.
    Head {
        bytes: [u8; HEAD_BYTES],
        filled: usize,
    },
    /// In a frame's payload.
    Payload(usize),
    /// Another protocol.
    Foreign,
}

impl FrameGuard {
    /// Looks at what has been received.
    pub(crate) fn handle_received(&mut self, mut bytes: &[u8], now: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Foreign => return Ok(()),
                Place::Start => self.place = Place::Preface(0),
                Place::Preface(matched) => {
                    let count = bytes.len().min(PREFACE.len() - *matched);
                    if bytes[..count] != PREFACE[*matched..*matched + count] {
                        self.place = Place::Foreign;
                        return Ok(());
                    }
                    *matched += count;
                    bytes = &bytes[count..];
                    if *matched == PREFACE.len() {
                        self.place = Place::Head {
                            bytes: [0; HEAD_BYTES],
                            filled: 0,
                        };
                    }
                }
                Place::Head {
                    bytes: head,
                    filled,
                } => {
                    let count = bytes.len().min(HEAD_BYTES - *filled);
                    head[*filled..*filled + count].copy_from_slice(&bytes[..count]);
                    *filled += count;
                    bytes = &bytes[count..];
                    if *filled == HEAD_BYTES {
                        let head = *head;
                        let length = usize::from(head[0]) << 16
                            | usize::from(head[1]) << 8
                            | usize::from(head[2]);
                        self.place = Place::Payload(length);
                        self.spend(cost(head[3], head[4], length), now)?;
                        self.skip_empty();
                    }
                }
                Place::Payload(left) => {
                    let count = bytes.len().min(*left);
                    *left -= count;
                    bytes = &bytes[count..];
                    self.skip_empty();
                }
            }
        }
        Ok(())
    }

    fn skip_empty(&mut self) {
        if matches!(self.place, Place::Payload(0)) {
            self.place = Place::Head {
                bytes: [0; HEAD_BYTES],
                filled: 0,
            };
        }
    }

    fn spend(&mut self, cost: u32, now: Instant) -> io::Result<()> {
        if self
            .window
            .is_none_or(|began| now.saturating_duration_since(began) >= WINDOW)
        {
            self.window = Some(now);
            self.spent = 0;
        }
        self.spent = self.spent.saturating_add(cost);
        if self.spent > BUDGET {
            Err(io::Error::other("too many HTTP/2 control frames"))
        } else {
            Ok(())
        }
    }
}

/// What a frame costs: nothing for those that carry a request or its body.
fn cost(kind: u8, flags: u8, length: usize) -> u32 {
    let ends_stream = flags & 1 == 1;
    match kind {
        DATA if length == 0 && !ends_stream => 5,
        DATA => 0,
        // Some clients send a window update for each DATA frame that they take.
        HEADERS | WINDOW_UPDATE => 1,
        RST_STREAM => 5,
        PRIORITY | PRIORITY_UPDATE => 2,
        // PING, SETTINGS, CONTINUATION, and whatever has no business here.
        _ => 10,
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const PRIORITY_UPDATE: u8 = 16;

const HEAD_BYTES: usize = 9;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The budget is renewed this often.
const WINDOW: Duration = Duration::from_secs(10);

/// Cost units a window: 300 requests a second with their window updates fit, 1,000 pings do not.
const BUDGET: u32 = 8_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const CONTINUATION: u8 = 9;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.extend_from_slice(payload);
        bytes
    }

    fn survives(frames: &[Vec<u8>], step: usize) -> bool {
        let mut guard = FrameGuard::default();
        let now = Instant::now();
        let all = [PREFACE.to_vec(), frames.concat()].concat();
        all.chunks(step)
            .all(|bytes| guard.handle_received(bytes, now).is_ok())
    }

    #[test]
    fn http_04_control_frames_have_a_budget_however_they_are_cut() {
        for step in [1, 7, 9, 64, 4096] {
            assert!(
                survives(&vec![frame(DATA, 0, &[0; 100]); 5_000], step),
                "data is free"
            );
            assert!(
                survives(&vec![frame(HEADERS, 4, &[0; 30]); 2_000], step),
                "requests are cheap"
            );
            for kind in [PING, SETTINGS, CONTINUATION] {
                assert!(
                    !survives(&vec![frame(kind, 0, &[0; 8]); 1_000], step),
                    "{kind}"
                );
            }
            assert!(
                !survives(&vec![frame(RST_STREAM, 0, &[0; 4]); 2_000], step),
                "resets"
            );
            assert!(
                !survives(&vec![frame(DATA, 0, &[]); 2_000], step),
                "empty data"
            );
        }
    }

    #[test]
    fn the_budget_is_renewed_and_other_protocols_pass() {
        let mut guard = FrameGuard::default();
        let now = Instant::now();
        guard.handle_received(PREFACE, now).unwrap();
        for second in 0..100 {
            for _ in 0..50 {
                guard
                    .handle_received(&frame(PING, 0, &[0; 8]), now + Duration::from_secs(second))
                    .unwrap();
            }
        }
        let mut foreign = FrameGuard::default();
        foreign.handle_received(&vec![0; 100_000], now).unwrap();
    }
}
