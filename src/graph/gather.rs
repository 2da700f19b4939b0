//! The minibatch's rows of the set.

use std::fmt;

use super::Shape;
use super::operation::Operation;

/// `x[i] = features[order(step, i)]` for the rows of a minibatch, cast to f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Rows of the minibatch.
    pub batch: u32,
}

impl fmt::Display for Gather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gather")
    }
}

impl Operation for Gather {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![[&[self.batch], &inputs[0][..]].concat()]
    }
}
