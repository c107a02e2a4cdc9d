//! Live broadcasts: the task that owns each, and the registry of all. Read `pipeline.rs` first.
//!
//! In → Out: admitted publishers' [`media::Event`]s → growing segments and playlists that `delivery` serves.
//! Spec: design "One picture"; ownership and flow in ARCHITECTURE.md.

mod advice;
mod broadcast;
mod clock;
mod photographer;
mod pipeline;
mod position;
mod registry;
mod repair;
mod rungs;
mod session;
mod settings;
mod source;
mod status;

pub use advice::Advice;
pub use registry::{AdmitError, Registry};
pub use session::{Programme, Start};
pub use settings::{PipelineConfig, Settings};
pub use status::{Note, PublisherStatus, RenditionState, RenditionStatus, State, Status};
