//! The vectors of tokens with those of their places, and what follows.

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
