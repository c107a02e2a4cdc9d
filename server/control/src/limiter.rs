//! Wrong secrets per address prefix: counts them, and says when a prefix has had enough.
//!
//! In → Out: failures with an address and a time → whether the next failure from there is answered shortly.
//! A right secret always passes, wherever it comes from: a limit on everybody behind an address would let a stranger
//! lock out the owner. What the limit saves is the work and the log lines that wrong ones cost.
//! Spec: none; our own. Prefixes are /24 for IPv4 and /48 for IPv6, the usual smallest allocations.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Wrong secrets that a prefix may show in one window before it is limited.
const FAILURES_MAX: u32 = 20;
/// How long failures are remembered.
const WINDOW: Duration = Duration::from_mins(1);
/// Prefixes remembered at once; beyond it the oldest window is forgotten.
const PREFIXES_MAX: usize = 4_096;

/// Counts failures per prefix. Bounded memory: about 200 kB.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    windows: HashMap<Prefix, Window>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Prefix {
    V4([u8; 3]),
    V6([u16; 3]),
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    failures: u32,
}

impl Limiter {
    /// Whether this address's prefix has shown too many wrong secrets of late.
    pub(crate) fn is_limited(&self, address: IpAddr, now: Instant) -> bool {
        self.windows
            .get(&Prefix::of(address))
            .is_some_and(|window| window.is_open(now) && window.failures >= FAILURES_MAX)
    }

    /// Notes a wrong secret.
    pub(crate) fn note_failure(&mut self, address: IpAddr, now: Instant) {
        let prefix = Prefix::of(address);
        match self.windows.get_mut(&prefix) {
            Some(window) if window.is_open(now) => {
                window.failures = window.failures.saturating_add(1);
            }
            _ => {
                self.make_room(now);
                self.windows.insert(
                    prefix,
                    Window {
                        began: now,
                        failures: 1,
                    },
                );
            }
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.windows.len() < PREFIXES_MAX {
            return;
        }
        self.windows.retain(|_, window| window.is_open(now));
        if self.windows.len() >= PREFIXES_MAX {
            let oldest = self
                .windows
                .iter()
                .min_by_key(|(_, window)| window.began)
                .map(|(prefix, _)| *prefix);
            oldest.and_then(|prefix| self.windows.remove(&prefix));
        }
    }
}

impl Window {
    fn is_open(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) < WINDOW
    }
}

impl Prefix {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(address) => {
                let [a, b, c, ..] = address.segments();
                Self::V6([a, b, c])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ing_21_a_prefix_is_limited_after_twenty_wrong_secrets_and_forgiven_after_a_minute() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        for n in 0..FAILURES_MAX {
            let from = address(&format!("192.0.2.{n}"));
            assert!(!limiter.is_limited(from, now));
            limiter.note_failure(from, now);
        }
        assert!(limiter.is_limited(address("192.0.2.77"), now));
        assert!(limiter.is_limited(address("::ffff:192.0.2.1"), now));
        assert!(!limiter.is_limited(address("192.0.3.1"), now));
        assert!(!limiter.is_limited(address("192.0.2.77"), now + WINDOW));
    }

    #[test]
    fn ing_21_a_flood_from_many_prefixes_costs_bounded_memory() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        for n in 0..20_000_u32 {
            limiter.note_failure(IpAddr::from((n << 8).to_be_bytes()), now);
        }
        assert!(limiter.windows.len() <= PREFIXES_MAX);
    }
}
