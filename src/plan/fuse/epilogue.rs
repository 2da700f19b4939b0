//! What products compute as they store: stages on the way of a product's result, as long as nothing else reads what is in between.

use super::super::step::Step;
use crate::graph::{NodeId, Op, Value};

/// A layer's sum of a residual, its activation and its dropout.
pub(super) fn forward(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let is_stage = |op: &Op| matches!(op, Op::Add(_) | Op::Activate(_) | Op::Dropout(_));
    matches!(step.graph.node(id).op, Op::Linear(_)).then(|| with_stages(step, id, is_stage))
}

/// The sum with what comes by other ways, and the derivatives of the dropout and the activation that made the product's input.
pub(super) fn backward(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let is_stage = |op: &Op| matches!(op, Op::Add(_)) || op.is_derivative();
    matches!(step.graph.node(id).op, Op::LinearInput(_)).then(|| with_stages(step, id, is_stage))
}

/// The update of the weights by their gradient.
pub(super) fn update(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let is_stage = |op: &Op| matches!(op, Op::Update(_));
    matches!(step.graph.node(id).op, Op::LinearWeights(_)).then(|| with_stages(step, id, is_stage))
}

/// The product, or what else begins a kernel, and the stages that follow it. What reads the result of a forward stage in the backward pass, its derivative, reads the last one's:
/// so it is the readers in the same pass that count.
pub(super) fn with_stages(step: &Step<'_>, product: NodeId, is_stage: impl Fn(&Op) -> bool) -> Vec<NodeId> {
    let mut nodes = vec![product];
    let mut value = step.graph.node(product).result();
    while let Some(next) = only_reader(step, value).filter(|&next| is_stage(&step.graph.node(next).op)) {
        let node = step.graph.node(next);
        let is_sum = matches!(node.op, Op::Add(_));
        // Of a sum, the product that comes last adds the other, before all other stages.
        let comes_last = node.inputs.iter().all(|&other| other == value || step.graph.maker(other) < product);
        if is_sum && !(comes_last && nodes.len() == 1) || !follows(step, nodes[nodes.len() - 1], next) {
            break;
        }
        nodes.push(next);
        value = node.result();
    }
    nodes
}

/// Whether a derivative can follow a stage: of one layer's dropout and activation, and not of two layers' one after the other, as a kernel reads one
/// layer's output for them.
fn follows(step: &Step<'_>, before: NodeId, next: NodeId) -> bool {
    let (before, next) = (step.graph.node(before), step.graph.node(next));
    let is_of_one_layer = || {
        let dropout = step.graph.node(step.graph.maker(before.inputs[1]));
        matches!(before.op, Op::DropoutBackward(_)) && dropout.inputs[0] == next.inputs[1]
    };
    !(before.op.is_derivative() && next.op.is_derivative()) || is_of_one_layer()
}

/// The only node that reads the value, those apart that read it for a derivative.
fn only_reader(step: &Step<'_>, value: Value) -> Option<NodeId> {
    let for_derivative = |&id: &NodeId| {
        let node = step.graph.node(id);
        node.op.is_derivative() && node.inputs[1] == value
    };
    let mut readers = step.graph.readers(value).filter(|id| !for_derivative(id));
    readers.next().filter(|_| readers.next().is_none())
}
