//! Few outputs: the last layer and the loss as one kernel, and the gradient of the layer below with them, where the adapter has a way to do so.

use super::super::head::team;
use super::super::step::Step;
use super::epilogue;
use crate::graph::{Node, NodeId, Op};
use crate::kernel::head::{MOST_INPUTS, MOST_OUTPUTS};

/// A product of few outputs that nothing but the loss (and metrics) reads.
pub(super) fn head(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let node = step.graph.node(id);
    let Op::Linear(linear) = &node.op else { return None };
    let readers: Vec<NodeId> = step.graph.readers(node.result()).collect();
    let judges = |&reader: &NodeId| matches!(step.graph.node(reader).op, Op::Loss(_) | Op::Metrics(_));
    let dense = step.dense[linear.parameter];
    let is_few = dense.outputs <= MOST_OUTPUTS && dense.inputs <= MOST_INPUTS;
    let loss = readers.first().copied().filter(|_| is_few && readers.iter().all(judges))?;
    let nodes = vec![id, loss];
    let below = below(step, id, loss).unwrap_or_default();
    let with_below = [nodes.clone(), below].concat();
    let by_team = team(step, &with_below).is_some();
    Some(if by_team { with_below } else { nodes })
}

/// The gradient by the last layer's input, up to that before the activation that made this input; none where other ways lead there.
fn below(step: &Step<'_>, last: NodeId, loss: NodeId) -> Option<Vec<NodeId>> {
    let &gradient = step.graph.node(loss).results.get(1)?;
    let is_product = |&reader: &NodeId| matches!(step.graph.node(reader).op, Op::LinearInput(_));
    let mut nodes = epilogue::backward(step, step.graph.readers(gradient).find(is_product)?)?;
    // The kernel derives by the input that it has loaded.
    let input = step.graph.node(last).inputs[0];
    let is_of_other = |node: &Node| node.op.is_derivative() && node.inputs[1] != input;
    if nodes.get(1).is_some_and(|&stage| is_of_other(step.graph.node(stage))) {
        nodes.truncate(1);
    }
    let end = step.graph.node(*nodes.last()?).result();
    let is_sum = |&id: &NodeId| matches!(step.graph.node(id).op, Op::Add(_));
    let is_part = step.graph.only_reader(end).is_some_and(|reader| is_sum(&reader));
    (!is_part && !nodes.iter().any(is_sum)).then_some(nodes)
}
