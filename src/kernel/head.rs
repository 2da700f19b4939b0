//! The end of the forward pass and the beginning of the backward one, for few outputs.

use super::binding::{Access, Binding};
use super::input::Input;
use super::launch::Launch;
use super::loss_kernel::LossKernel;

/// Above this many outputs a row no longer fits an invocation's registers.
pub const MOST_OUTPUTS: u32 = 64;

/// Above this many inputs a product of its own comes first, whose sums are cut into slices: an invocation goes over a row, and llvmpipe, Mesa's software driver, ends an
/// invocation's loops without a word after 65,535 iterations of all of them together.
pub const MOST_INPUTS: u32 = 120_000;

/// Reads the last layer's input, weights and the targets; writes the logits' gradient and the running sums. Where nothing is
/// trained, the logits are written instead.
pub fn launch(loss_kernel: LossKernel<'_>, input: Input, workgroup: u32) -> Launch {
    let dense = loss_kernel.dense;
    let mut launch = loss_kernel.launch("head", workgroup, workgroup);
    launch.mounts.push(("input", input.module()));
    launch.bindings.extend([(Binding::Input, Access::Read), (Binding::Weights, Access::Read)]);
    if loss_kernel.training.is_none() {
        launch.bindings.push((Binding::Output, Access::Write));
        launch.flags.extend(dense.one_in_own_quad().then_some("one_in_own_quad"));
    }
    launch.cost.flops += dense.flops();
    launch.cost.bytes += input.bytes(dense) + dense.weights_bytes();
    launch
}
