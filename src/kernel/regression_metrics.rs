//! Sums of errors and targets, for every output.

use super::launch::Launch;
use super::loss_kernel::LossKernel;

/// Values that are summed for each output, compensations and shift included.
pub const SUMS: u64 = 9;

/// The most rows of a minibatch: an invocation goes over all of them, and llvmpipe, Mesa's software driver, ends an invocation's loops without a word after
/// 65,535 iterations of all of them together.
pub const MOST_ROWS: u32 = 60_000;

/// Reads the logits and targets, adds to the sums.
pub fn launch(loss_kernel: LossKernel<'_>, workgroup: u32) -> Launch {
    let mut launch = loss_kernel.on_logits("regression_metrics", workgroup);
    launch.workgroups = loss_kernel.dense.out_quads().div_ceil(workgroup);
    launch
}
