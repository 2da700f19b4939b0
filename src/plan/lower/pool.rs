//! Pools, and their gradients.

use super::super::Dispatch;
use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::stages::Backward;
use super::{dispatch, no_kernel, of_rows};
use crate::error::Error;
use crate::graph::Op;
use crate::kernel::{Binding, pool};
use crate::layout::Sliding;

/// The dispatch of a pool; none for another op.
pub(super) fn forward(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Dispatch, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let mut values =
        vec![(Binding::Input, homes.role(step, node.inputs[0])?), (Binding::Output, homes.role(step, node.result())?)];
    if let Some(&winners) = node.results.get(1) {
        values.push((Binding::Winners, homes.role(step, winners)?));
    }
    let launch = match node.op {
        Op::MaxPool(own) => {
            of_rows(step, |batch| pool::max_forward(Sliding { batch, ..own.sliding }, own.trains, workgroup))
        }
        Op::AveragePool(own) => of_rows(step, |batch| pool::average_forward(Sliding { batch, ..own.0 }, workgroup)),
        Op::GlobalAveragePool(own) => of_rows(step, |batch| pool::global_average_forward(batch, own.0, workgroup)),
        _ => return Err(no_kernel(&node.op)),
    };
    Ok(dispatch(launch, 0, &values))
}

/// The gradient by the images that came into a pool.
pub(super) fn backward(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Dispatch, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let Backward { below, adds, mut values } = Backward::of(step, homes, group)?;
    values.push((Binding::Gradient, homes.role(step, node.inputs[0])?));
    if let Some(&winners) = node.inputs.get(1) {
        values.push((Binding::Winners, homes.role(step, winners)?));
    }
    let launch = match node.op {
        Op::MaxPoolBackward(own) => pool::max_backward(own.0, below, adds, workgroup),
        Op::AveragePoolBackward(own) => pool::average_backward(own.0, below, adds, workgroup),
        Op::GlobalAveragePoolBackward(own) => {
            pool::global_average_backward(step.request.batch, own.0, below, adds, workgroup)
        }
        _ => return Err(no_kernel(&node.op)),
    };
    Ok(dispatch(launch, 0, &values))
}
