//! Playlists read back, for viewers and tests.
//!
//! In → Out: M3U8 text → what it says, or the line that is wrong.
//! Spec: RFC 8216bis, "Playlists".
