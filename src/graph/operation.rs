//! What an op has to know of itself, and the list of ops.

use std::fmt;

use super::{
    Activate, ActivateBackward, Add, Attention, AttentionInput, AveragePool, AveragePoolBackward, BatchNorm,
    BatchNormInput, BatchNormWeights, Conv2d, ConvInput, ConvWeights, Dropout, DropoutBackward, Embed, EmbedWeights,
    Embedding, EmbeddingWeights, Flatten, Gather, GlobalAveragePool, GlobalAveragePoolBackward, GradientNorm, Graph,
    Linear, LinearInput, LinearWeights, Loss, MaxPool, MaxPoolBackward, Metrics, Node, Orthogonalize, Positions,
    PositionsWeights, RowNorm, RowNormInput, RowNormWeights, Shape, Source, Tied, TiedInput, TiedWeights, Unflatten,
    Update, Value,
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
    Source, Gather, Linear, Conv2d, MaxPool, AveragePool, GlobalAveragePool, BatchNorm, RowNorm, Flatten, Embed, Embedding, Positions, Attention, Tied, Activate, Dropout, Add, Loss, Metrics,
    ConvInput, ConvWeights, MaxPoolBackward, AveragePoolBackward, GlobalAveragePoolBackward, BatchNormWeights, BatchNormInput, RowNormWeights,
    RowNormInput, Unflatten, EmbedWeights, EmbeddingWeights, PositionsWeights, AttentionInput, TiedInput, TiedWeights,
    LinearInput, LinearWeights, ActivateBackward, DropoutBackward, GradientNorm, Update, Orthogonalize,
}

/// What a kernel computes of its result before it stores it, in the order in which it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Sum,
    Activation,
    Dropout,
    DropoutDerivative,
    ActivationDerivative,
}

/// A pass over the network's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Forward,
    Backward,
}

impl Stage {
    /// The pass that it belongs to; none where it belongs to both.
    pub fn pass(self) -> Option<Pass> {
        match self {
            Stage::Sum => None,
            Stage::Activation | Stage::Dropout => Some(Pass::Forward),
            Stage::DropoutDerivative | Stage::ActivationDerivative => Some(Pass::Backward),
        }
    }
}

impl Op {
    /// The stage that it is of the kernel that made what it reads, where each element of its result follows from the same elements of that.
    pub(crate) fn stage(&self) -> Option<Stage> {
        match self {
            Op::Add(_) => Some(Stage::Sum),
            Op::Activate(_) => Some(Stage::Activation),
            Op::Dropout(_) => Some(Stage::Dropout),
            Op::DropoutBackward(_) => Some(Stage::DropoutDerivative),
            Op::ActivateBackward(_) => Some(Stage::ActivationDerivative),
            _ => None,
        }
    }

    /// Whether it is the gradient of an activation or of dropout, whose second input is what came out in the forward pass.
    pub(crate) fn is_derivative(&self) -> bool {
        self.stage().is_some_and(|stage| stage.pass() == Some(Pass::Backward))
    }
}
