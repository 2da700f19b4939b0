//! What kernels of tables have in common whose rows are looked up: lists of the slots that look up the same row, and gradients by a table.

use super::binding::{Access, Binding};
use super::launch::Launch;

/// Words of [`Binding::Links`], of this many slots and of a table of `vocabulary` rows.
pub fn words(slots: u32, vocabulary: u32) -> u64 {
    2 * u64::from(slots) + u64::from(vocabulary)
}

/// The launch of a kernel that sums the gradient by a table: it reads [`Binding::Gradient`] and these, and writes [`Binding::WeightGradient`]. A `weighted_mean` has
/// the sum divided by the sum of the rows' weights, from [`Binding::Stats`].
pub(super) fn summed(mut launch: Launch, reads: &[Binding], weighted_mean: bool) -> Launch {
    launch.mounts.extend([("input", "input/activations"), ("sink", "sink/weight_gradient")]);
    launch.flags.push("keeps_gradient");
    launch.flags.extend(weighted_mean.then_some("weighted_mean"));
    let stats = weighted_mean.then_some(Binding::Stats);
    let read = [Binding::Gradient].iter().chain(reads).copied().chain(stats).map(|binding| (binding, Access::Read));
    launch.bindings = read.chain([(Binding::WeightGradient, Access::Write)]).collect();
    launch
}
