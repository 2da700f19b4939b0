//! A batch norm's gradient by its input, beside the one by its γ and β: both are made from the same sums over the minibatch.

use super::super::step::Step;
use super::epilogue::with_stages;
use crate::graph::{NodeId, Op, Pass};

/// The gradient by the input, with the stages that follow it.
pub(super) fn backward(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let &[_, sums] = &step.graph.node(id).results[..] else { return None };
    let of_input = |&reader: &NodeId| matches!(step.graph.node(reader).op, Op::BatchNormInput(_));
    let reader = matches!(step.graph.node(id).op, Op::BatchNormWeights(_)).then(|| step.graph.only_reader(sums))?;
    let stages = with_stages(step, reader.filter(of_input)?, Pass::Backward);
    Some([id].into_iter().chain(stages).collect())
}
