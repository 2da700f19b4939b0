//! The loss of a minibatch, and what evaluations measure besides.

use std::fmt;

use super::Shape;
use super::operation::Operation;

/// The minibatch's loss from logits and targets; where it trains, its gradient by the logits is a second result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whether the gradient is wanted.
    pub trains: bool,
}

/// Counts or sums for metrics, from logits and targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics;

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss")
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metrics")
    }
}

impl Operation for Loss {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        let gradient = self.trains.then(|| inputs[0].clone());
        [vec![]].into_iter().chain(gradient).collect()
    }
}

impl Operation for Metrics {
    fn results(&self, _inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![]]
    }
}
