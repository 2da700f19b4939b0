//! Minibatches in parts: what follows the gradients of each of them.

use super::super::group::merge_updates;
use super::super::step::Step;
use super::super::{Dispatch, Role};
use super::dispatch;
use crate::kernel::{Binding, accumulate};

impl Step<'_> {
    /// The parts of a step's minibatch: more than one where gradients are accumulated before they update the weights.
    pub(in super::super) fn parts(&self) -> u32 {
        self.request.training.filter(|_| self.updates()).map_or(1, |training| training.accumulate)
    }

    /// Where the gradient is that updates a parameter.
    pub(super) fn whole_gradient(&self, parameter: usize) -> (Binding, Role) {
        let is_sum = self.parts() > 1;
        let role = if is_sum { Role::GradientSum(parameter) } else { Role::WeightGradient(parameter) };
        (Binding::WeightGradient, role)
    }
}

/// The dispatch that counts a part, and those that add its gradients to their sums, merged.
pub(super) fn dispatches(step: &Step<'_>) -> Vec<Dispatch> {
    if step.parts() == 1 {
        return vec![];
    }
    let weighted_mean = step.request.loss.has_weighted_mean(step.device_targets());
    let next = accumulate::next_part(step.request.batch * step.places() as u32, weighted_mean);
    let workgroup = step.request.tiling.family.weights_workgroup();
    let sums = merge_updates(&step.trained(), step.most_merged_bindings(), false, |&number, _| {
        let launch = accumulate::launch(step.dense[number], weighted_mean, workgroup);
        dispatch(launch, number, &[]).of_layers(&[step.parameters[number].location.clone()])
    });
    [dispatch(next, 0, &[])].into_iter().chain(sums).collect()
}
