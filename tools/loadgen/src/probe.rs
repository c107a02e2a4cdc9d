//! Viewers that read the stamps in pictures: from the publisher's `write` to the viewer's `read`.
//!
//! In → Out: body bytes of a light viewer, in any pieces → lateness of each stamped picture.
//! Spec: none; the stamp is `testkit::synthetic`'s.

use media::UnixTime;
use testkit::synthetic::h264::{STAMP_DIGITS, STAMP_MARK};
use testkit::viewer::Times;

use crate::clock::Clock;
use crate::light::Watch;

/// Mark and digits.
const LENGTH: usize = STAMP_MARK.len() + STAMP_DIGITS;

/// Finds stamps in the bodies of two connections.
#[derive(Debug)]
pub struct Stamps {
    clock: Clock,
    /// The end of what came before, per connection: a stamp may be cut in two.
    tails: [Vec<u8>; 2],
    /// When the newest response began: what was made before it says nothing about delivery.
    since: UnixTime,
    /// What was found.
    pub lateness: Times,
}

impl Stamps {
    /// Nothing found yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            tails: [Vec::new(), Vec::new()],
            since: clock.now(),
            lateness: Times::default(),
        }
    }

    fn search(&mut self, bytes: &[u8], now: UnixTime) -> usize {
        let mut at = 0;
        while let Some(found) = find(&bytes[at..]) {
            let digits = bytes.get(at + found + STAMP_MARK.len()..at + found + LENGTH);
            let Some(digits) = digits else {
                return at + found;
            };
            if let Some(sent) = read(digits)
                && sent >= self.since
            {
                self.lateness.record(now.since(sent));
            }
            at += found + LENGTH;
        }
        at.max(bytes.len().saturating_sub(STAMP_MARK.len() - 1))
    }
}

impl Watch for Stamps {
    fn head(&mut self) {
        self.since = self.clock.now();
    }

    fn body(&mut self, lane: usize, bytes: &[u8]) {
        let now = self.clock.now();
        let mut joined = std::mem::take(&mut self.tails[lane]);
        joined.extend_from_slice(bytes);
        let rest = self.search(&joined, now);
        joined.drain(..rest);
        self.tails[lane] = joined;
    }
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(STAMP_MARK.len())
        .position(|window| window == STAMP_MARK)
}

fn read(digits: &[u8]) -> Option<UnixTime> {
    let nanos = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (nanos > 0).then(|| UnixTime::from_nanos(nanos))
}

/// The stamp for something sent now.
pub fn stamp(now: UnixTime) -> [u8; LENGTH] {
    testkit::synthetic::h264::stamp(now.as_nanos())
}

/// Adds up what several probes found.
pub fn sum<'a>(probes: impl IntoIterator<Item = &'a Times>) -> Times {
    let mut all = Times::default();
    for times in probes {
        all.add(times);
    }
    all
}

#[cfg(test)]
mod tests {
    use media::Delta;

    use super::*;

    #[test]
    fn stamps_are_found_however_the_body_is_cut() {
        let clock = Clock::new(Delta::ZERO);
        let mut body = vec![7; 100];
        for _ in 0..3 {
            body.extend_from_slice(&stamp(clock.now()));
            body.extend_from_slice(&[9; 333]);
        }
        for step in 1..body.len() {
            let mut stamps = Stamps::new(clock);
            stamps.since = UnixTime::default();
            for piece in body.chunks(step) {
                stamps.body(0, piece);
            }
            assert_eq!(stamps.lateness.percentiles().count, 3, "{step}");
        }
    }
}
