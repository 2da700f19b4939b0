//! The device: adapters, buffers, pipelines and reads. Nothing outside this room names wgpu.

mod adapter;
mod blocking;
mod buffer;
mod checks;
mod checksum;
mod device;
mod faults;
mod pipelines;
mod program;
mod readback;
mod rehearsal;
mod staging;
mod submission;
mod timestamps;
mod trusted;

pub use adapter::{AdapterChoice, AdapterKind, AdapterSummary, Limits, quiet_drivers};
pub use blocking::adapters;
pub use buffer::Memory;
pub(crate) use buffer::{Buffer, buffer_bytes};
pub use checks::Checks;
pub(crate) use device::Encoder;
pub use device::{Gpu, OpenOptions, Traffic};
pub(crate) use program::Program;
pub(crate) use readback::Readback;
pub(crate) use staging::Staging;
pub(crate) use submission::Submission;
pub(crate) use timestamps::Timestamps;
