//! Any loss of a minibatch, forward and backward, a workgroup a row.

use super::launch::Launch;
use super::loss_kernel::LossKernel;

/// Invocations that share a row; a power of two.
pub(super) const WORKGROUP: u32 = 64;

/// Reads the logits and targets; writes the gradient, when something is trained, and the running sums.
pub fn launch(loss_kernel: LossKernel<'_>) -> Launch {
    let mut launch = loss_kernel.in_memory("row_loss", WORKGROUP, 1);
    launch.flags.push("row_per_workgroup");
    launch
}
