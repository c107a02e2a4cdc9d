//! What a packager, its window and its playlists do, seen from outside.
//!
//! In → Out: synthetic sessions → outputs, snapshots, playlists.
//! Spec: RFC 8216bis; design "Segments", "Playlists".

mod packaging;
mod studio;
