//! The device: adapters, buffers, pipelines and reads. Nothing outside this room names wgpu.

mod adapter;
mod device;
mod faults;
mod pipelines;
mod program;
mod readback;
mod rehearsal;
mod staging;
mod timestamps;
mod trusted;

pub use adapter::{AdapterChoice, AdapterKind, AdapterSummary, adapters};
pub(crate) use device::{Buffer, Encoder, Submission};
pub use device::{Gpu, Traffic};
pub use program::Checks;
pub(crate) use program::Program;
pub(crate) use readback::Readback;
pub(crate) use staging::Staging;
pub(crate) use timestamps::Timestamps;
