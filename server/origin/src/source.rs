//! What the HTTP server reads: the live windows of the broadcasts that exist.
//!
//! In → Out: a broadcast's id from a path → its live windows.
//! Spec: design "Paths".

use std::sync::Arc;

use delivery::{Live, Source};
use media::BroadcastId;

use crate::registry::Registry;

impl Source for Registry {
    fn live(&self, id: &str) -> Option<Arc<Live>> {
        BroadcastId::parse(id)
            .ok()
            .and_then(|id| Registry::live(self, &id))
    }
}
