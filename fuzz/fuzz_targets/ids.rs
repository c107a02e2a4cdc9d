//! Names from paths and from encoders: whatever is accepted is one harmless path component, and prints as it was read.
//!
//! In → Out: text → accepted or not; a panic is a finding.
//! Covers: core/media/src/ids.rs
//! Spec: design "Paths".
#![no_main]

use libfuzzer_sys::fuzz_target;
use media::{BroadcastId, RenditionName};

fuzz_target!(|text: &str| {
    if let Ok(id) = BroadcastId::parse(text) {
        assert_eq!(id.as_str(), text);
        assert!(text.len() <= BroadcastId::LENGTH_MAX && !text.is_empty());
        assert!(!text.contains(['/', '.', '%', '\\', '\0', '"', '<']));
    }
    if let Some(name) = RenditionName::parse(text) {
        assert_eq!(name.as_str(), text);
    }
});
