//! Pools: the largest value of a window, or the mean; and their gradients.

use std::fmt;

use super::conv::of_images;
use super::operation::Operation;
use super::{Graph, Node, Shape, Value};
use crate::layout::{Image, Sliding, Window};

/// The largest value of each window, the first of equals, and, where it trains, which tap that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// The sizes.
    pub sliding: Sliding,
    /// Whether the gradient will be wanted.
    pub trains: bool,
}

/// The gradient by the images that came in, from the one by the largest values and which taps they were of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPoolBackward(pub Sliding);

/// The mean of each window, without its padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePool(pub Sliding);

/// The gradient by the images that came in, from the one by the means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePoolBackward(pub Sliding);

/// The mean of each channel over the whole image: features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAveragePool(pub Image);

/// The gradient by the images that came in, from the one by the means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAveragePoolBackward(pub Image);

/// Writes the name of a pool and its window.
fn named(f: &mut fmt::Formatter<'_>, name: &str, sliding: Sliding) -> fmt::Result {
    let Window { size: [down, across], .. } = sliding.window;
    write!(f, "{name} of {down}×{across}")
}

impl fmt::Display for MaxPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(f, "max_pool", self.sliding)
    }
}

impl fmt::Display for MaxPoolBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(f, "max_pool_backward", self.0)
    }
}

impl fmt::Display for AveragePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(f, "avg_pool", self.0)
    }
}

impl fmt::Display for AveragePoolBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(f, "avg_pool_backward", self.0)
    }
}

impl fmt::Display for GlobalAveragePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "global_avg_pool")
    }
}

impl fmt::Display for GlobalAveragePoolBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "global_avg_pool_backward")
    }
}

impl Operation for MaxPool {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        let y = of_images(inputs[0][0], self.sliding.output);
        if self.trains { vec![y.clone(), y] } else { vec![y] }
    }

    fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        let &[_, winners] = &node.results[..] else { return vec![None] };
        vec![wanted[0].then(|| graph.add(MaxPoolBackward(self.sliding), vec![upstream, winners]))]
    }
}

impl Operation for MaxPoolBackward {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![of_images(inputs[0][0], self.0.input)]
    }
}

impl Operation for AveragePool {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![of_images(inputs[0][0], self.0.output)]
    }

    fn backward(&self, graph: &mut Graph, _node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        vec![wanted[0].then(|| graph.add(AveragePoolBackward(self.0), vec![upstream]))]
    }
}

impl Operation for AveragePoolBackward {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![of_images(inputs[0][0], self.0.input)]
    }
}

impl Operation for GlobalAveragePool {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![inputs[0][0], self.0.channels]]
    }

    fn backward(&self, graph: &mut Graph, _node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        vec![wanted[0].then(|| graph.add(GlobalAveragePoolBackward(self.0), vec![upstream]))]
    }
}

impl Operation for GlobalAveragePoolBackward {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![of_images(inputs[0][0], self.0)]
    }
}
