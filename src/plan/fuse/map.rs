//! What no product takes in: sums, activations and dropout of their own, and their derivatives, as one pass over the values.

use super::super::step::Step;
use super::epilogue::with_stages;
use crate::graph::{NodeId, Op};

/// A stage and those that follow it in the same pass. A sum can only be the first.
pub(super) fn map(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let is_forward = |op: &Op| matches!(op, Op::Activate(_) | Op::Dropout(_));
    let is_backward = Op::is_derivative;
    match &step.graph.node(id).op {
        Op::Add(_) => {
            let follows = |op: &Op| is_forward(op) || is_backward(op);
            Some(with_stages(step, id, follows))
        }
        op if is_forward(op) => Some(with_stages(step, id, is_forward)),
        op if is_backward(op) => Some(with_stages(step, id, is_backward)),
        _ => None,
    }
}
