//! What an op has to know of itself, and the list of ops.

use std::fmt;

use super::{
    Activate, ActivateBackward, Add, Dropout, DropoutBackward, Gather, GradientNorm, Graph, Linear, LinearInput,
    LinearWeights, Loss, Metrics, Node, Orthogonalize, Shape, Source, Update, Value,
};

/// An op: a file of this room, and a word of the list below.
pub(super) trait Operation: fmt::Display {
    /// The shapes of what comes out, from those of what goes in.
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape>;

    /// Adds the ops of the gradients, from the gradient by the node's first result: one for each input, and none for those that are not wanted. An op
    /// that says nothing here has no gradient: a network in which one is wanted is refused.
    fn backward(&self, _graph: &mut Graph, node: &Node, _upstream: Value, _wanted: &[bool]) -> Vec<Option<Value>> {
        vec![None; node.inputs.len()]
    }
}

macro_rules! operations {
    ($($op:ident,)*) => {
        /// What a node computes.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($op), "`].")] $op($op),)*
        }

        $(impl From<$op> for Op {
            fn from(op: $op) -> Op {
                Op::$op(op)
            }
        })*

        impl Operation for Op {
            fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
                match self { $(Op::$op(op) => op.results(inputs),)* }
            }

            fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
                match self { $(Op::$op(op) => op.backward(graph, node, upstream, wanted),)* }
            }
        }

        impl fmt::Display for Op {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Op::$op(op) => op.fmt(f),)* }
            }
        }
    };
}

operations! {
    Source, Gather, Linear, Activate, Dropout, Add, Loss, Metrics,
    LinearInput, LinearWeights, ActivateBackward, DropoutBackward, GradientNorm, Update, Orthogonalize,
}

impl Op {
    /// Whether each element of its result follows from the same elements of what it reads: it can be a stage of the kernel that made them.
    pub(crate) fn is_stage(&self) -> bool {
        matches!(self, Op::Add(_) | Op::Activate(_) | Op::Dropout(_)) || self.is_derivative()
    }

    /// Whether it is the gradient of an activation or of dropout, whose second input is what came out in the forward pass.
    pub(crate) fn is_derivative(&self) -> bool {
        matches!(self, Op::ActivateBackward(_) | Op::DropoutBackward(_))
    }
}
