//! Products with the table of an embedding, which a network's last layer may share with its first, and their gradients.

use std::fmt;

use super::operation::Operation;
use super::{Graph, Node, Shape, Value};

/// `z = x·Wᵀ`, from a sequence x and W, the table of an embedding: a logit for each token. Press & Wolf, "Using the output embedding to improve language models",
/// EACL 2017.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tied {
    /// The parameter that W is.
    pub parameter: usize,
    /// The number of tokens that there are.
    pub vocabulary: u32,
}

/// `dx = dz·W`, from dz and W.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TiedInput(pub Tied);

/// `dW = dzᵀ·x`, from x and dz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TiedWeights(pub Tied);

impl fmt::Display for Tied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tied {}", self.parameter)
    }
}

impl fmt::Display for TiedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tied_input {}", self.0.parameter)
    }
}

impl fmt::Display for TiedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tied_weights {}", self.0.parameter)
    }
}

/// A sequence with places of another width.
fn of_width(x: &Shape, width: u32) -> Shape {
    vec![x[0], x[1], x[2], width]
}

impl Operation for Tied {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![of_width(inputs[0], self.vocabulary)]
    }

    fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        let (x, weights) = (node.inputs[0], node.inputs[1]);
        let of_input = wanted[0].then(|| graph.add(TiedInput(*self), vec![upstream, weights]));
        vec![of_input, wanted[1].then(|| graph.add(TiedWeights(*self), vec![x, upstream]))]
    }
}

impl Operation for TiedInput {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![of_width(inputs[0], inputs[1][1])]
    }
}

impl Operation for TiedWeights {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![self.0.vocabulary + 1, inputs[0][3]]]
    }
}
