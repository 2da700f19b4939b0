//! The selftest, which checks whether an adapter and its driver compute correctly.
//!
//! It compares every kernel in every variant with its f64 twin, and every loss, optimizer, activation and schedule over some steps with PyTorch's
//! trajectories. It checks that runs repeat bit for bit, and the adapter's limits. A user with an odd driver should run it first.
//!
//! The twins are part of this module, and the crate's tests use the same ones. They are independent of kernels and plans.

mod cases;
mod check;
#[doc(hidden)]
pub mod choices;
#[doc(hidden)]
pub mod compared;
#[doc(hidden)]
pub mod golden;
mod images;
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
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::gpu::{AdapterKind, AdapterSummary, Gpu};
use crate::host::block_on;
pub use check::{Check, Checked, Options, Outcome};

/// The default time limit of a check. The slowest takes 26 s with lavapipe 25.
pub const TIMEOUT: Duration = Duration::from_secs(600);

/// What a selftest found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The adapter with its driver.
    pub adapter: AdapterSummary,
    /// The version of this crate.
    pub version: &'static str,
    /// Every check that was made.
    pub checks: Vec<Check>,
    /// The number of checks that were not made, because the callback ended the selftest, or because several earlier checks hung.
    pub left_out: usize,
    /// The time that the whole selftest took.
    pub took: Duration,
}

/// A section of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The section's name.
    pub name: &'static str,
    /// Checks that passed.
    pub passed: usize,
    /// Checks that failed.
    pub failed: usize,
    /// Variants that the adapter cannot run.
    pub not_eligible: usize,
    /// The largest relative error in a check that passed.
    pub worst: f64,
    /// The sum of the times that its checks took.
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

/// What a selftest of the adapter would check: the words that [`Options::only`] can have. Nothing is run.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Format`] for trajectories of [`Options::golden`] that cannot be read.
pub fn checked(gpu: &Gpu, options: &Options) -> Result<Vec<Checked>, Error> {
    Ok(cases::sections(&cases::all(gpu, &Options { only: None, ..options.clone() })?))
}

/// Runs every check on the adapter. `on_check` receives each finished check and the number of all checks, and may end the selftest.
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
/// On a software adapter checks run on all cores, on devices of their own; a device that a check loses is replaced for the next. A check that hangs
/// for longer than [`Options::timeout`] has failed. Its thread cannot be ended: the thread and its device are left behind, and another thread continues;
/// after three such checks no other is begun.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Format`] for trajectories that cannot be read; [`Error::Option`] where no check has the words of
/// [`Options::only`]; [`Error::Device`] where no device can be opened any more. A failed check is no
/// error: it is in the report.
pub fn run(
    gpu: &Arc<Gpu>,
    options: &Options,
    mut on_check: impl FnMut(&Check, usize) -> ControlFlow<()>,
) -> Result<Report, Error> {
    let started = Instant::now();
    let cases = cases::all(gpu, options)?;
    let workers = match gpu.adapter().kind {
        AdapterKind::Software => std::thread::available_parallelism().map_or(1, usize::from).min(8),
        _ => 1,
    };
    let (all, timeout, of) = (cases.len(), options.timeout.unwrap_or(TIMEOUT), Arc::clone(gpu));
    let open = move || block_on(of.another()).map(Arc::new);
    let checks = workers::make_all(cases, workers, timeout, open, |check| on_check(check, all))?;
    Ok(Report {
        adapter: gpu.adapter().clone(),
        version: env!("CARGO_PKG_VERSION"),
        left_out: all - checks.len(),
        checks,
        took: started.elapsed(),
    })
}
