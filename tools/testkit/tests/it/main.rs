//! The product's core from publisher to viewer, in virtual time.
//!
//! In → Out: scenarios → what the reference viewer saw.
//! Spec: design "Segments", "Playlists".

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod judgement;
mod simulation;
