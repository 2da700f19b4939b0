//! Vectors for tokens and for places, and their gradients.

use std::fmt;

use super::operation::Operation;
use super::{Graph, Node, Shape, Value};

/// `y[row, place] = W[token[row, place]]`, from tokens `[rows, places]` and W, which has a row for each token and one, unused, for a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedding {
    /// The parameter that W is.
    pub parameter: usize,
    /// The number of tokens that there are.
    pub vocabulary: u32,
}

/// The gradient by W: for each token, the sum of dy over all places that have it; from dy and the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddingWeights(pub Embedding);

/// `y[row, place] = x[row, place] + W[place]`, from a sequence x and W, as that of an [`Embedding`]. Where it continues a sequence, as an
/// [`Attention`](super::Attention) does, `y[row] = x[row] + W[first + row]`: the step says which place is its first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    /// The parameter that W is.
    pub parameter: usize,
    /// The number of places that have a vector.
    pub length: u32,
    /// Whether rows are places of one sequence.
    pub continues: bool,
}

/// The gradient by W: for each place, the sum of dy over the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionsWeights(pub Positions);

impl fmt::Display for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "embedding {}", self.parameter)
    }
}

impl fmt::Display for EmbeddingWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "embedding_weights {}", self.0.parameter)
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "positions {}", self.parameter)
    }
}

impl fmt::Display for PositionsWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "positions_weights {}", self.0.parameter)
    }
}

impl Operation for Embedding {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![inputs[0][0], 1, inputs[0][1], inputs[1][1]]]
    }

    fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        let tokens = node.inputs[0];
        vec![None, wanted[1].then(|| graph.add(EmbeddingWeights(*self), vec![upstream, tokens]))]
    }
}

impl Operation for EmbeddingWeights {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![self.0.vocabulary + 1, inputs[0][3]]]
    }
}

impl Operation for Positions {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }

    fn backward(&self, graph: &mut Graph, _node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        let of_weights = wanted[1].then(|| graph.add(PositionsWeights(*self), vec![upstream]));
        vec![wanted[0].then_some(upstream), of_weights]
    }
}

impl Operation for PositionsWeights {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![self.0.length + 1, inputs[0][3]]]
    }
}
