//! One kernel's problem, as the selftest has it, on the suite's device.

use wgrad::gpu::Checks;
use wgrad::kernel::Launch;
use wgrad::selftest::problem;
pub use wgrad::selftest::problem::{Adam1, Problem, ROWS, STATS_BYTES, bytes_of, plain, state};

use crate::support::gpu;

/// Runs a launch, after the one that it needs first, and gives back the contents of its bindings.
pub fn run_all(problem: &Problem, launch: &Launch, checks: Checks) -> Vec<Vec<u8>> {
    problem::run_all(&gpu(), problem, launch, checks).unwrap()
}
