//! Dropout: Srivastava et al., JMLR 15 (2014), in the inverted form of `torch.nn.Dropout`.

use std::fmt;

use super::operation::Operation;
use super::{Graph, Node, Shape, Value};

/// `y = x ⊙ mask`, the mask a function of the seed, the step, the layer and the element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The layer whose units drop out, which tells one layer's masks from another's.
    pub layer: usize,
    /// That a unit drops out.
    pub probability: f64,
}

/// `dx = dy ⊙ mask`, from dy and y.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutBackward(pub Dropout);

impl fmt::Display for Dropout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dropout {} of {}", self.probability, self.layer)
    }
}

impl fmt::Display for DropoutBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dropout_backward {} of {}", self.0.probability, self.0.layer)
    }
}

impl Operation for Dropout {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }

    fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        vec![wanted[0].then(|| graph.add(DropoutBackward(*self), vec![upstream, node.result()]))]
    }
}

impl Operation for DropoutBackward {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }
}
