//! Programs on the device, driven through their steps: training in chunks, passes that train nothing, and the rows that both take.

pub(crate) mod activations;
mod averaging;
pub(crate) mod buffers;
pub(crate) mod continuation;
pub(crate) mod device_model;
pub(crate) mod evaluator;
mod exchange;
mod exchanged;
mod in_parts;
pub(crate) mod order;
pub(crate) mod outputs;
pub(crate) mod parameters;
pub(crate) mod probe;
pub(crate) mod rows;
pub(crate) mod runner;
mod shared;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod sums;
mod told;

pub(crate) mod windows;
