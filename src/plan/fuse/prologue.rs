//! What products compute as they load.

use super::super::step::Step;
use crate::graph::{NodeId, Op};

/// A set in one buffer, of features as they are: products find the minibatch's rows in it by themselves, and its elements are cast as they are loaded.
pub(in super::super) fn gather(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let node = step.graph.node(id);
    let is_product = |reader| matches!(step.graph.node(reader).op, Op::Linear(_) | Op::LinearWeights(_));
    let loads = matches!(node.op, Op::Gather(_)) && !step.request.set.is_gathered();
    (loads && step.graph.readers(node.result()).all(is_product)).then(Vec::new)
}
