//! What a packager, its window and its playlists do, seen from outside.
//!
//! In → Out: synthetic sessions → outputs, snapshots, playlists.
//! Spec: RFC 8216bis; design "Segments", "Playlists".

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::struct_excessive_bools,
    reason = "test equipment: numbers are small, and a panic fails the test"
)]

mod audit;
mod days;
mod epochs;
mod following;
mod hostile;
mod packaging;
mod parsing;
mod playlists;
mod reloading;
mod studio;
mod windows;
