//! The gradient by a layer's input, back to before the activation that made it.

use super::super::homes::Homes;
use super::super::slices;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::dispatch;
use crate::error::Error;
use crate::kernel::{Binding, Input, dense_backward};

/// The product with its stages.
pub(super) fn dispatches(step: &Step<'_>, homes: &Homes, group: &Group, layer: usize) -> Result<Vec<Dispatch>, Error> {
    let (node, dense) = (step.graph.node(group.nodes[0]), step.dense[layer]);
    let stages = step.stages(&group.nodes);
    // The set itself has no gradient: what is derived of is in memory.
    let input = if step.input_kind(layer) == Input::Flattened { Input::Flattened } else { Input::Activations };
    let tile = step.request.tiling.tile("dense_backward", input, dense_backward::blocks(dense));
    let launch = dense_backward::launch_with(dense, input, stages.epilogue, stages.addend.is_some(), tile);
    let derived = homes.derived(step, group, layer)?;
    let mut values = vec![
        (Binding::Input, derived),
        (Binding::Derivatives, derivatives(derived)),
        (Binding::Gradient, homes.role(step, node.inputs[0])?),
        (Binding::InputGradient, homes.role(step, step.end(group))?),
    ];
    if let Some(addend) = stages.addend {
        values.push((Binding::OtherGradient, homes.role(step, addend)?));
    }
    Ok(slices::stages(launch, |launch| dispatch(launch, layer, &values)).collect())
}

/// Where the derivatives of the stages that made this output are kept.
pub(super) fn derivatives(output: Role) -> Role {
    match output {
        Role::Activations(below) => Role::Derivatives(below),
        other => other,
    }
}
