//! Broadcasts as their surroundings see them: publishers come, vanish, return and are replaced; viewers' views stay true.
//!
//! In → Out: synthetic publishers under virtual time → statuses and views.
//! Spec: design "Segments"; cases ING-17, ING-18, ING-19, ING-34.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops where it is"
)]

mod alignment;
mod lives;
mod repair;
#[expect(dead_code, reason = "shared with the transcoder's own tests")]
#[path = "../../../transcode/tests/it/source.rs"]
mod source;
mod stage;
mod starved;
