//! Sums of two tensors: residual sums, and gradients that come by two ways.

use std::fmt;

use super::operation::Operation;
use super::{Graph, Node, Shape, Value};

/// `y = a + b`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add;

impl fmt::Display for Add {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "add")
    }
}

impl Operation for Add {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }

    fn backward(&self, _graph: &mut Graph, _node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        wanted.iter().map(|wanted| wanted.then_some(upstream)).collect()
    }
}
