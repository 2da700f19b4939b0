//! Checkpoints: what one holds, how it goes to a file while training goes on, and how a run comes back from it.

pub(crate) mod configuration;
pub(crate) mod file;
pub(crate) mod folder;
pub(crate) mod restore_point;
pub(crate) mod resume;
pub(crate) mod snapshot;

pub use file::{Checkpoint, Checkpointing, Every};
