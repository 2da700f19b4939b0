//! Norms, and their gradients.

use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::stages::{Backward, Forward};
use super::{dispatch, of_rows, slices};
use crate::error::Error;
use crate::graph::{BatchNorm, Over, RowNorm, Value};
use crate::kernel::batch_norm::{self, Statistics};
use crate::kernel::row_norm::Norm;
use crate::kernel::{Binding, norm_gradient, row_norm};
use crate::layout::Extent;

/// A batch norm: in training its minibatch's statistics, which are made and joined first.
pub(super) fn batch(
    step: &Step<'_>,
    homes: &Homes,
    group: &Group,
    norm: BatchNorm,
) -> Result<Vec<Dispatch>, Error> {
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
    let before = norm.trains.then(|| [batch_norm::statistics(own, workgroup), batch_norm::merge(own, workgroup)]);
    let launches = before.into_iter().flatten().chain([apply]);
    Ok(launches.map(|launch| dispatch(launch, layer, &values)).collect())
}

/// The gradient by a batch norm's γ and β, with the sums that the one by its input takes.
pub(super) fn batch_weights(
    step: &Step<'_>,
    homes: &Homes,
    group: &Group,
    norm: BatchNorm,
) -> Result<Vec<Dispatch>, Error> {
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
pub(super) fn batch_input(
    step: &Step<'_>,
    homes: &Homes,
    group: &Group,
    norm: BatchNorm,
) -> Result<Dispatch, Error> {
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

/// A norm of each row, pixel or group.
pub(super) fn row(step: &Step<'_>, homes: &Homes, group: &Group, norm: RowNorm) -> Result<Dispatch, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let Forward { epilogue, adds, trains, mut values, layer } = Forward::of(step, homes, group)?;
    values.extend([
        (Binding::Input, homes.role(step, node.inputs[0])?),
        (Binding::Weights, Role::Weights(norm.parameter)),
    ]);
    if let Some(&moments) = node.results.get(1) {
        values.push((Binding::Moments, homes.role(step, moments)?));
    }
    let launch = of_rows(step, |batch| {
        row_norm::forward(rows_of(step, node.inputs[0], norm, batch), epilogue, adds, trains, workgroup)
    });
    Ok(dispatch(launch, layer, &values))
}

/// The gradient by the γ and β of such a norm.
pub(super) fn row_weights(
    step: &Step<'_>,
    homes: &Homes,
    group: &Group,
    norm: RowNorm,
) -> Result<Vec<Dispatch>, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let own = rows_of(step, node.inputs[1], norm, step.request.batch);
    let values = [
        (Binding::Gradient, homes.role(step, node.inputs[0])?),
        (Binding::Input, homes.role(step, node.inputs[1])?),
        (Binding::Moments, homes.role(step, node.inputs[2])?),
    ];
    let weighted_mean = step.request.loss.has_weighted_mean(step.device_targets());
    let launch = norm_gradient::launch(own, weighted_mean, workgroup);
    Ok(slices::stages(launch, |launch| dispatch(launch, norm.parameter, &values)).collect())
}

/// The gradient by the input of such a norm.
pub(super) fn row_input(step: &Step<'_>, homes: &Homes, group: &Group, norm: RowNorm) -> Result<Dispatch, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let Backward { below, adds, mut values } = Backward::of(step, homes, group)?;
    values.extend([
        (Binding::Gradient, homes.role(step, node.inputs[0])?),
        (Binding::Input, homes.role(step, node.inputs[1])?),
        (Binding::Moments, homes.role(step, node.inputs[3])?),
    ]);
    let own = rows_of(step, node.inputs[1], norm, step.request.batch);
    Ok(dispatch(row_norm::backward(own, below, adds, workgroup), norm.parameter, &values))
}

/// The sizes of a batch norm, of `batch` samples of this value.
fn kernel_of(step: &Step<'_>, x: Value, norm: BatchNorm, batch: u32) -> batch_norm::BatchNorm {
    let (pixels, channels, is_image) = sizes(step, x);
    batch_norm::BatchNorm { batch, pixels, channels, is_image, eps: norm.eps, momentum: norm.momentum }
}

/// The sizes of a norm of rows, of `batch` samples of this value.
fn rows_of(step: &Step<'_>, x: Value, norm: RowNorm, batch: u32) -> Norm {
    let (pixels, channels, is_image) = sizes(step, x);
    let groups = if let Over::Groups(groups) = norm.over { Some(groups) } else { None };
    let centered = norm.over != Over::RootMeanSquare;
    // RMS norm has no β.
    Norm { batch, pixels, channels, groups, is_image, centered, eps: norm.eps, has_bias: centered }
}

/// Pixels of a sample, channels of a pixel, and whether samples are images.
fn sizes(step: &Step<'_>, x: Value) -> (u32, u32, bool) {
    let shape = step.graph.shape(x);
    let Extent { width, is_image, .. } = Extent::of(shape);
    (shape.iter().skip(1).rev().skip(1).product(), width, is_image)
}
