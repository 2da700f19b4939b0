//! Convolutions, and their gradients.

use std::fmt;

use super::operation::Operation;
use super::{Graph, Node, Shape, Value};
use crate::layout::{Conv, Image, Window};

/// `z = conv(x, W) + b`, from images x `[rows, height, width, channels]` and W `[taps · channels and bias, outputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// The parameter that its weights are.
    pub parameter: usize,
    /// Its sizes.
    pub conv: Conv,
}

/// The gradient by the images that came in, from dz and W.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvInput(pub Conv2d);

/// The gradient by the weights, from x and dz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvWeights(pub Conv2d);

impl fmt::Display for Conv2d {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { size: [down, across], stride, .. } = self.conv.sliding.window;
        write!(f, "conv {} of {down}×{across}", self.parameter)?;
        if stride != [1, 1] {
            write!(f, " by {}×{}", stride[0], stride[1])?;
        }
        Ok(())
    }
}

impl fmt::Display for ConvInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conv_input {}", self.0.parameter)
    }
}

impl fmt::Display for ConvWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conv_weights {}", self.0.parameter)
    }
}

/// The shape of a minibatch of images.
pub(super) fn of_images(rows: u32, Image { height, width, channels }: Image) -> Shape {
    vec![rows, height, width, channels]
}

impl Operation for Conv2d {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![of_images(inputs[0][0], self.conv.sliding.output)]
    }

    fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        let (x, weights) = (node.inputs[0], node.inputs[1]);
        vec![
            wanted[0].then(|| graph.add(ConvInput(*self), vec![upstream, weights])),
            wanted[1].then(|| graph.add(ConvWeights(*self), vec![x, upstream])),
        ]
    }
}

impl Operation for ConvInput {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![of_images(inputs[0][0], self.0.conv.sliding.input)]
    }
}

impl Operation for ConvWeights {
    fn results(&self, _inputs: &[&Shape]) -> Vec<Shape> {
        let taps = self.0.conv.sliding.window.taps();
        vec![vec![taps * self.0.conv.group_channels() + 1, self.0.conv.sliding.output.channels]]
    }
}
