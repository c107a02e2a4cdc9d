//! Playlists from elsewhere: any text is read or refused, and what was understood is a fixed point.
//!
//! In → Out: text → model → canonical text → the same model.
//! Covers: core/hls/src/playlist/parse.rs
//! Spec: RFC 8216bis, "Playlists", "Attribute Lists".
#![no_main]

use hls::playlist::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(playlist) = parse::media(text) {
        let canonical = playlist.to_string();
        let again = parse::media(&canonical).expect("canonical text is readable");
        assert_eq!(again.to_string(), canonical);
    }
    if let Ok(playlist) = parse::multivariant(text) {
        let canonical = playlist.to_string();
        let again = parse::multivariant(&canonical).expect("canonical text is readable");
        assert_eq!(again.to_string(), canonical);
    }
});
