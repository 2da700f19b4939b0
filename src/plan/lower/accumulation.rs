//! Minibatches in parts: what follows the gradients of each of them.

use super::super::group::merge_updates;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::dispatch;
use crate::constants::Constants;
use crate::graph::Op;
use crate::kernel::accumulate::{self, Parts};
use crate::kernel::{Binding, Launch};

impl Step<'_> {
    /// The parts of a step's minibatch: one, where gradients need not be accumulated before they update the weights.
    pub(in super::super) fn parts(&self) -> Parts {
        let training = self.request.training.filter(|_| self.updates());
        training.map_or(Parts::ONE, |training| Parts::of(training.accumulate, training.shards))
    }

    /// Rows of a part, or their places where rows have several.
    pub(super) fn samples(&self) -> u32 {
        self.request.batch * self.places() as u32
    }

    /// Whether what is summed over the rows is a mean by their weights, whose sum only the loss kernel knows.
    fn has_weighted_mean(&self) -> bool {
        self.request.loss.has_weighted_mean(self.device_targets())
    }

    /// Whether the kernels that sum over the rows divide by that sum. Of shards it is known when all are done.
    pub(super) fn divides_by_weights(&self) -> bool {
        self.has_weighted_mean() && !matches!(self.parts(), Parts::Shards(_))
    }

    /// Where the gradient is that updates a parameter.
    pub(super) fn whole_gradient(&self, parameter: usize) -> (Binding, Role) {
        let role =
            if self.parts().are_summed() { Role::GradientSum(parameter) } else { Role::WeightGradient(parameter) };
        (Binding::WeightGradient, role)
    }
}

/// Numbers the masks that dropout makes in a group's kernel through all shards, as they are in a minibatch as a whole.
pub(super) fn number_masks(step: &Step<'_>, group: &Group, launch: &mut Launch) {
    if !matches!(step.parts(), Parts::Shards(_)) || !launch.flags.contains(&"drops_out") {
        return;
    }
    let input = step.graph.shape(step.graph.node(group.nodes[0]).inputs[0]);
    // As the kernels' indices, these wrap where there are more than 2³².
    let of_attention = |heads: u32| heads.wrapping_mul(input[2]).wrapping_mul(input[2].next_multiple_of(4));
    let of_sample = match step.op(group) {
        Op::Attention(own) => of_attention(own.heads),
        Op::AttentionInput(own) => of_attention(own.0.heads),
        _ => {
            let shape = step.graph.shape(step.end(group));
            let pixels = shape[1..shape.len() - 1].iter().fold(1u32, |pixels, &side| pixels.wrapping_mul(side));
            pixels.wrapping_mul(shape[shape.len() - 1].next_multiple_of(4))
        }
    };
    let masks = Constants::new().u32("MASKS_OF_SHARD", step.request.batch.wrapping_mul(of_sample)).text();
    for (_, text) in launch.constants.iter_mut().filter(|(name, _)| *name == "dropout_constants") {
        text.push_str(&masks);
    }
}

/// The dispatch that counts a part.
pub(super) fn next_part(step: &Step<'_>) -> Dispatch {
    dispatch(accumulate::next_part(step.samples(), step.has_weighted_mean()), 0, &[])
}

/// The dispatches that add a part's gradients by these parameters to their sums, merged.
pub(super) fn sums(step: &Step<'_>, parameters: &[usize]) -> Vec<Dispatch> {
    let workgroup = step.request.tiling.family.weights_workgroup();
    merged(step, parameters, |number| {
        let launch = accumulate::launch(step.dense[number], step.parts(), step.divides_by_weights(), workgroup);
        dispatch(launch, number, &[])
    })
}

/// What makes a mean of the sums over all shards, where the sum of their rows' weights is known only by then.
pub(super) fn means(step: &Step<'_>) -> Vec<Dispatch> {
    if !step.has_weighted_mean() || step.divides_by_weights() {
        return vec![];
    }
    let workgroup = step.request.tiling.family.weights_workgroup();
    merged(step, &step.trained(), |number| {
        let launch = accumulate::mean_of_shards(step.dense[number], step.parts(), workgroup);
        dispatch(launch, number, &[step.whole_gradient(number)])
    })
}

/// A dispatch for each parameter, merged.
fn merged(step: &Step<'_>, parameters: &[usize], of: impl Fn(usize) -> Dispatch) -> Vec<Dispatch> {
    merge_updates(parameters, step.most_merged_bindings(), false, |&number, _| {
        of(number).of_layers(&[step.parameters[number].location.clone()])
    })
}
