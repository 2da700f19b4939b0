//! How long steps take on a device, and which tiles are the fastest on it.

mod profile;
mod trace;
pub(crate) mod tuner;
pub(crate) mod tuning;

pub use profile::{Bound, Ceilings, StepTimer, StepTimes, Took, ceilings, step_times};
pub use trace::{Profile, Span, Trace, profile};
pub use tuning::Tuning;
