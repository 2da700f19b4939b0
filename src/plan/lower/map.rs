//! Stages of their own.

use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::backward::derivatives;
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
    let rows = rows_of(step.request.batch);
    let workgroup = step.request.tiling.family.row_workgroup();
    let stages = step.stages(&group.nodes);
    let addend = stages.addend.map(|addend| homes.role(step, addend)).transpose()?;
    let (input, home) = (homes.role(step, first.inputs[0])?, homes.role(step, end)?);
    if let Role::Activations(number) = home {
        let trains = step.request.training.map(|_| stages.dropout_number.unwrap_or(number));
        let launch =
            of_rows(step, |batch| map::forward(rows_of(batch), stages.epilogue, addend.is_some(), trains, workgroup));
        let mut values = vec![(Binding::Input, input), (Binding::Output, home)];
        values.extend(addend.map(|addend| (Binding::Residual, addend)));
        return Ok(dispatch(launch, number, &values));
    }
    let mask = step.derived(group).map(|node| homes.role(step, node.inputs[1])).transpose()?;
    let launch = map::backward(rows, mask.map(|_| stages.epilogue), addend.is_some(), workgroup);
    let mut values = vec![(Binding::Gradient, input), (Binding::InputGradient, home)];
    values.extend(addend.map(|addend| (Binding::OtherGradient, addend)));
    values
        .extend(mask.into_iter().flat_map(|mask| [(Binding::Input, mask), (Binding::Derivatives, derivatives(mask))]));
    Ok(dispatch(launch, 0, &values))
}
