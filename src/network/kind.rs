//! What a layer has to know of itself, and the list of all kinds of layers.

use serde_json::{Map, Value as Json};

use super::forward::Forward;
use super::parameter::{ParameterKind, RowOrder};
use super::words::Words;
use super::{
    ActivationLayer, AttentionLayer, AvgPoolLayer, BatchNormLayer, ConvLayer, DenseLayer, DropoutLayer, EmbedLayer,
    EmbeddingLayer, FlattenLayer, Form, GlobalAvgPoolLayer, GroupNormLayer, Layer, LayerNormLayer, MaxPoolLayer,
    PositionsLayer, RepeatLayer, ResidualLayer, RmsNormLayer,
};
use crate::graph::Value;

/// A parameter of a layer, as the layer describes it: see [`Parameter`](super::Parameter).
#[derive(Clone, Debug)]
pub(super) struct Own {
    /// What follows the layer's name in files, where it has several matrices: `out_proj`, or a number.
    pub part: Option<String>,
    pub inputs: usize,
    pub outputs: usize,
    pub kind: ParameterKind,
    pub bias: bool,
    pub rows: RowOrder,
}

/// What a kind of layer says of itself, in a file of its own and a line of the list below. The activation and the dropout after a layer are in [`Layer`], as
/// layers of every kind have them.
pub(super) trait Describe: Sized {
    /// The word that begins it in a list of layers.
    const WORD: &'static str;
    /// Whether it is for images: a list with such a layer takes a set's images as images, and not as rows of features.
    const OF_IMAGES: bool = false;

    /// Its own parameters, in the order in which [`write`](Self::write) brings them into the graph by [`Forward::parameter`].
    fn parameters(&self, _input: Form) -> Vec<Own> {
        vec![]
    }

    /// The form of its output, from that of its input. Of an input that it cannot follow, any.
    fn output(&self, input: Form) -> Form {
        input
    }

    /// Whether it can follow this input. A reason why not continues the sentence "layer 2 (dense) has 9 inputs and …". The layers within it
    /// are checked before.
    fn check(&self, _input: Form) -> Result<(), String> {
        Ok(())
    }

    /// The lists of layers within it, by name. What comes into it comes into each, an image that was flattened as [features](Form::within).
    fn parts(&self) -> Vec<(&'static str, &[Layer])> {
        vec![]
    }

    /// The list of layers that it stands for, and how often: they follow each other in the list that it is in. The first takes what comes into it.
    fn copies(&self) -> (usize, &[Layer]) {
        (0, &[])
    }

    /// Adds its ops to a graph, and gives what comes out, before the activation.
    fn write(&self, x: Value, input: Form, forward: &mut Forward) -> Value;

    /// Reads it from its words. A key that it does not ask for is refused.
    fn from_words(words: &mut Words<'_>) -> Result<Self, String>;

    /// Its words.
    fn to_words(&self, words: &mut Map<String, Json>);
}

macro_rules! layers {
    ($($(#[$about:meta])* $layer:ident($description:ident),)*) => {
        /// What a layer computes before its activation.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum LayerKind {
            $($(#[$about])* $layer($description),)*
        }

        $(impl From<$description> for LayerKind {
            fn from(kind: $description) -> LayerKind {
                LayerKind::$layer(kind)
            }
        }

        impl From<$description> for Layer {
            fn from(kind: $description) -> Layer {
                Layer::new(kind)
            }
        })*

        /// The words that layers begin with.
        pub(super) const WORDS: &[&str] = &[$($description::WORD),*];

        impl LayerKind {
            pub(super) fn output(&self, input: Form) -> Form {
                match self { $(LayerKind::$layer(kind) => kind.output(input),)* }
            }

            pub(super) fn is_of_images(&self) -> bool {
                match self { $(LayerKind::$layer(_) => $description::OF_IMAGES,)* }
            }

            pub(super) fn word(&self) -> &'static str {
                match self { $(LayerKind::$layer(_) => $description::WORD,)* }
            }

            pub(super) fn parameters(&self, input: Form) -> Vec<Own> {
                match self { $(LayerKind::$layer(kind) => kind.parameters(input),)* }
            }

            pub(super) fn parts(&self) -> Vec<(&'static str, &[Layer])> {
                match self { $(LayerKind::$layer(kind) => kind.parts(),)* }
            }

            pub(super) fn copies(&self) -> (usize, &[Layer]) {
                match self { $(LayerKind::$layer(kind) => kind.copies(),)* }
            }

            pub(super) fn check(&self, input: Form) -> Result<(), String> {
                match self { $(LayerKind::$layer(kind) => kind.check(input),)* }
            }

            pub(super) fn write(&self, x: Value, input: Form, forward: &mut Forward) -> Value {
                match self { $(LayerKind::$layer(kind) => kind.write(x, input, forward),)* }
            }

            /// The kind with this word, which is one of [`WORDS`].
            pub(super) fn from_words(word: &str, words: &mut Words<'_>) -> Option<Result<LayerKind, String>> {
                match word {
                    $($description::WORD => Some($description::from_words(words).map(LayerKind::$layer)),)*
                    _ => None,
                }
            }

            pub(super) fn to_words(&self, words: &mut Map<String, Json>) {
                match self { $(LayerKind::$layer(kind) => kind.to_words(words),)* }
            }
        }
    };
}

layers! {
    /// `y = x·W + b`
    Dense(DenseLayer),
    /// `y = conv(x, W) + b`
    Conv(ConvLayer),
    /// The largest value of each window.
    MaxPool(MaxPoolLayer),
    /// The mean of each window.
    AvgPool(AvgPoolLayer),
    /// The mean of each channel.
    GlobalAvgPool(GlobalAvgPoolLayer),
    /// An image's values as features.
    Flatten(FlattenLayer),
    /// Vectors for features that are categories, beside the others.
    Embed(EmbedLayer),
    /// A vector for each token.
    Embedding(EmbeddingLayer),
    /// `y = x + P`, a vector for each place of a sequence.
    Positions(PositionsLayer),
    /// Each place of a sequence from all of them, by how well they fit it.
    Attention(AttentionLayer),
    /// `y = γ · (x − mean) / σ + β`, each channel over the minibatch.
    BatchNorm(BatchNormLayer),
    /// The same, each row or pixel by itself.
    LayerNorm(LayerNormLayer),
    /// `y = γ · x / √mean(x²)`, each row or pixel by itself.
    RmsNorm(RmsNormLayer),
    /// `y = γ · (x − mean) / σ + β`, groups of an image's channels by themselves.
    GroupNorm(GroupNormLayer),
    /// `y = body(x) + x`, or plus what a shortcut makes of x.
    Residual(ResidualLayer),
    /// Layers that come several times.
    Repeat(RepeatLayer),
    /// An activation that follows no layer.
    Activation(ActivationLayer),
    /// Dropout that follows no layer.
    Dropout(DropoutLayer),
}
