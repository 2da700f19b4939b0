//! The loss and its gradient, with the last layer where its outputs are few, and what evaluations measure.

use super::super::fuse::{Group, prologue};
use super::super::homes::Homes;
use super::super::step::Step;
use super::super::{Dispatch, Role};
use super::backward::derivatives;
use super::{binds, dispatch};
use crate::graph::{LinearInput, Node, NodeId, Op};
use crate::kernel::loss_kernel::LossKernel;
use crate::kernel::{Binding, Input, Launch, class_metrics, head, regression_metrics, row_loss, team_head};
use crate::layout::Dense;
use crate::loss::Task;

/// What every kernel that judges logits is made for.
fn loss_kernel<'a>(step: &Step<'a>, dense: Dense) -> LossKernel<'a> {
    let request = step.request;
    LossKernel { dense, loss: request.loss, targets: step.device_targets(), training: request.training }
}

/// How the last layer's input is read: from the set where there is no other layer.
fn input_kind(step: &Step<'_>, layer: usize) -> Input {
    let made_by = step.input_of(layer).map(|input| step.graph.maker(input));
    let is_set = made_by.is_some_and(|maker| prologue::gather(step, maker).is_some());
    if is_set { step.request.set.element.input() } else { Input::Activations }
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
    let launch = team_head::launch(loss_kernel(step, dense), input_kind(step, linear.parameter), below, team);
    (launch.bindings.len() <= step.request.tiling.most_bindings as usize).then_some(launch)
}

/// The last layer and the loss.
pub(super) fn head(step: &Step<'_>, homes: &Homes, group: &Group) -> Dispatch {
    let linear = step.graph.node(group.nodes[0]);
    let layer = match &linear.op {
        Op::Linear(linear) => linear.parameter,
        _ => 0,
    };
    let one_a_row = || {
        let workgroup = step.request.tiling.family.row_workgroup();
        head::launch(loss_kernel(step, step.dense[layer]), input_kind(step, layer), workgroup)
    };
    let launch = team(step, &group.nodes).unwrap_or_else(one_a_row);
    let (input, _) = homes.input(step, layer);
    let derived = homes.derived(step, group, layer);
    let mut values = vec![(Binding::Input, input), (Binding::Derivatives, derivatives(derived))];
    if binds(&launch, Binding::InputGradient) {
        values.push((Binding::InputGradient, homes.role(step.end(group))));
    }
    dispatch(launch, layer, &values)
}

/// The layer whose output a node of a loss or of metrics judges.
fn judged(step: &Step<'_>, homes: &Homes, group: &Group) -> usize {
    match homes.role(step.graph.node(group.nodes[0]).inputs[0]) {
        Role::Activations(layer) => layer,
        _ => 0,
    }
}

/// The loss of logits in memory.
pub(super) fn row(step: &Step<'_>, homes: &Homes, group: &Group) -> Dispatch {
    let layer = judged(step, homes, group);
    dispatch(row_loss::launch(loss_kernel(step, step.dense[layer])), layer, &[])
}

/// What an evaluation measures besides the loss.
pub(super) fn metrics(step: &Step<'_>, homes: &Homes, group: &Group) -> Dispatch {
    let layer = judged(step, homes, group);
    let (kernel, workgroup) = (loss_kernel(step, step.dense[layer]), step.request.tiling.family.row_workgroup());
    let launch = match step.request.loss.task() {
        Task::Numbers => regression_metrics::launch(kernel, workgroup),
        task => {
            let counts = class_metrics::Counts::of(task == Task::EachOutput, kernel.dense.outputs);
            class_metrics::launch(kernel, counts, workgroup)
        }
    };
    dispatch(launch, layer, &[])
}
