//! Any loss of a minibatch, forward and backward, a workgroup a row.

use super::launch::Launch;
use super::loss_kernel::LossKernel;

/// Invocations that share a row, with a few quads of logits each; a power of two.
pub(super) fn workgroup(loss_kernel: LossKernel<'_>) -> u32 {
    (loss_kernel.dense.out_quads() / 4).next_power_of_two().clamp(8, 64)
}

/// Reads the logits and targets; writes the gradient, when something is trained, and the running sums.
pub fn launch(loss_kernel: LossKernel<'_>) -> Launch {
    let mut launch = loss_kernel.in_memory("row_loss", workgroup(loss_kernel), 1);
    launch.flags.push("row_per_workgroup");
    launch
}
