//! A layer's output.

use super::super::Dispatch;
use super::super::fuse::Group;
use super::super::slices;
use super::super::step::{Homes, Step};
use super::dispatch;
use crate::graph::Op;
use crate::kernel::dense_forward::Residual;
use crate::kernel::{Binding, dense_forward};
use crate::layout::Dense;

/// The product with its stages. Kernels number their workgroups row after row, so that fewer rows are fewer workgroups of the same kernel; slices of
/// a reduction are numbered otherwise, and all of them are computed.
pub(super) fn dispatches(step: &Step<'_>, homes: &Homes, group: &Group) -> Vec<Dispatch> {
    let Op::Linear(linear) = step.op(group) else { return vec![] };
    let layer = linear.parameter;
    let dense = step.dense[layer];
    let (role, input) = homes.input(step, layer);
    let (stages, addend) = step.stages(&group.nodes, dense.outputs);
    let residual = addend.map_or(Residual::None, |_| Residual::BeforeActivation);
    let tile = step.request.tiling.tile("dense_forward", input, dense_forward::blocks(dense));
    let trains = step.request.training.map(|_| layer);
    let of = |dense: Dense| dense_forward::launch_with(dense, input, stages, trains, residual, tile);
    let mut launch = of(dense);
    if launch.partials.is_none() {
        launch.workgroups = of(Dense { batch: step.rows, ..dense }).workgroups;
    }
    let mut values = vec![(Binding::Input, role), (Binding::Output, homes.role(step.end(group)))];
    values.extend(addend.map(|addend| (Binding::Residual, homes.role(addend))));
    slices::stages(launch, |launch| dispatch(launch, layer, &values)).collect()
}
