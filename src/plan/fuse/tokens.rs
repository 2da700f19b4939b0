//! The vectors of tokens with those of their places, and what follows; and the gradient by their table.

use super::super::step::Step;
use super::epilogue::with_stages;
use crate::graph::{NodeId, Op, Pass};

/// An embedding, the positions that alone read it, and the stages after both.
pub(super) fn forward(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let node = step.graph.node(id);
    let positions = match node.op {
        Op::Embedding(_) => step
            .graph
            .only_reader(node.result())
            .filter(|&reader| matches!(step.graph.node(reader).op, Op::Positions(_))),
        Op::Positions(_) => None,
        _ => return None,
    };
    let before = positions.map(|_| id);
    Some(before.into_iter().chain(with_stages(step, positions.unwrap_or(id), Pass::Forward)).collect())
}

/// The gradient by an embedding's table, and the sum with what comes by a last layer that has it too.
pub(super) fn weights(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let node = step.graph.node(id);
    let Op::EmbeddingWeights(_) = node.op else { return None };
    let is_sum = |&reader: &NodeId| matches!(step.graph.node(reader).op, Op::Add(_));
    Some([id].into_iter().chain(step.graph.only_reader(node.result()).filter(is_sum)).collect())
}
