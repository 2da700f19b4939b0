//! Checks, and their outcomes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compared::Agreed;
use crate::gpu::Gpu;

/// The options of a selftest.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A folder with more trajectories, as `tests/golden/make_golden.py` writes them.
    pub golden: Option<PathBuf>,
    /// Makes only the checks whose section or name has these words, in any case: see [`checked`](super::checked).
    pub only: Option<String>,
    /// The time after which a check that has not finished counts as failed; `None` for [`TIMEOUT`](super::TIMEOUT).
    pub timeout: Option<Duration>,
    /// Compiles kernels as if the adapter's subgroups had this many lanes, to see that the checks find wrong kernels.
    #[doc(hidden)]
    pub lanes: Option<u32>,
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The results are as expected; this is the largest relative error.
    Passed(f64),
    /// A result is not as expected: what it is, and what was expected.
    Failed(String),
    /// The adapter cannot run the check, for this reason.
    NotEligible(&'static str),
}

/// One check.
#[derive(Clone, Debug)]
pub struct Check {
    /// The section of the report that it belongs to.
    pub section: &'static str,
    /// What was checked.
    pub name: String,
    /// Its outcome.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// What a section of the selftest checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The section's name in a report.
    pub name: &'static str,
    /// The number of its checks on this adapter.
    pub checks: usize,
    /// The first word of each of its checks' names, once.
    pub what: Vec<String>,
}

/// A check that has not been made yet.
pub(super) struct Case {
    pub section: &'static str,
    pub name: String,
    pub run: Run,
}

/// A check on a device.
pub(super) type OnDevice = dyn Fn(&Arc<Gpu>) -> Agreed + Send + Sync;

/// How a check is made.
pub(super) enum Run {
    On(Box<OnDevice>),
    NotEligible(&'static str),
}

impl Case {
    /// Makes the check on this device.
    pub fn check(&self, gpu: &Arc<Gpu>) -> Check {
        let started = Instant::now();
        let outcome = match &self.run {
            Run::NotEligible(reason) => Outcome::NotEligible(reason),
            // Wrong results of a driver may make the check itself panic.
            Run::On(run) => match catch_unwind(AssertUnwindSafe(|| run(gpu))) {
                Ok(Ok(worst)) => match gpu.check() {
                    Ok(()) => Outcome::Passed(worst),
                    Err(error) => Outcome::Failed(error.to_string()),
                },
                Ok(Err(wrong)) => Outcome::Failed(wrong),
                Err(_) => Outcome::Failed("the check crashed".into()),
            },
        };
        Check { section: self.section, name: self.name.clone(), outcome, took: started.elapsed() }
    }
}
