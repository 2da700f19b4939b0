//! A layer's output.

use super::super::Dispatch;
use super::super::homes::Homes;
use super::super::slices;
use super::super::step::{Group, Step};
use super::dispatch;
use crate::error::Error;
use crate::kernel::{Binding, dense_forward};
use crate::layout::Dense;

/// The product with its stages. Kernels number their workgroups row after row, so that fewer rows are fewer workgroups of the same kernel; slices of
/// a reduction are numbered otherwise, and all of them are computed.
pub(super) fn dispatches(step: &Step<'_>, homes: &Homes, group: &Group, layer: usize) -> Result<Vec<Dispatch>, Error> {
    let (dense, input) = (step.dense[layer], step.input_kind(layer));
    let stages = step.stages(&group.nodes);
    let tile = step.request.tiling.tile("dense_forward", input, dense_forward::blocks(dense));
    let trains = step.request.training.map(|_| stages.dropout_number.unwrap_or(layer));
    let adds = stages.addend.is_some();
    let of = |dense: Dense| dense_forward::launch_with(dense, input, stages.epilogue, trains, adds, tile);
    let mut launch = of(dense);
    if launch.partials.is_none() {
        launch.workgroups = of(Dense { batch: step.rows, ..dense }).workgroups;
    }
    let mut values =
        vec![(Binding::Input, homes.input(step, layer)?), (Binding::Output, homes.role(step, step.end(group))?)];
    if let Some(addend) = stages.addend {
        values.push((Binding::Residual, homes.role(step, addend)?));
    }
    Ok(slices::stages(launch, |launch| dispatch(launch, layer, &values)).collect())
}
