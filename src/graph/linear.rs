//! Dense products: `z = x·W + b`, and their gradients.

use std::fmt;

use super::operation::Operation;
use super::{Graph, Node, Shape, Value};
use crate::layout::Image;

/// `z = x·W + b`, from x `[rows, inputs]`, or an image whose values are the inputs, and W `[inputs and bias, outputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// The layer whose weights they are.
    pub parameter: usize,
    /// Whether an image that comes in is a sequence, whose values are inputs place by place in files.
    pub by_place: bool,
}

/// `dx = dz·Wᵀ`, without the bias's row, from dz and W.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearInput {
    /// The layer whose weights they are.
    pub parameter: usize,
    /// The image that came in, where it was one.
    pub image: Option<Image>,
}

/// `dW = [x, 1]ᵀ·dz`, from x and dz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearWeights {
    /// The layer whose weights they are.
    pub parameter: usize,
}

/// The image of each sample of a tensor, where it has images.
pub(crate) fn image_of(shape: &Shape) -> Option<Image> {
    match shape[..] {
        [_, height, width, channels] => Some(Image { height, width, channels }),
        _ => None,
    }
}

impl fmt::Display for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linear {}", self.parameter)
    }
}

impl fmt::Display for LinearInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linear_input {}", self.parameter)
    }
}

impl fmt::Display for LinearWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linear_weights {}", self.parameter)
    }
}

impl Operation for Linear {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![inputs[0][0], inputs[1][1]]]
    }

    fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        let (x, weights, parameter) = (node.inputs[0], node.inputs[1], self.parameter);
        let mut by = |at: usize| {
            wanted[at].then(|| match at {
                0 => graph.add(LinearInput { parameter, image: image_of(graph.shape(x)) }, vec![upstream, weights]),
                _ => graph.add(LinearWeights { parameter }, vec![x, upstream]),
            })
        };
        vec![by(0), by(1)]
    }
}

impl Operation for LinearInput {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        match self.image {
            Some(Image { height, width, channels }) => vec![vec![inputs[0][0], height, width, channels]],
            None => vec![vec![inputs[0][0], inputs[1][0] - 1]],
        }
    }
}

impl Operation for LinearWeights {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![inputs[0][1..].iter().product::<u32>() + 1, inputs[1][1]]]
    }
}
