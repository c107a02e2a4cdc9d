//! Parsers and the normaliser at their public boundary.
//!
//! In → Out: made-up publishers → the events and times that a packager would get.
//! Spec: the case catalogue (ING-…).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod h264;
mod properties;
mod publisher;
mod session;
mod timeline;
