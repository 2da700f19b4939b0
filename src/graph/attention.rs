//! Attention between the places of a sequence, and its gradient.

use std::fmt;

use super::operation::Operation;
use super::{Graph, Node, Shape, Value};

/// `y = softmax(q·kᵀ/√d)·v` for each head, from the queries, keys and values of all places side by side, `[rows, 1, places, 3 · width]`; heads have `d` values of
/// each. Where it trains, the logarithms of the sums of exponentials `[rows · places, heads]` are a second result.
///
/// Where it `continues`, rows are no samples: each is one more place of a sequence whose first places earlier steps were given, and `places` is 1. It attends to
/// those too, by their keys and values, which are kept from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// How many heads.
    pub heads: u32,
    /// Whether a place attends to none that come after it.
    pub causal: bool,
    /// The probability that a weight of the mean is left out.
    pub dropout: f64,
    /// What tells its dropout's masks from those of others.
    pub number: usize,
    /// Whether the gradient will be wanted.
    pub trains: bool,
    /// The most places of a sequence that it continues; none where rows are samples.
    pub continues: Option<u32>,
}

/// The gradient by the queries, keys and values, from dy, these, y and the logarithms. What every place's gradient is moved by, `Σ dy ⊙ y` over a head, is a
/// second result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionInput(pub Attention);

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attention of {} heads", self.heads)
    }
}

impl fmt::Display for AttentionInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attention_input of {} heads", self.0.heads)
    }
}

impl Attention {
    /// The shape of a number for each place and head.
    fn of_heads(&self, x: &Shape) -> Shape {
        vec![x[0] * x[2], self.heads]
    }
}

impl Operation for Attention {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        let x = inputs[0];
        let y = vec![x[0], x[1], x[2], x[3] / 3];
        [y].into_iter().chain(self.trains.then(|| self.of_heads(x))).collect()
    }

    fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        let &[y, logarithms] = &node.results[..] else { return vec![None] };
        let x = node.inputs[0];
        vec![wanted[0].then(|| graph.add(AttentionInput(*self), vec![upstream, x, y, logarithms]))]
    }
}

impl Operation for AttentionInput {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[1].clone(), self.0.of_heads(inputs[1])]
    }
}
