//! A convolution with the max pool behind it: the pixels under a window are the rows of one block of the product, so that no more than the largest is stored.

use super::super::step::Step;
use super::epilogue::with_stages;
use crate::graph::{Graph, NodeId, Op, Pass, Value};
use crate::kernel::pool::can_be_fused;

/// Lets every activation between a convolution and a pool that its kernel takes in follow the pool. That changes no output and no gradient, as the largest of
/// some activations is that of the largest sum: but the activation and its derivative are of the pool's output then, and nothing is as large as the
/// convolution's. Where activations are equal and the sums are not, as under ReLU's zeros, the gradient goes to the largest sum, and is 0 or next to it.
pub(in super::super) fn pools_first(mut graph: Graph) -> Graph {
    let activations: Vec<(NodeId, NodeId)> = graph
        .nodes()
        .filter_map(|(id, node)| {
            let Op::Activate(activate) = node.op else { return None };
            let pool = graph.only_reader(node.result()).filter(|_| activate.0.is_monotone())?;
            let Op::MaxPool(own) = graph.node(pool).op else { return None };
            let is_fused = can_be_fused(own.sliding) && is_of_product(&graph, node.inputs[0], id);
            is_fused.then_some((id, pool))
        })
        .collect();
    activations.into_iter().for_each(|(activation, pool)| graph.swap(activation, pool));
    graph
}

/// Whether a value that one node alone reads is a convolution's sum, with or without a residual: one whose other part is there before it.
fn is_of_product(graph: &Graph, value: Value, reader: NodeId) -> bool {
    let node = graph.node(graph.maker(value));
    let is_own = graph.only_reader(value) == Some(reader);
    match node.op {
        Op::Conv2d(own) => is_own && own.conv.groups == 1,
        Op::Add(_) => {
            let last = node.inputs.iter().copied().max_by_key(|&input| graph.maker(input));
            let is_conv = |&last: &Value| matches!(graph.node(graph.maker(last)).op, Op::Conv2d(_));
            is_own && last.filter(is_conv).is_some_and(|last| is_of_product(graph, last, graph.maker(value)))
        }
        _ => false,
    }
}

/// A convolution, its residual, the pool, and the stages that follow that.
pub(super) fn conv(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let Op::Conv2d(_) = step.graph.node(id).op else { return None };
    let mut nodes = with_stages(step, id, Pass::Forward);
    let sum = step.graph.node(*nodes.last()?).result();
    let pool = step.graph.only_reader(sum)?;
    let Op::MaxPool(own) = step.graph.node(pool).op else { return None };
    if !can_be_fused(own.sliding) || !is_of_product(&step.graph, sum, pool) {
        return None;
    }
    // A sum behind the pool is no stage of this kernel, whose sum is before it.
    let is_sum = |id: &NodeId| matches!(step.graph.node(*id).op, Op::Add(_));
    let after = with_stages(step, pool, Pass::Forward);
    nodes.extend(if after.get(1).is_some_and(is_sum) { &after[..1] } else { &after[..] });
    Some(nodes)
}
