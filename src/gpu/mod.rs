//! The device: adapters, buffers, pipelines and reads. Nothing outside this room names wgpu.

mod adapter;
mod buffer;
mod cache_file;
mod checks;
mod device;
mod faults;
mod pipelines;
mod program;
mod readback;
mod rehearsal;
mod staging;
mod timestamps;
mod trusted;

pub use adapter::{AdapterChoice, AdapterKind, AdapterSummary, Limits, adapters, quiet_drivers};
pub use buffer::Memory;
pub(crate) use buffer::{Buffer, buffer_bytes};
pub use checks::Checks;
pub(crate) use device::{Encoder, Submission};
pub use device::{Gpu, OpenOptions, Traffic};
pub(crate) use program::Program;
pub(crate) use readback::Readback;
pub(crate) use staging::Staging;
pub(crate) use timestamps::Timestamps;
