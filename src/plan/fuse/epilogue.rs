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
    while let Some(next) = only_reader_but_derivatives(step, value).filter(|&id| is_stage(&step.graph.node(id).op)) {
        let node = step.graph.node(next);
        let is_sum = matches!(node.op, Op::Add(_));
        // Of a sum, the product that comes last adds the other.
        let comes_last = node.inputs.iter().all(|&other| other == value || step.graph.maker(other) < product);
        if is_sum && !comes_last || !follows(step, nodes[nodes.len() - 1], next) {
            break;
        }
        nodes.push(next);
        value = node.result();
    }
    nodes
}

/// Whether an op can be a stage after the one before: a kernel has one of each kind, in the order of [`turn`]. Derivatives are of one layer's dropout and
/// activation, and not of two layers', as a kernel reads one layer's output for them.
fn follows(step: &Step<'_>, before: NodeId, next: NodeId) -> bool {
    let (before, next) = (step.graph.node(before), step.graph.node(next));
    let is_of_one_layer = || {
        let dropout = step.graph.node(step.graph.maker(before.inputs[1]));
        matches!(before.op, Op::DropoutBackward(_)) && dropout.inputs[0] == next.inputs[1]
    };
    turn(&before.op) < turn(&next.op) && (!(before.op.is_derivative() && next.op.is_derivative()) || is_of_one_layer())
}

/// When a kernel computes a stage: what is added first, then the activation and dropout, or in the backward pass the derivatives of dropout and of the
/// activation. A product comes before all of them.
fn turn(op: &Op) -> u8 {
    match op {
        Op::Add(_) => 1,
        Op::Activate(_) | Op::DropoutBackward(_) => 2,
        Op::Dropout(_) | Op::ActivateBackward(_) => 3,
        Op::Update(_) => 4,
        _ => 0,
    }
}

/// The only node that reads the value, those apart that read it for a derivative.
fn only_reader_but_derivatives(step: &Step<'_>, value: Value) -> Option<NodeId> {
    let for_derivative = |&id: &NodeId| {
        let node = step.graph.node(id);
        node.op.is_derivative() && node.inputs[1] == value
    };
    let mut readers = step.graph.readers(value).filter(|id| !for_derivative(id));
    readers.next().filter(|_| readers.next().is_none())
}
