//! How fast a publisher is read.
//!
//! In → Out: bytes read and the time → how long to wait before reading on. What is not read fills the socket's buffers,
//! and TCP slows the publisher down; nothing is dropped and no other publisher notices.
//! Spec: none; a token bucket.

use std::time::Duration;

/// The token bucket of one connection.
#[derive(Debug)]
pub(super) struct Policer {
    bytes_per_second: u64,
    burst: u64,
    /// Bytes that may be read at `at`; negative when too many were read.
    tokens: i64,
    at: Duration,
}

impl Policer {
    pub(super) fn new(bitrate_bps: u64, burst: u64, now: Duration) -> Self {
        let burst = burst.min(i64::MAX.unsigned_abs());
        Self {
            bytes_per_second: (bitrate_bps / 8).max(1),
            burst,
            tokens: burst.cast_signed(),
            at: now,
        }
    }

    /// Takes note of bytes read; returns how long to wait, if at all.
    pub(super) fn handle_read(&mut self, bytes: usize, now: Duration) -> Option<Duration> {
        let passed = now.saturating_sub(self.at);
        let earned = u128::from(self.bytes_per_second) * passed.as_micros() / 1_000_000;
        if earned > 0 {
            self.at = now;
            let tokens = i128::from(self.tokens) + i128::try_from(earned).unwrap_or(i128::MAX);
            self.tokens = i64::try_from(tokens.min(i128::from(self.burst))).unwrap_or(i64::MAX);
        }
        self.tokens = self.tokens.saturating_sub_unsigned(bytes as u64);
        let debt = (self.tokens < 0).then(|| self.tokens.unsigned_abs())?;
        let micros = u128::from(debt) * 1_000_000 / u128::from(self.bytes_per_second);
        Some(Duration::from_micros(
            u64::try_from(micros).unwrap_or(u64::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ing_29_the_average_is_held_and_a_burst_is_let_through() {
        let mut now = Duration::ZERO;
        let mut policer = Policer::new(8_000_000, 500_000, now);
        assert_eq!(policer.handle_read(500_000, now), None);
        let mut read = 0;
        while read < 5_000_000 {
            read += 16_384;
            now += policer.handle_read(16_384, now).unwrap_or_default();
        }
        let seconds = now.as_secs_f64();
        assert!(
            (4.9..5.1).contains(&seconds),
            "5 MB at 1 MB/s took {seconds} s"
        );
    }

    #[test]
    fn a_publisher_within_its_bitrate_never_waits() {
        let mut policer = Policer::new(8_000_000, 100_000, Duration::ZERO);
        for frame in 1..1_000_u64 {
            assert_eq!(
                policer.handle_read(30_000, Duration::from_millis(33 * frame)),
                None
            );
        }
    }
}
