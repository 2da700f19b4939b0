//! The moving average of the weights.

use super::super::Dispatch;
use super::super::group::merge_updates;
use super::super::step::Step;
use super::dispatch;
use crate::kernel::weight_average;

/// The dispatches that move the average of every parameter after the updates, merged; running statistics are averaged too, and what is frozen needs none.
pub(super) fn dispatches(step: &Step<'_>) -> Vec<Dispatch> {
    let Some(training) = step.request.training.filter(|_| step.updates()) else { return vec![] };
    let Some(decay) = training.average else { return vec![] };
    let all: Vec<usize> = (0..step.parameters.len()).filter(|&number| !training.groups.is_frozen(number)).collect();
    let workgroup = step.request.tiling.family.weights_workgroup();
    merge_updates(&all, step.most_merged_bindings(), false, |&number, _| {
        let launch = weight_average::launch(step.dense[number], decay, training.skips_non_finite, workgroup);
        dispatch(launch, number, &[]).of_layers(&[step.parameters[number].location.clone()])
    })
}
