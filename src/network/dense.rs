//! Dense layers.

use serde_json::{Map, Value as Json};

use super::Form;
use super::forward::Forward;
use super::kind::{Describe, Own};
use super::layer::check_width;
use super::parameter::{ParameterKind, RowOrder};
use super::words::Words;
use crate::graph::{Linear, Value};

/// A dense layer, `x·W + b`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DenseLayer {
    /// The number of units.
    pub outputs: usize,
}

impl DenseLayer {
    /// A dense layer of this many units.
    pub fn new(outputs: usize) -> Self {
        DenseLayer { outputs }
    }
}

impl Describe for DenseLayer {
    const WORD: &'static str = "dense";

    fn parameters(&self, input: Form) -> Vec<Own> {
        let (inputs, outputs) = (input.values(), self.outputs);
        let rows = match input {
            Form::Flattened(image) => {
                RowOrder { channels: image.channels as usize, places: image.pixels() as usize, whole_quads: true }
            }
            _ => RowOrder::features(inputs),
        };
        vec![Own { inputs, outputs, kind: ParameterKind::Matrix, bias: true, rows }]
    }

    fn output(&self, _input: Form) -> Form {
        Form::Features(self.outputs)
    }

    fn check(&self, input: Form) -> Result<(), String> {
        match input {
            Form::Image(_) => Err("takes features: add a flatten before it".into()),
            _ => check_width(self.outputs),
        }
    }

    fn write(&self, x: Value, _input: Form, forward: &mut Forward) -> Value {
        let (parameter, weights) = forward.parameter();
        forward.op(Linear { parameter }, vec![x, weights])
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        words.count(Self::WORD).map(DenseLayer::new)
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.outputs.into());
    }
}
