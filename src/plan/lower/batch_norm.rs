//! Batch norms, and their gradients.

use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::stages::{Backward, Forward};
use super::{dispatch, of_rows};
use crate::error::Error;
use crate::graph::{BatchNorm, Value};
use crate::kernel::Binding;
use crate::kernel::batch_norm::{self, Statistics};
use crate::layout::Extent;

/// A batch norm: in training its minibatch's statistics, which are made and joined first.
pub(super) fn forward(step: &Step<'_>, homes: &Homes, group: &Group, norm: BatchNorm) -> Result<Vec<Dispatch>, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let Forward { epilogue, adds, trains, mut values, layer } = Forward::of(step, homes, group)?;
    values.extend([
        (Binding::Input, homes.role(step, node.inputs[0])?),
        (Binding::Weights, Role::Weights(norm.parameter)),
        (Binding::Running, Role::Weights(norm.statistics)),
    ]);
    if let Some(&moments) = node.results.get(1) {
        values.push((Binding::Moments, homes.role(step, moments)?));
    }
    let by = if norm.trains { Statistics::Minibatch } else { Statistics::Running };
    let apply = of_rows(step, |batch| {
        batch_norm::apply(kernel_of(step, node.inputs[0], norm, batch), by, epilogue, adds, trains, workgroup)
    });
    let own = kernel_of(step, node.inputs[0], norm, step.request.batch);
    let merge = batch_norm::merge(own, step.updates(), workgroup);
    let before = norm.trains.then(|| [batch_norm::statistics(own, workgroup), merge]);
    let launches = before.into_iter().flatten().chain([apply]);
    Ok(launches.map(|launch| dispatch(launch, layer, &values)).collect())
}

/// The gradient by a batch norm's γ and β, with the sums that the one by its input takes.
pub(super) fn weights(step: &Step<'_>, homes: &Homes, group: &Group, norm: BatchNorm) -> Result<Vec<Dispatch>, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let own = kernel_of(step, node.inputs[1], norm, step.request.batch);
    let values = [
        (Binding::Gradient, homes.role(step, node.inputs[0])?),
        (Binding::Input, homes.role(step, node.inputs[1])?),
        (Binding::Moments, homes.role(step, node.inputs[2])?),
        (Binding::WeightGradient, homes.role(step, node.results[0])?),
        (Binding::Coefficients, homes.role(step, node.results[1])?),
        (Binding::Weights, Role::Weights(norm.parameter)),
    ];
    let weighted_mean = step.request.loss.has_weighted_mean(step.device_targets());
    let launches = [batch_norm::sums(own, workgroup), batch_norm::merge_backward(own, weighted_mean, workgroup)];
    Ok(launches.into_iter().map(|launch| dispatch(launch, norm.parameter, &values)).collect())
}

/// The gradient by a batch norm's input.
pub(super) fn backward(step: &Step<'_>, homes: &Homes, group: &Group, norm: BatchNorm) -> Result<Dispatch, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let Backward { below, adds, mut values } = Backward::of(step, homes, group)?;
    values.extend([
        (Binding::Gradient, homes.role(step, node.inputs[0])?),
        (Binding::Input, homes.role(step, node.inputs[1])?),
        (Binding::Coefficients, homes.role(step, node.inputs[4])?),
    ]);
    let own = kernel_of(step, node.inputs[1], norm, step.request.batch);
    Ok(dispatch(batch_norm::apply_backward(own, below, adds, workgroup), norm.parameter, &values))
}

/// The sizes of a batch norm, of `batch` samples of this value.
fn kernel_of(step: &Step<'_>, x: Value, norm: BatchNorm, batch: u32) -> batch_norm::BatchNorm {
    let (pixels, channels, is_image) = sizes(step, x);
    batch_norm::BatchNorm { batch, pixels, channels, is_image, eps: norm.eps, momentum: norm.momentum }
}

/// Pixels of a sample, channels of a pixel, and whether samples are images.
pub(super) fn sizes(step: &Step<'_>, x: Value) -> (u32, u32, bool) {
    let shape = step.graph.shape(x);
    let Extent { width, is_image, .. } = Extent::of(shape);
    (shape.iter().skip(1).rev().skip(1).product(), width, is_image)
}
