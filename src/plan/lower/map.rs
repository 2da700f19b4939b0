//! Stages of their own.

use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::stages::{Backward, Forward};
use super::{dispatch, of_rows};
use crate::error::Error;
use crate::kernel::Binding;
use crate::kernel::map::{self, Rows};
use crate::layout::Extent;

/// The dispatch, in the forward or the backward pass.
pub(super) fn dispatch_of(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Dispatch, Error> {
    let (first, end) = (step.graph.node(group.nodes[0]), step.end(group));
    // Of rows of features those of the minibatch, of images all that their buffers have.
    let rows_of = |batch: u32| {
        let shape = [&[batch], &step.graph.shape(end)[1..]].concat();
        let Extent { rows, width, is_image } = Extent::of(&shape);
        Rows { batch: if is_image { rows } else { batch }, width, is_image }
    };
    let workgroup = step.request.tiling.family.row_workgroup();
    let input = homes.role(step, first.inputs[0])?;
    if let Role::Activations(_) = homes.role(step, end)? {
        let Forward { epilogue, adds, trains, mut values, layer } = Forward::of(step, homes, group)?;
        values.push((Binding::Input, input));
        let launch = of_rows(step, |batch| map::forward(rows_of(batch), epilogue, adds, trains, workgroup));
        return Ok(dispatch(launch, layer, &values));
    }
    let Backward { below, adds, mut values } = Backward::of(step, homes, group)?;
    values.push((Binding::Gradient, input));
    Ok(dispatch(map::backward(rows_of(step.request.batch), below, adds, workgroup), 0, &values))
}
