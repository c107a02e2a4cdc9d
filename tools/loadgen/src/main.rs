//! Load for a Nearcast server: thousands of viewers or publishers in one process.
//!
//! In → Out: the command line → load, and its numbers as text or JSON.
//! Spec: none; our own.

fn main() {}
