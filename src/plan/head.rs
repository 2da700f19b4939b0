//! The kernel of a team for the last layer and the loss: what it takes in is decided by whether the adapter can run it.

use super::step::Step;
use crate::graph::{LinearInput, Node, NodeId, Op};
use crate::kernel::loss_kernel::{LossKernel, Places};
use crate::kernel::{Launch, team_head};
use crate::layout::Dense;

/// What every kernel that judges logits is made for.
pub(super) fn loss_kernel<'a>(step: &Step<'a>, dense: Dense) -> LossKernel<'a> {
    let request = step.request;
    let places = request.network.places().map(|count| {
        let stride = request.set.tokens().map_or(count, |layout| layout.stride(count));
        Places { count, stride }
    });
    let strips = step.in_strips.map(|own| own.strips);
    LossKernel { dense, places, strips, loss: request.loss, targets: step.device_targets(), training: request.training }
}

/// The kernel of a team for the last layer, the loss and the gradient below, if any is wanted; none where that is not among the nodes, where the adapter has
/// no team, and where it cannot bind as much.
pub(super) fn team(step: &Step<'_>, nodes: &[NodeId]) -> Option<Launch> {
    let Op::Linear(linear) = &step.graph.node(nodes[0]).op else { return None };
    let dense = step.dense[linear.parameter];
    let goes_below = nodes.iter().position(|&id| matches!(step.graph.node(id).op, Op::LinearInput(_)));
    let is_below = |node: &Node| matches!(node.op, Op::LinearInput(LinearInput { parameter, .. }) if parameter == linear.parameter);
    if goes_below.is_none() && step.graph.nodes().any(|(_, node)| is_below(node)) {
        return None;
    }
    let below = goes_below.map(|at| step.stages(&nodes[at..]).epilogue);
    let team = team_head::Team::of(step.request.tiling.family)?;
    let launch = team_head::launch(loss_kernel(step, dense), step.input_kind(linear.parameter), below, team);
    (launch.bindings.len() <= step.request.tiling.most_bindings as usize).then_some(launch)
}
