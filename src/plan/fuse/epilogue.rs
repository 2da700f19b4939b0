//! What products compute as they store: stages on the way of a product's result, as long as nothing else reads what is in between.

use super::super::step::Step;
use crate::graph::{NodeId, Op, Pass, Stage, Value};

/// After a product or a norm: a layer's sum of a residual, its activation and its dropout.
pub(super) fn forward(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let op = &step.graph.node(id).op;
    matches!(op, Op::Linear(_) | Op::Conv2d(_) | Op::BatchNorm(_) | Op::RowNorm(_))
        .then(|| with_stages(step, id, Pass::Forward))
}

/// The sum with what comes by other ways, and the derivatives of the dropout and the activation that made the product's input.
pub(super) fn backward(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let takes_stages = matches!(
        step.graph.node(id).op,
        Op::LinearInput(_)
            | Op::ConvInput(_)
            | Op::TiedInput(_)
            | Op::MaxPoolBackward(_)
            | Op::AveragePoolBackward(_)
            | Op::GlobalAveragePoolBackward(_)
            | Op::RowNormInput(_)
    );
    takes_stages.then(|| with_stages(step, id, Pass::Backward))
}

/// The update of the weights by their gradient.
pub(super) fn update(step: &Step<'_>, id: NodeId) -> Option<Vec<NodeId>> {
    let node = step.graph.node(id);
    // The gradient by a part of the minibatch, or by a strip of its rows, updates nothing.
    let is_whole = !step.parts().are_summed() && !step.in_strips.is_some_and(|own| own.has(&step.graph, id));
    let is_update = |&reader: &NodeId| is_whole && matches!(step.graph.node(reader).op, Op::Update(_));
    let reader = step.graph.only_reader(node.result()).filter(is_update);
    matches!(node.op, Op::LinearWeights(_) | Op::ConvWeights(_)).then(|| [id].into_iter().chain(reader).collect())
}

/// A node that begins a kernel, and the stages of one pass that follow it. A derivative in the backward pass reads what a forward stage made, which is no
/// other way out of the kernel: the derivative is computed from the kernel's output. So the only reader that counts is the one in the same pass.
pub(super) fn with_stages(step: &Step<'_>, first: NodeId, pass: Pass) -> Vec<NodeId> {
    let mut nodes = vec![first];
    let mut value = step.graph.node(first).result();
    while let Some(next) = only_reader_but_derivatives(step, value) {
        let node = step.graph.node(next);
        // Of a sum, the product that comes last adds the other.
        let comes_last = node.inputs.iter().all(|&other| other == value || step.graph.maker(other) < first);
        let is_taken = match node.op.stage() {
            Some(Stage::Sum) => comes_last,
            Some(stage) => stage.pass() == Some(pass),
            None => false,
        };
        if !is_taken || !follows(step, nodes[nodes.len() - 1], next) {
            break;
        }
        nodes.push(next);
        value = node.result();
    }
    nodes
}

/// Whether an op can be a stage after the one before: a kernel has one of each kind, in the order of [`Stage`]. Derivatives are of one layer's dropout and
/// activation, and not of two layers', as a kernel reads one layer's output for them.
fn follows(step: &Step<'_>, before: NodeId, next: NodeId) -> bool {
    let (before, next) = (step.graph.node(before), step.graph.node(next));
    let is_of_one_layer = || {
        let dropout = step.graph.node(step.graph.maker(before.inputs[1]));
        matches!(before.op, Op::DropoutBackward(_)) && dropout.inputs[0] == next.inputs[1]
    };
    before.op.stage() < next.op.stage()
        && (!(before.op.is_derivative() && next.op.is_derivative()) || is_of_one_layer())
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
