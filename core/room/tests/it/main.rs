//! The room from the outside: inputs in, beats out.
//!
//! In → Out: posts, comments, votes and virtual time → assertions on outputs, totals and bounds.
//! Spec: `docs/ix.md`; cases IX-09 to IX-22.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cases;
mod comments;
mod driver;
mod juries;
mod lasting;
mod model;
mod wire;
