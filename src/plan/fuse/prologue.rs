//! What products compute as they load.

use super::super::step::Step;
use crate::graph::NodeId;

/// The gather, where products do it: they find the minibatch's rows in the set by themselves, and its elements are cast as they are loaded.
pub(super) fn gather(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    step.is_gathered_by_readers(id).then(Vec::new)
}
