//! The loss and its gradient, with the last layer where its outputs are few, and what evaluations measure.

use super::super::fuse::Group;
use super::super::homes::Homes;
use super::super::step::Step;
use super::super::{Dispatch, Role};
use super::backward::derivatives;
use super::{binds, dispatch};
use crate::error::Error;
use crate::graph::{LinearInput, Node, NodeId, Op};
use crate::kernel::loss_kernel::LossKernel;
use crate::kernel::{Binding, Launch, class_metrics, head, regression_metrics, row_loss, team_head};
use crate::layout::Dense;
use crate::loss::Task;

/// What every kernel that judges logits is made for.
fn loss_kernel<'a>(step: &Step<'a>, dense: Dense) -> LossKernel<'a> {
    let request = step.request;
    LossKernel { dense, loss: request.loss, targets: step.device_targets(), training: request.training }
}

/// The kernel of a team for the last layer, the loss and the gradient below, if any is wanted; none where that is not among the nodes, where the adapter has
/// no team, and where it cannot bind as much.
pub(in super::super) fn team(step: &Step<'_>, nodes: &[NodeId]) -> Option<Launch> {
    let Op::Linear(linear) = &step.graph.node(nodes[0]).op else { return None };
    let dense = step.dense[linear.parameter];
    let goes_below = nodes.iter().position(|&id| matches!(step.graph.node(id).op, Op::LinearInput(_)));
    let is_below = |node: &Node| node.op == LinearInput { parameter: linear.parameter }.into();
    if goes_below.is_none() && step.graph.nodes().any(|(_, node)| is_below(node)) {
        return None;
    }
    let below = goes_below.map(|at| step.stages(&nodes[at..]).epilogue);
    let team = team_head::Team::of(step.request.tiling.family)?;
    let launch = team_head::launch(loss_kernel(step, dense), step.input_kind(linear.parameter), below, team);
    (launch.bindings.len() <= step.request.tiling.most_bindings as usize).then_some(launch)
}

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

/// The loss of logits in memory.
pub(super) fn row(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Dispatch, Error> {
    let layer = judged(step, homes, group.nodes[0])?;
    Ok(dispatch(row_loss::launch(loss_kernel(step, step.dense[layer])), layer, &[]))
}

/// What an evaluation measures besides the loss.
pub(super) fn metrics(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Dispatch, Error> {
    let layer = judged(step, homes, group.nodes[0])?;
    let (kernel, workgroup) = (loss_kernel(step, step.dense[layer]), step.request.tiling.family.row_workgroup());
    let launch = match step.request.loss.task() {
        Task::Numbers => regression_metrics::launch(kernel, workgroup),
        task => {
            let counts = class_metrics::Counts::of(task == Task::EachOutput, kernel.dense.outputs);
            class_metrics::launch(kernel, counts, workgroup)
        }
    };
    Ok(dispatch(launch, layer, &[]))
}
