//! Where the time of a step goes, and what the device could do at most.

use crate::error::Error;
use crate::gpu::{Checks, Gpu};
use crate::host::block_on;
use crate::measure::{self, Timer};
pub use crate::measure::{Bound, Ceilings, Profile, Span, StepTimes, Took, Trace};
use crate::plan::Plan;

/// A compiled plan over buffers of zeros, to be timed.
pub struct StepTimer<'a>(Timer<'a>);

impl<'a> StepTimer<'a> {
    /// Compiles the plan.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] where a kernel does not compile; [`Error::Option`] where a buffer does not fit, [`Error::Device`].
    pub fn new(gpu: &'a Gpu, plan: &Plan, checks: Checks) -> Result<Self, Error> {
        block_on(Timer::new(gpu, plan, checks)).map(StepTimer)
    }

    /// `times` steps in one submission.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for more than 262,144 of them, which the host has to remember all; [`Error::Device`].
    pub fn steps(&self, times: u64) -> Result<Took, Error> {
        block_on(self.0.steps(times))
    }

    /// One of the dispatches, `times` times in one submission.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where the plan has no such dispatch, and for more than 262,144 times; [`Error::Device`].
    pub fn dispatch(&self, at: usize, times: u64) -> Result<Took, Error> {
        block_on(self.0.dispatch(at, times))
    }
}

/// Times a plan over buffers of zeros, many steps a submission.
///
/// # Errors
///
/// As [`StepTimer::new`].
pub fn step_times(gpu: &Gpu, plan: &Plan, checks: Checks) -> Result<StepTimes, Error> {
    block_on(measure::step_times(gpu, plan, checks))
}

/// The seconds that the host spends on a step of a plan over buffers of zeros: it records the step and hands it over. The device may be one that executes nothing, as
/// a driver has it on a machine without its GPU; [`step_times`] refuses it.
///
/// # Errors
///
/// As [`StepTimer::new`].
pub fn host_time(gpu: &Gpu, plan: &Plan, checks: Checks) -> Result<f64, Error> {
    block_on(measure::host_time(gpu, plan, checks))
}

/// Measures a copy of 256 MiB, or of the largest buffer, as a smaller one would stay in the caches of a large device; a product of 1024³ with the tile of the adapter's rule, and a textbook's kernel.
///
/// # Errors
///
/// As [`StepTimer::new`].
pub fn ceilings(gpu: &Gpu, checks: Checks) -> Result<Ceilings, Error> {
    block_on(measure::ceilings(gpu, checks))
}

/// Times a plan over buffers of zeros: its dispatches, whole steps, and a trace of some.
///
/// # Errors
///
/// As [`StepTimer::new`].
pub fn profile(gpu: &Gpu, plan: &Plan, checks: Checks) -> Result<Profile, Error> {
    block_on(measure::profile(gpu, plan, checks))
}
