//! Convolutions, and the gradients by their images.

use super::super::Dispatch;
use super::super::homes::Homes;
use super::super::slices;
use super::super::step::{Group, Step};
use super::dispatch;
use super::stages::{Backward, Forward};
use crate::error::Error;
use crate::graph::{Conv2d, Op};
use crate::kernel::Binding;
use crate::kernel::conv::{backward as conv_backward, forward as conv_forward};
use crate::layout::{Conv, Sliding};

/// The product with its stages; of fewer rows, the same kernel with fewer workgroups.
pub(super) fn forward(
    step: &Step<'_>,
    homes: &Homes,
    group: &Group,
    Conv2d { parameter, conv }: Conv2d,
) -> Result<Vec<Dispatch>, Error> {
    let node = step.graph.node(group.nodes[0]);
    let Forward { epilogue, adds, trains, mut values, .. } = Forward::of(step, homes, group)?;
    values.push((Binding::Input, homes.role(step, node.inputs[0])?));
    let pool = group.nodes.iter().map(|&id| step.graph.node(id)).find(|node| matches!(node.op, Op::MaxPool(_)));
    let blocks = if pool.is_some() { conv_forward::blocks_of_windows(conv) } else { conv_forward::blocks(conv) };
    let tile = step.request.tiling.tile("conv_forward", conv_forward::input_of(conv, pool.is_some()), blocks);
    let of = |conv: Conv| conv_forward::launch_with(conv, pool.is_some(), epilogue, trains, adds, tile);
    let mut launch = of(conv);
    if launch.partials.is_none() && step.rows < step.request.batch {
        launch.workgroups = of(Conv { sliding: Sliding { batch: step.rows, ..conv.sliding }, ..conv }).workgroups;
    }
    if let Some(&winners) = pool.and_then(|pool| pool.results.get(1)) {
        values.push((Binding::Winners, homes.role(step, winners)?));
    }
    Ok(slices::stages(launch, |launch| dispatch(launch, parameter, &values)).collect())
}

/// The gradient by the images, back to before the activation that made them.
pub(super) fn backward(
    step: &Step<'_>,
    homes: &Homes,
    group: &Group,
    Conv2d { parameter, conv }: Conv2d,
) -> Result<Vec<Dispatch>, Error> {
    let node = step.graph.node(group.nodes[0]);
    let (Backward { adds, mut values, .. }, below) = Backward::of_product(step, homes, group, parameter)?;
    values.push((Binding::Gradient, homes.role(step, node.inputs[0])?));
    let tile = step.request.tiling.tile("conv_backward", conv_backward::input_of(conv), conv_backward::blocks(conv));
    let launch = conv_backward::launch(conv, below, adds, tile);
    Ok(slices::stages(launch, |launch| dispatch(launch, parameter, &values)).collect())
}
