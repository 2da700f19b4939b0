//! Activations, element by element, and their gradients.

use std::fmt;

use super::operation::Operation;
use super::{Graph, Node, Shape, Value};
use crate::activation::Activation;

/// `y = activate(z)`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activate(pub Activation);

/// `dz = dy ⊙ activate′(z)`, from dy and y. Where the derivative cannot be computed from y, the forward pass keeps it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivateBackward(pub Activation);

impl Graph {
    /// Adds an activation; the identity is no op.
    pub(crate) fn activated(&mut self, z: Value, activation: Activation) -> Value {
        match activation {
            Activation::Identity => z,
            _ => self.add(Activate(activation), vec![z]),
        }
    }
}

impl fmt::Display for Activate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for ActivateBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_backward", self.0)
    }
}

impl Operation for Activate {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }

    fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        vec![wanted[0].then(|| graph.add(ActivateBackward(self.0), vec![upstream, node.result()]))]
    }
}

impl Operation for ActivateBackward {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }
}
