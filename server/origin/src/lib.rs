//! Live broadcasts: the task that owns each, and the registry of all. Read `pipeline.rs` first.
//!
//! In → Out: admitted publishers' [`media::Event`]s → growing segments and playlists that `delivery` serves.
//! Spec: design "One picture"; ownership and flow in ARCHITECTURE.md.

mod broadcast;
mod clock;
mod pipeline;
mod registry;
mod session;
mod source;
mod status;

pub use pipeline::PipelineConfig;
pub use registry::{AdmitError, Registry, Settings};
pub use session::{Programme, Start};
pub use status::{Note, PublisherStatus, RenditionStatus, State, Status};
