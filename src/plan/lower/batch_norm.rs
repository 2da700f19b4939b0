//! Batch norms, and their gradients.

use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::stages::{Backward, Forward};
use super::{dispatch, of_rows};
use crate::error::Error;
use crate::graph::{BatchNorm, Value};
use crate::kernel::batch_norm::{self, Joins, Statistics, Team};
use crate::kernel::{Binding, Launch};
use crate::layout::Extent;

/// A batch norm: in training its minibatch's statistics, which are made first.
pub(super) fn forward(step: &Step<'_>, homes: &Homes, group: &Group, norm: BatchNorm) -> Result<Vec<Dispatch>, Error> {
    let node = step.graph.node(group.nodes[0]);
    let Forward { epilogue, adds, trains, mut values, layer } = Forward::of(step, homes, group)?;
    values.extend([
        (Binding::Input, homes.role(step, node.inputs[0])?),
        (Binding::Weights, Role::Weights(norm.parameter)),
        (Binding::Running, Role::Weights(norm.statistics)),
    ]);
    if let Some(&moments) = node.results.get(1) {
        values.push((Binding::Moments, homes.role(step, moments)?));
    }
    let own = kernel_of(step, node.inputs[0], norm, step.request.batch);
    let apply = |by| {
        let of = |batch| batch_norm::apply(batch_norm::BatchNorm { batch, ..own }, by, epilogue, adds, trains);
        of_rows(step, of)
    };
    let launches = if norm.trains {
        let moves_running = step.updates();
        let [before, itself] =
            [Joins::Before, Joins::Itself].map(|joins| apply(Statistics::Minibatch { joins, moves_running }));
        let merge = || batch_norm::merge(own, moves_running);
        [vec![batch_norm::statistics(own)], joined(step, itself, || [merge(), before])].concat()
    } else {
        vec![apply(Statistics::Running)]
    };
    Ok(launches.into_iter().map(|launch| dispatch(launch, layer, &values)).collect())
}

/// The gradient by a batch norm's γ and β; and in the same group, where something needs it, the one by its input.
pub(super) fn weights(step: &Step<'_>, homes: &Homes, group: &Group, norm: BatchNorm) -> Result<Vec<Dispatch>, Error> {
    let node = step.graph.node(group.nodes[0]);
    let own = kernel_of(step, node.inputs[1], norm, step.request.batch);
    let mut values = vec![
        (Binding::Gradient, homes.role(step, node.inputs[0])?),
        (Binding::Input, homes.role(step, node.inputs[1])?),
        (Binding::Moments, homes.role(step, node.inputs[2])?),
        (Binding::WeightGradient, homes.role(step, node.results[0])?),
        (Binding::Coefficients, homes.role(step, node.results[1])?),
        (Binding::Weights, Role::Weights(norm.parameter)),
    ];
    let weighted_mean = step.divides_by_weights();
    let mut launches = vec![batch_norm::sums(own)];
    let merge = || batch_norm::merge_backward(own, weighted_mean);
    if group.nodes.len() > 1 {
        let Backward { below, adds, values: of_stages } = Backward::of(step, homes, group)?;
        values.extend(of_stages);
        let [before, itself] = [Joins::Before, Joins::Itself]
            .map(|joins| batch_norm::apply_backward(own, joins, below, adds, weighted_mean));
        launches.extend(joined(step, itself, || [merge(), before]));
    } else {
        launches.push(merge());
    }
    Ok(launches.into_iter().map(|launch| dispatch(launch, norm.parameter, &values)).collect())
}

/// The launch that joins the slices itself, where the adapter has the bindings for it; or else the two apart.
fn joined(step: &Step<'_>, itself: Launch, apart: impl FnOnce() -> [Launch; 2]) -> Vec<Launch> {
    if itself.bindings.len() <= step.request.tiling.most_bindings as usize { vec![itself] } else { apart().to_vec() }
}

/// The sizes of a batch norm, of `batch` samples of this value.
fn kernel_of(step: &Step<'_>, x: Value, norm: BatchNorm, batch: u32) -> batch_norm::BatchNorm {
    let (pixels, channels, is_image) = sizes(step, x);
    let team = Team::of(step.request.tiling.family);
    batch_norm::BatchNorm { batch, pixels, channels, is_image, eps: norm.eps, momentum: norm.momentum, team }
}

/// Pixels of a sample, channels of a pixel, and whether samples are images.
pub(super) fn sizes(step: &Step<'_>, x: Value) -> (u32, u32, bool) {
    let shape = step.graph.shape(x);
    let Extent { width, is_image, .. } = Extent::of(shape);
    (shape.iter().skip(1).rev().skip(1).product(), width, is_image)
}
