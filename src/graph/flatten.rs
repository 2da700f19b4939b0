//! Images and sequences as rows of features, and back.

use std::fmt;

use super::operation::Operation;
use super::{Graph, Node, Shape, Value};
use crate::layout::Image;

/// `[rows, height, width, channels]` as `[rows, channels · height · width]`, channel by channel as PyTorch flattens images, or place by place as it flattens sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten {
    /// The image.
    pub image: Image,
    /// Whether it is a sequence, whose features are place by place.
    pub by_place: bool,
}

/// The gradient by the image, from the one by its features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unflatten {
    /// The image.
    pub image: Image,
    /// Whether it is a sequence, whose features are place by place.
    pub by_place: bool,
}

impl fmt::Display for Flatten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flatten")
    }
}

impl fmt::Display for Unflatten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unflatten")
    }
}

impl Operation for Flatten {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![inputs[0][0], self.image.pixels() * self.image.channels]]
    }

    fn backward(&self, graph: &mut Graph, _node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        vec![wanted[0].then(|| graph.add(Unflatten { image: self.image, by_place: self.by_place }, vec![upstream]))]
    }
}

impl Operation for Unflatten {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        let Image { height, width, channels } = self.image;
        vec![vec![inputs[0][0], height, width, channels]]
    }
}
