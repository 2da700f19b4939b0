//! What no product takes in: sums, activations and dropout of their own, and their derivatives, as one pass over the values.

use super::super::step::Step;
use super::epilogue::with_stages;
use crate::graph::NodeId;

/// A stage and those that follow it in the same pass.
pub(super) fn map(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    step.graph.node(id).op.stage()?;
    Some(with_stages(step, id, step.pass(id)))
}
