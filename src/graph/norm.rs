//! Norms: `y = γ · (x − mean) / σ + β`, with the mean and the variance of each channel over the minibatch, or of each row or group of channels; and their
//! gradients. γ and β are one parameter, `[1 and bias, channels]`.

use std::fmt;

use super::operation::Operation;
use super::{Graph, Node, Shape, Value};

/// Batch norm: Ioffe & Szegedy, ICML 2015. From x, the parameter and the running statistics; where it trains, the minibatch's mean and 1/σ are a second result,
/// and the running statistics move on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// The parameter that γ and β are.
    pub parameter: usize,
    /// The parameter that the running statistics are.
    pub statistics: usize,
    /// What is added to the variance.
    pub eps: f64,
    /// The share of the minibatch's statistics in the running ones.
    pub momentum: f64,
    /// Whether the minibatch's own statistics are taken.
    pub trains: bool,
}

/// The gradient by γ and β, from dy, x and the minibatch's statistics; and the sums over the minibatch that it is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormWeights(pub BatchNorm);

/// The gradient by x, from dy, x, γ and β, the minibatch's statistics and the sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormInput(pub BatchNorm);

/// Over what a [`RowNorm`] takes its mean and its variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A row's features, or a pixel's channels, by their mean and deviation: Ba, Kiros & Hinton, "Layer normalization", 2016.
    Row,
    /// The same, by their root mean square alone: Zhang & Sennrich, NeurIPS 2019.
    RootMeanSquare,
    /// This many groups of channels, each with all pixels of an image: Wu & He, "Group normalization", ECCV 2018.
    Groups(u32),
}

/// A norm of each sample by itself. From x and the parameter; where it trains or has groups, means and 1/σ are a second result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowNorm {
    /// The parameter that γ and β are.
    pub parameter: usize,
    /// What is normalized together.
    pub over: Over,
    /// What is added to the variance.
    pub eps: f64,
    /// Whether the gradient will be wanted.
    pub trains: bool,
}

/// The gradient by γ and β, from dy, x and the means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowNormWeights(pub RowNorm);

/// The gradient by x, from dy, x, γ and β, and the means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowNormInput(pub RowNorm);

impl RowNorm {
    fn word(self) -> &'static str {
        match self.over {
            Over::Row => "layer_norm",
            Over::RootMeanSquare => "rms_norm",
            Over::Groups(_) => "group_norm",
        }
    }
}

impl fmt::Display for BatchNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch_norm {}", self.parameter)
    }
}

impl fmt::Display for BatchNormWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch_norm_weights {}", self.0.parameter)
    }
}

impl fmt::Display for BatchNormInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch_norm_input {}", self.0.parameter)
    }
}

impl fmt::Display for RowNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.word(), self.parameter)
    }
}

impl fmt::Display for RowNormWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_weights {}", self.0.word(), self.0.parameter)
    }
}

impl fmt::Display for RowNormInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_input {}", self.0.word(), self.0.parameter)
    }
}

/// The shape of a parameter of γ and β, and of two values for each channel.
fn of_channels(x: &Shape) -> Shape {
    vec![2, x.last().copied().unwrap_or_default()]
}

impl Operation for BatchNorm {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        let moments = self.trains.then(|| of_channels(inputs[0]));
        [inputs[0].clone()].into_iter().chain(moments).collect()
    }

    fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        let &[_, moments] = &node.results[..] else { return vec![None; 3] };
        let (x, weights) = (node.inputs[0], node.inputs[1]);
        let own = graph.push(BatchNormWeights(*self), vec![upstream, x, moments]);
        let &[of_weights, sums] = &graph.node(own).results[..] else { return vec![None; 3] };
        let of_input = wanted[0].then(|| graph.add(BatchNormInput(*self), vec![upstream, x, weights, moments, sums]));
        // Running statistics are no function of the step: nothing asks for their gradient.
        vec![of_input, wanted[1].then_some(of_weights), None]
    }
}

impl Operation for BatchNormWeights {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![of_channels(inputs[1]), of_channels(inputs[1])]
    }
}

impl Operation for BatchNormInput {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }
}

impl Operation for RowNorm {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        let [rows, rest @ ..] = &inputs[0][..] else { return vec![inputs[0].clone()] };
        let pixels: u32 = rest.iter().rev().skip(1).product();
        let statistics = match self.over {
            Over::Groups(groups) => rows * groups,
            _ => rows * pixels,
        };
        // Those of a group are made by a kernel of their own, also where no gradient will be wanted.
        let keeps = self.trains || matches!(self.over, Over::Groups(_));
        [inputs[0].clone()].into_iter().chain(keeps.then(|| vec![statistics, 2])).collect()
    }

    fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        let &[_, moments] = &node.results[..] else { return vec![None; 2] };
        let (x, weights) = (node.inputs[0], node.inputs[1]);
        let of_weights = wanted[1].then(|| graph.add(RowNormWeights(*self), vec![upstream, x, moments]));
        let of_input = wanted[0].then(|| graph.add(RowNormInput(*self), vec![upstream, x, weights, moments]));
        vec![of_input, of_weights]
    }
}

impl Operation for RowNormWeights {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![of_channels(inputs[1])]
    }
}

impl Operation for RowNormInput {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }
}
