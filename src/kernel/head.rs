//! The end of the forward pass and the beginning of the backward one, for few outputs.

use super::row_loss::Lossy;
use super::{Access, Input, Launch, Slot};

/// Above this many outputs a row no longer fits an invocation's registers.
pub const MOST_OUTPUTS: u32 = 64;

/// Reads the last layer's input, weights and the targets; writes the logits' gradient and the running sums. Where nothing is
/// trained, the logits are written instead.
pub fn launch(lossy: Lossy<'_>, input: Input, workgroup: u32) -> Launch {
    let dense = lossy.dense;
    let mut launch = lossy.launch("head", workgroup, workgroup);
    launch.mounts.push(("input", input.module()));
    launch.bindings.extend([(Slot::Input, Access::Read), (Slot::Weights, Access::Read)]);
    if lossy.training.is_none() {
        launch.bindings.push((Slot::Output, Access::Write));
    }
    launch.cost.flops += dense.flops();
    launch.cost.bytes += dense.input_bytes(input) + dense.weights_bytes();
    launch
}
