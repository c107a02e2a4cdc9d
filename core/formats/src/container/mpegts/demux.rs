//! Being written.
//!
//! In → Out: nothing yet.
//! Spec: none.
