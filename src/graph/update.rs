//! The ops that change weights: after all that read them.

use std::fmt;

use super::backward::ParameterGradient;
use super::operation::Operation;
use super::{Graph, Op, Shape, Source, Value};
use crate::optimizer::{Optimizer, Rule};
use crate::training::Training;

/// The norm over all parameters' gradients, and what follows from it: by how much they are clipped, whether the step is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GradientNorm;

/// `W ← updated(W, dW)` by the optimizer's rule, element by element; from W, dW and, where all gradients have to be known before, the norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// The layer whose weights they are.
    pub parameter: usize,
}

/// Muon's update of a hidden layer's weights: momentum, and a direction that is orthogonalized. As [`Update`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orthogonalize {
    /// The layer whose weights they are.
    pub parameter: usize,
}

/// Adds an update for each parameter, in the order of the gradients.
pub(super) fn update(graph: &mut Graph, gradients: &[ParameterGradient], training: Training<'_>) {
    let all: Vec<Value> = gradients.iter().map(|of| of.gradient).collect();
    let norm = training.keeps_gradient().then(|| graph.add(GradientNorm, all));
    // A last layer that is frozen makes no hidden one the last.
    let last = graph.nodes().filter_map(|(_, node)| of_optimizer(&node.op)).max();
    for &ParameterGradient { parameter, weights, gradient } in gradients {
        graph.enter(graph.layer(graph.maker(weights)));
        let is_product = matches!(graph.node(graph.maker(gradient)).op, Op::LinearWeights(_) | Op::ConvWeights(_));
        let inputs = [weights, gradient].into_iter().chain(norm).collect();
        let moves_matrix = training.groups.of(parameter).is_none_or(|treated| !treated.matrix.frozen);
        if is_orthogonalized(training.optimizer) && is_product && moves_matrix && Some(parameter) != last {
            graph.add(Orthogonalize { parameter }, inputs);
        } else {
            graph.add(Update { parameter }, inputs);
        }
    }
    graph.enter(None);
}

/// The parameter that a source is, where an optimizer updates it, or would if it were not frozen.
fn of_optimizer(op: &Op) -> Option<usize> {
    match op {
        Op::Source(Source::Parameter(parameter) | Source::Frozen(parameter)) => Some(*parameter),
        _ => None,
    }
}

impl Graph {
    /// Leaves the parameters that are frozen out of all that is derived by: to be called before the gradients are added.
    pub(super) fn freeze(&mut self, training: Training<'_>) {
        for node in &mut self.nodes {
            if let Op::Source(Source::Parameter(parameter)) = node.op
                && training.groups.is_frozen(parameter)
            {
                node.op = Source::Frozen(parameter).into();
            }
        }
    }
}

/// Whether hidden layers' matrices are updated by orthogonalized directions.
fn is_orthogonalized(optimizer: &Optimizer) -> bool {
    matches!(optimizer.rule, Rule::Muon { .. })
}

impl fmt::Display for GradientNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gradient_norm")
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "update {}", self.parameter)
    }
}

impl fmt::Display for Orthogonalize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "orthogonalize {}", self.parameter)
    }
}

impl Operation for GradientNorm {
    fn results(&self, _inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![]]
    }
}

impl Operation for Update {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }
}

impl Operation for Orthogonalize {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }
}
