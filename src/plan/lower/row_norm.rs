//! Norms of rows, pixels and groups, and their gradients.

use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role, slices};
use super::batch_norm::sizes;
use super::stages::{Backward, Forward};
use super::{dispatch, of_rows};
use crate::error::Error;
use crate::graph::{Over, RowNorm, Value};
use crate::kernel::row_norm::Norm;
use crate::kernel::{Binding, norm_gradient, row_norm};

/// A norm of each row, pixel or group.
pub(super) fn forward(step: &Step<'_>, homes: &Homes, group: &Group, norm: RowNorm) -> Result<Vec<Dispatch>, Error> {
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
    Ok(slices::stages(launch, |launch| dispatch(launch, layer, &values)).collect())
}

/// The gradient by the γ and β of such a norm.
pub(super) fn weights(step: &Step<'_>, homes: &Homes, group: &Group, norm: RowNorm) -> Result<Vec<Dispatch>, Error> {
    let node = step.graph.node(group.nodes[0]);
    let own = rows_of(step, node.inputs[1], norm, step.request.batch);
    let values = [
        (Binding::Gradient, homes.role(step, node.inputs[0])?),
        (Binding::Input, homes.role(step, node.inputs[1])?),
        (Binding::Moments, homes.role(step, node.inputs[2])?),
    ];
    let weighted_mean = step.divides_by_weights();
    let launch = norm_gradient::launch(own, weighted_mean, step.request.tiling.family);
    Ok(slices::stages(launch, |launch| dispatch(launch, norm.parameter, &values)).collect())
}

/// The gradient by the input of such a norm.
pub(super) fn backward(step: &Step<'_>, homes: &Homes, group: &Group, norm: RowNorm) -> Result<Vec<Dispatch>, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let Backward { below, adds, mut values } = Backward::of(step, homes, group)?;
    values.extend([
        (Binding::Gradient, homes.role(step, node.inputs[0])?),
        (Binding::Input, homes.role(step, node.inputs[1])?),
        (Binding::Moments, homes.role(step, node.inputs[3])?),
    ]);
    let own = rows_of(step, node.inputs[1], norm, step.request.batch);
    let launch = row_norm::backward(own, below, adds, workgroup);
    Ok(slices::stages(launch, |launch| dispatch(launch, norm.parameter, &values)).collect())
}

/// The sizes of a norm of rows, of `batch` samples of this value.
fn rows_of(step: &Step<'_>, x: Value, norm: RowNorm, batch: u32) -> Norm {
    let (pixels, channels, is_image) = sizes(step, x);
    let groups = if let Over::Groups(groups) = norm.over { Some(groups) } else { None };
    let centered = norm.over != Over::RootMeanSquare;
    // RMS norm has no β.
    Norm { batch, pixels, channels, groups, is_image, centered, eps: norm.eps, has_bias: centered }
}
