//! Convolutions, and the gradients by their images.

use super::super::Dispatch;
use super::super::homes::Homes;
use super::super::slices;
use super::super::step::{Group, Step};
use super::backward::derivatives;
use super::dispatch;
use crate::error::Error;
use crate::graph::{Conv2d, Op};
use crate::kernel::conv::{backward as conv_backward, forward as conv_forward};
use crate::kernel::{Binding, Input};
use crate::layout::{Conv, Sliding};

/// The product with its stages; of fewer rows, the same kernel with fewer workgroups.
pub(super) fn forward(
    step: &Step<'_>,
    homes: &Homes,
    group: &Group,
    Conv2d { parameter, conv }: Conv2d,
) -> Result<Vec<Dispatch>, Error> {
    let (node, stages) = (step.graph.node(group.nodes[0]), step.stages(&group.nodes));
    let pool = group.nodes.iter().map(|&id| step.graph.node(id)).find(|node| matches!(node.op, Op::MaxPool(_)));
    let blocks = if pool.is_some() { conv_forward::blocks_of_windows(conv) } else { conv_forward::blocks(conv) };
    let tile = step.request.tiling.tile("conv_forward", Input::Activations, blocks);
    let trains = step.request.training.map(|_| stages.dropout_number.unwrap_or(parameter));
    let (pools, adds) = (pool.is_some(), stages.addend.is_some());
    let of = |conv: Conv| conv_forward::launch_with(conv, pools, stages.epilogue, trains, adds, tile);
    let mut launch = of(conv);
    if launch.partials.is_none() {
        launch.workgroups = of(Conv { sliding: Sliding { batch: step.rows, ..conv.sliding }, ..conv }).workgroups;
    }
    let mut values = vec![
        (Binding::Input, homes.role(step, node.inputs[0])?),
        (Binding::Output, homes.role(step, step.end(group))?),
    ];
    if let Some(addend) = stages.addend {
        values.push((Binding::Residual, homes.role(step, addend)?));
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
    let (node, stages) = (step.graph.node(group.nodes[0]), step.stages(&group.nodes));
    let tile = step.request.tiling.tile("conv_backward", Input::Activations, conv_backward::blocks(conv));
    let launch = conv_backward::launch(conv, stages.epilogue, stages.addend.is_some(), tile);
    let derived = homes.derived(step, group, parameter)?;
    let mut values = vec![
        (Binding::Input, derived),
        (Binding::Derivatives, derivatives(derived)),
        (Binding::Gradient, homes.role(step, node.inputs[0])?),
        (Binding::InputGradient, homes.role(step, step.end(group))?),
    ];
    if let Some(addend) = stages.addend {
        values.push((Binding::OtherGradient, homes.role(step, addend)?));
    }
    Ok(slices::stages(launch, |launch| dispatch(launch, parameter, &values)).collect())
}
