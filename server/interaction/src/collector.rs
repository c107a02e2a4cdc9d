//! The collector of one room: requests are held to the limits and summed where they arrive; the room's task sees sums.
//!
//! In → Out: posts from any number of connections → one contribution a flush; the task is woken once for it.
//! Spec: docs/ix.md, "Limits"; `room::Intake`.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use media::UnixTime;
use room::{Contribution, Intake, IntakePolicy, Post, Prefix, Receipt, Refusal, Rules, Source};
use tokio::sync::Notify;

/// Shared by the connections and the task of one room.
#[derive(Debug)]
pub(crate) struct Collector {
    intake: Mutex<Intake>,
    wake: Notify,
}

impl Collector {
    pub(crate) fn new(policy: IntakePolicy) -> Self {
        Self {
            intake: Mutex::new(Intake::new(policy)),
            wake: Notify::new(),
        }
    }

    /// Counts one request.
    pub(crate) fn post(
        &self,
        source: &Source,
        post: &Post,
        now: UnixTime,
    ) -> Result<Receipt, Refusal> {
        let receipt = self.intake().handle_post(source, post, now);
        // A permit is kept, so a flood wakes the task once.
        self.wake.notify_one();
        receipt
    }

    /// Waits until something may have come.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }

    /// What has come since the last flush.
    pub(crate) fn flush(&self) -> Option<Contribution> {
        self.intake().poll_contribution()
    }

    pub(crate) fn obey(&self, rules: &Rules, now: UnixTime) {
        self.intake().handle_rules(rules, now);
    }

    fn intake(&self) -> std::sync::MutexGuard<'_, Intake> {
        // Sums stay sums after a panic elsewhere.
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network of an address, /24 or /48, as a hash with a key that dies with the process: no address is kept or shown.
pub fn prefix_of(address: IpAddr) -> Prefix {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    let key = KEY.get_or_init(RandomState::new);
    let mut network = [0; 7];
    match address.to_canonical() {
        IpAddr::V4(address) => {
            network[0] = 4;
            network[1..4].copy_from_slice(&address.octets()[..3]);
        }
        IpAddr::V6(address) => {
            network[0] = 6;
            network[1..].copy_from_slice(&address.octets()[..6]);
        }
    }
    Prefix(key.hash_one(network))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_prefix_and_others_do_not() {
        let prefix = |text: &str| prefix_of(text.parse().unwrap());
        assert_eq!(prefix("192.0.2.1"), prefix("192.0.2.200"));
        assert_eq!(prefix("192.0.2.1"), prefix("::ffff:192.0.2.9"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.3.1"));
        assert_eq!(prefix("2001:db8:1::1"), prefix("2001:db8:1:ffff::1"));
        assert_ne!(prefix("2001:db8:1::1"), prefix("2001:db8:2::1"));
    }
}
