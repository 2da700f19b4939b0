//! What a check is, and what comes of it.

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
    /// Checks alone whose section or name has these words, in any case: see [`checked`](super::checked).
    pub only: Option<String>,
    /// How long a check may take until it counts as one that does not come back, which has failed; [`TIMEOUT`](super::TIMEOUT) where none is told.
    pub timeout: Option<Duration>,
    /// As if the adapter's subgroups had this many lanes: kernels that are wrong, to see that they are found.
    #[doc(hidden)]
    pub lanes: Option<u32>,
}

/// What came of one check.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// As expected: the largest relative error that was seen.
    Passed(f64),
    /// What was not as expected, and what would have been.
    Failed(String),
    /// Why the adapter cannot run it. It was not checked.
    NotEligible(&'static str),
}

/// One check.
#[derive(Clone, Debug)]
pub struct Check {
    /// The section of the report that it belongs to.
    pub section: &'static str,
    /// What was checked.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// What a section of the selftest checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The section, as a report has it.
    pub name: &'static str,
    /// How many checks it has on this adapter.
    pub checks: usize,
    /// The first word of each of its checks' names, once.
    pub what: Vec<String>,
}

/// A check that is to be made.
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
    /// What comes of it on this device.
    pub fn check(&self, gpu: &Arc<Gpu>) -> Check {
        let started = Instant::now();
        let outcome = match &self.run {
            Run::NotEligible(reason) => Outcome::NotEligible(reason),
            // A driver's results can be such that we stumble over them.
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
