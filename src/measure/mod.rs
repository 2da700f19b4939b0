//! How long steps take on a device, and which tiles are the fastest on it.

mod profile;
mod trace;
pub(crate) mod tuner;
pub(crate) mod tuning;

pub use profile::{Bound, Ceilings, StepTimes, Took};
pub(crate) use profile::{Timer, ceilings, host_time, step_times};
pub(crate) use trace::profile;
pub use trace::{Profile, Span, Trace};
pub use tuning::Tuning;
