//! What a step is given.

use std::fmt;

use super::Shape;
use super::operation::Operation;

/// A tensor that is there before the step. The graph knows its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The features of the whole set.
    Features,
    /// The minibatch's targets.
    Targets,
    /// Weights and bias of a layer, the bias as the last row.
    Parameter(usize),
    /// The same of a layer that is frozen: nothing asks for its gradient.
    Frozen(usize),
    /// A parameter that no optimizer updates: running statistics.
    Statistics(usize),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Features => write!(f, "features"),
            Source::Targets => write!(f, "targets"),
            Source::Parameter(index) => write!(f, "parameter {index}"),
            Source::Frozen(index) => write!(f, "frozen {index}"),
            Source::Statistics(index) => write!(f, "statistics {index}"),
        }
    }
}

impl Operation for Source {
    fn results(&self, _inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![]]
    }
}
