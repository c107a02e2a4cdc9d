//! Keeps on disk how far the numbers of each broadcast have run, so that a URL never gets a second body.
//!
//! In → Out: the registry's positions → the store: before a publisher is admitted, every two seconds, and at the end.
//! A crash loses two seconds of notes; the store skips ahead by more than can happen in that time.
//! Spec: design "Segments" (one URL, one body, for ever); RFC 8216bis, "EXT-X-MEDIA-SEQUENCE".

use std::time::{Duration, SystemTime};

use media::{BroadcastId, UnixTime};
use origin::{Note, Registry, Start};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

const INTERVAL: Duration = Duration::from_secs(2);

/// Where a broadcast's numbers may begin, noted before the first of them is used.
pub(crate) async fn reserve(
    store: &Store,
    registry: &Registry,
    id: &BroadcastId,
) -> Result<Start, StoreError> {
    // A broadcast that exists counts on from where it is.
    if registry.status(id).is_some() {
        return Ok(Start::default());
    }
    let now = now();
    let start = store.position(id, now).await?;
    store
        .save_positions(
            &[Note {
                id: id.clone(),
                position: start,
                settled: false,
            }],
            now,
        )
        .await?;
    Ok(start)
}

/// Notes positions until `stopped` is cancelled, which is to happen after all broadcasts have ended; then notes the
/// last ones.
pub(crate) fn spawn_ledger(
    store: Store,
    registry: Registry,
    stopped: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut noted = Vec::new();
        loop {
            let last = tokio::select! {
                _ = ticks.tick() => false,
                () = stopped.cancelled() => true,
            };
            let notes = registry.notes();
            if notes != noted {
                match store.save_positions(&notes, now()).await {
                    Ok(()) => noted = notes,
                    Err(error) => tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "numbers of broadcasts cannot be saved"
                    ),
                }
            }
            if last {
                return;
            }
        }
    })
}

pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
