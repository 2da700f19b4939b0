//! The loss and its gradient, with the last layer where its outputs are few, and what evaluations measure.

use super::super::head::{loss_kernel, team};
use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::stages::derivatives;
use super::{binds, dispatch};
use crate::error::Error;
use crate::graph::{NodeId, Op};
use crate::kernel::regression_metrics::{self, MOST_ROWS};
use crate::kernel::{Binding, class_metrics, head, row_loss};
use crate::layout::Dense;
use crate::loss::Task;

/// The last layer and the loss.
pub(super) fn head(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Dispatch, Error> {
    let loss = |&&id: &&NodeId| matches!(step.graph.node(id).op, Op::Loss(_));
    let layer = judged(step, homes, *group.nodes.iter().find(loss).unwrap_or(&group.nodes[0]))?;
    let one_a_row = || {
        let workgroup = step.request.tiling.family.row_workgroup();
        head::launch(loss_kernel(step, step.dense[layer]), step.input_kind(layer), workgroup)
    };
    let launch = team(step, &group.nodes).unwrap_or_else(one_a_row);
    let derived = homes.derived(step, group, layer)?;
    let mut values = vec![(Binding::Input, homes.input(step, layer)?), (Binding::Derivatives, derivatives(derived))];
    if binds(&launch, Binding::InputGradient) {
        values.push((Binding::InputGradient, homes.role(step, step.end(group))?));
    }
    Ok(dispatch(launch, layer, &values))
}

/// The dense layer whose output a loss or metrics judge.
fn judged(step: &Step<'_>, homes: &Homes, judge: NodeId) -> Result<usize, Error> {
    let judge = step.graph.node(judge);
    match homes.role(step, judge.inputs[0])? {
        Role::Activations(layer) if layer < step.dense.len() => Ok(layer),
        other => Err(Error::Kernel {
            kernel: judge.op.to_string(),
            reason: format!("it judges {other}, which is no dense layer's output"),
        }),
    }
}

/// The sizes of the layer that a loss judges: its weights may be an embedding's, which lie the other way round.
fn judged_sizes(step: &Step<'_>, layer: usize) -> Dense {
    Dense { outputs: step.request.network.outputs() as u32, ..step.dense[layer] }
}

/// The loss of logits in memory.
pub(super) fn row(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Dispatch, Error> {
    let layer = judged(step, homes, group.nodes[0])?;
    // Behind an activation, the gradient by the output is not yet that by the layer's product.
    let gradient = step.graph.node(group.nodes[0]).results.get(1);
    let gradient = gradient.map(|&gradient| homes.role(step, gradient)).transpose()?;
    let values: Vec<(Binding, Role)> = gradient.map(|role| (Binding::Gradient, role)).into_iter().collect();
    Ok(dispatch(row_loss::launch(loss_kernel(step, judged_sizes(step, layer))), layer, &values))
}

/// What an evaluation measures besides the loss.
pub(super) fn metrics(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Dispatch, Error> {
    let layer = judged(step, homes, group.nodes[0])?;
    let kernel = loss_kernel(step, judged_sizes(step, layer));
    let workgroup = step.request.tiling.family.row_workgroup();
    let launch = match step.request.loss.task() {
        Task::Numbers if step.request.batch > MOST_ROWS => {
            return Err(Error::Option(format!(
                "a batch of {} rows: errors of numbers are summed over at most {MOST_ROWS} at a time",
                step.request.batch
            )));
        }
        Task::Numbers => regression_metrics::launch(kernel, workgroup),
        task => {
            let counts = class_metrics::Counts::of(task == Task::EachOutput, kernel.dense.outputs);
            class_metrics::launch(kernel, counts, workgroup)
        }
    };
    Ok(dispatch(launch, layer, &[]))
}
