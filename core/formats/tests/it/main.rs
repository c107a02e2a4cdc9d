//! Parsers and the normaliser at their public boundary.
//!
//! In → Out: made-up publishers → the events and times that a packager would get.
//! Spec: the case catalogue (ING-…).

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "generated numbers are small"
)]

mod fmp4;
mod h264;
mod mpegts;
mod properties;
mod publisher;
mod reordering;
mod session;
mod timeline;
mod tracks;
