//! The gradient by a layer's input, back to before the activation that made it.

use super::super::Dispatch;
use super::super::homes::Homes;
use super::super::slices;
use super::super::step::{Group, Step};
use super::dispatch;
use super::stages::Backward;
use crate::error::Error;
use crate::kernel::{Binding, Input, dense_backward};

/// The product with its stages.
pub(super) fn dispatches(step: &Step<'_>, homes: &Homes, group: &Group, layer: usize) -> Result<Vec<Dispatch>, Error> {
    let (node, dense) = (step.graph.node(group.nodes[0]), step.dense[layer]);
    // The set itself has no gradient: what is derived of is in memory.
    let input = if step.input_kind(layer) == Input::Flattened { Input::Flattened } else { Input::Activations };
    let tile = step.request.tiling.tile("dense_backward", input, dense_backward::blocks(dense));
    let (Backward { adds, mut values, .. }, below) = Backward::of_product(step, homes, group, layer)?;
    values.push((Binding::Gradient, homes.role(step, node.inputs[0])?));
    let launch = dense_backward::launch_with(dense, input, below, adds, tile);
    Ok(slices::stages(launch, |launch| dispatch(launch, layer, &values)).collect())
}
