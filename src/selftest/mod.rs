//! The selftest: whether an adapter and its driver compute what they should.
//!
//! Every kernel in every variant against its f64 twin, every loss, optimizer, activation and schedule over some steps against PyTorch's
//! trajectories, the same bits again, and the adapter's limits. It is what a user with an odd driver runs first.
//!
//! The twins are here too, and the crate's tests compare with the same ones. They know nothing of kernels and plans.

mod cases;
#[doc(hidden)]
pub mod choices;
#[doc(hidden)]
pub mod compared;
#[doc(hidden)]
pub mod golden;
#[doc(hidden)]
pub mod kernels;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod problem;
#[doc(hidden)]
pub mod reference;
#[doc(hidden)]
pub mod shaders;
#[doc(hidden)]
pub mod training;
mod workers;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::gpu::{AdapterKind, AdapterSummary, Gpu};
use compared::Agreed;

/// How long a check may take where nothing else is told. The slowest takes lavapipe 25 a compiler's 26 s.
pub const TIMEOUT: Duration = Duration::from_secs(600);

/// What a selftest is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A folder with more trajectories, as `tests/golden/make_golden.py` writes them.
    pub golden: Option<PathBuf>,
    /// Checks alone whose section or name has these words, in any case: see [`checked`].
    pub only: Option<String>,
    /// How long a check may take until it counts as one that does not come back, which has failed; [`TIMEOUT`] where none is told.
    pub timeout: Option<Duration>,
    /// As if the adapter's subgroups had so many lanes: kernels that are wrong, to see that they are found.
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

/// What a selftest found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The adapter with its driver.
    pub adapter: AdapterSummary,
    /// The version of this crate.
    pub version: &'static str,
    /// Every check that was made.
    pub checks: Vec<Check>,
    /// How many were not made: whoever was told broke off, or several before them had not come back.
    pub left_out: usize,
    /// How long all of it took.
    pub took: Duration,
}

/// A section of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// What it is about.
    pub name: &'static str,
    /// Checks that passed.
    pub passed: usize,
    /// Checks that failed.
    pub failed: usize,
    /// Variants that the adapter cannot run.
    pub not_eligible: usize,
    /// The largest relative error in a check that passed.
    pub worst: f64,
    /// How long its checks took, one after another.
    pub took: Duration,
}

impl Report {
    /// Whether nothing failed, and something was checked.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none() && self.checks.iter().any(|check| matches!(check.outcome, Outcome::Passed(_)))
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed(_)))
    }

    /// The sections, in the order of their first checks.
    pub fn sections(&self) -> Vec<Section> {
        let mut sections: Vec<Section> = vec![];
        for check in &self.checks {
            let at = sections.iter().position(|section| section.name == check.section).unwrap_or_else(|| {
                sections.push(Section {
                    name: check.section,
                    passed: 0,
                    failed: 0,
                    not_eligible: 0,
                    worst: 0.0,
                    took: Duration::ZERO,
                });
                sections.len() - 1
            });
            let section = &mut sections[at];
            section.took += check.took;
            match check.outcome {
                Outcome::Passed(error) => {
                    section.passed += 1;
                    section.worst = section.worst.max(error);
                }
                Outcome::Failed(_) => section.failed += 1,
                Outcome::NotEligible(_) => section.not_eligible += 1,
            }
        }
        sections
    }
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

/// What a selftest of the adapter would check: the words that [`Options::only`] can have. Nothing is run.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Format`] for trajectories of [`Options::golden`] that cannot be read.
pub fn checked(gpu: &Gpu, options: &Options) -> Result<Vec<Checked>, Error> {
    Ok(cases::sections(&cases::all(gpu, &Options { only: None, ..options.clone() })?))
}

/// A check that is to be made.
struct Case {
    section: &'static str,
    name: String,
    run: Run,
}

/// A check on a device.
type OnDevice = dyn Fn(&Arc<Gpu>) -> Agreed + Send + Sync;

/// How a check is made.
enum Run {
    On(Box<OnDevice>),
    NotEligible(&'static str),
}

/// Runs every check on the adapter. `told` hears of each when it is done, with how many there are, and may break off.
///
/// ```no_run
/// use std::ops::ControlFlow::Continue;
///
/// let gpu = wgrad::Gpu::open(&wgrad::AdapterChoice::Auto)?;
/// let report = wgrad::selftest::run(&gpu, &Default::default(), |_, _| Continue(()))?;
/// assert!(report.passed(), "{:?}", report.failures().collect::<Vec<_>>());
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// On a software adapter checks run on all cores, on devices of their own; a device that a check loses is replaced for the next. A check that
/// does not come back within [`Options::timeout`] has failed. Its thread cannot be ended: it and its device are left behind, and another goes on; after
/// three of them nothing else is begun.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Format`] for trajectories that cannot be read; [`Error::Option`] where no check has the words of
/// [`Options::only`]; [`Error::Device`] where no device can be had any more. What
/// a check finds is no error: it is in the report.
pub fn run(
    gpu: &Arc<Gpu>,
    options: &Options,
    mut told: impl FnMut(&Check, usize) -> ControlFlow<()>,
) -> Result<Report, Error> {
    let started = Instant::now();
    let cases = cases::all(gpu, options)?;
    let workers = match gpu.adapter().kind {
        AdapterKind::Software => std::thread::available_parallelism().map_or(1, usize::from).min(8),
        _ => 1,
    };
    let (all, timeout, of) = (cases.len(), options.timeout.unwrap_or(TIMEOUT), Arc::clone(gpu));
    let open = move || pollster::block_on(of.another()).map(Arc::new);
    let checks = workers::make_all(cases, workers, timeout, open, |check| told(check, all))?;
    Ok(Report {
        adapter: gpu.adapter().clone(),
        version: env!("CARGO_PKG_VERSION"),
        left_out: all - checks.len(),
        checks,
        took: started.elapsed(),
    })
}

impl Case {
    /// What comes of it on this device.
    fn check(&self, gpu: &Arc<Gpu>) -> Check {
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
