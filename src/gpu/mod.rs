//! The device: adapters, buffers, pipelines and reads. Nothing outside this room names wgpu.

mod adapter;
mod device;
mod program;
mod readback;

pub use adapter::{AdapterChoice, AdapterSummary, adapters};
pub use device::Gpu;
pub(crate) use device::{Buffer, Submission};
pub use program::Checks;
pub(crate) use program::Program;
pub(crate) use readback::Readback;
