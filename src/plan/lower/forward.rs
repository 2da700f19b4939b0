//! A layer's output.

use super::super::Dispatch;
use super::super::homes::Homes;
use super::super::slices;
use super::super::step::{Group, Step};
use super::dispatch;
use super::stages::Forward;
use crate::error::Error;
use crate::kernel::{Binding, dense_forward};
use crate::layout::Dense;

/// The product with its stages. Kernels number their workgroups row after row, so that fewer rows are fewer workgroups of the same kernel; slices of
/// a reduction are numbered otherwise, and all of them are computed.
pub(super) fn dispatches(step: &Step<'_>, homes: &Homes, group: &Group, layer: usize) -> Result<Vec<Dispatch>, Error> {
    let (dense, input) = (step.dense[layer], step.input_kind(layer));
    let Forward { epilogue, adds, trains, mut values, .. } = Forward::of(step, homes, group)?;
    values.push((Binding::Input, homes.input(step, layer)?));
    let tile = step.request.tiling.tile("dense_forward", input, dense_forward::blocks(dense));
    let of = |dense: Dense| dense_forward::launch_with(dense, input, epilogue, trains, adds, tile);
    let mut launch = of(dense);
    if launch.partials.is_none() {
        launch.workgroups = of(Dense { batch: step.rows, ..dense }).workgroups;
    }
    Ok(slices::stages(launch, |launch| dispatch(launch, layer, &values)).collect())
}
