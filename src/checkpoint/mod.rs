//! Checkpoints: what one holds, how it goes to a file while training goes on, and how a run comes back from it.

pub(crate) mod configuration;
mod file;
mod fit_state;
pub(crate) mod folder;
pub(crate) mod groups;
pub(crate) mod packing;
mod restore_point;
mod resumed;
mod saved;
mod snapshot;
mod table;

pub use file::Checkpoint;
pub(crate) use fit_state::FitState;
pub(crate) use restore_point::RestorePoint;
pub(crate) use resumed::Resumed;
pub(crate) use saved::{Run, Saved};
pub(crate) use snapshot::{PartSnapshots, Snapshots};
