//! The product's core from publisher to viewer, in virtual time.
//!
//! In → Out: scenarios → what the reference viewer saw.
//! Spec: design "Segments", "Playlists".

mod judgement;
mod simulation;
