//! Control: who may publish what, and the JSON API that says what is live.
//!
//! In → Out: publish requests → admissions or refusals; HTTP requests → JSON; the registry's numbers → the database.
//! Spec: `/api/v1/openapi.json`, whose golden copy is `openapi/v1.json`.

pub mod api;
mod desk;
mod gate;
mod ledger;
mod limiter;
mod secret;
mod store;

pub use desk::{Control, Endpoints, read_token};
pub use gate::Policy;
pub use secret::AdminToken;
