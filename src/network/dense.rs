//! Dense layers.

use serde_json::{Map, Value as Json};

use super::Form;
use super::forward::Forward;
use super::kind::{Describe, Own};
use super::layer::check_width;
use super::parameter::{ParameterKind, RowOrder};
use super::words::{Words, add_bias};
use crate::graph::{Linear, Value};

/// A dense layer, `x·W + b`, or `x·W`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DenseLayer {
    /// The number of units.
    pub outputs: usize,
    /// Whether each unit has a bias.
    pub bias: bool,
}

impl DenseLayer {
    /// A dense layer of this many units, with biases.
    pub fn new(outputs: usize) -> Self {
        DenseLayer { outputs, bias: true }
    }

    /// The layer without biases, as before a norm, which takes them away again.
    #[must_use]
    pub fn without_bias(self) -> Self {
        DenseLayer { bias: false, ..self }
    }
}

impl Describe for DenseLayer {
    const WORD: &'static str = "dense";

    fn parameters(&self, input: Form) -> Vec<Own> {
        let (inputs, outputs) = (input.values(), self.outputs);
        let rows = match input {
            Form::Flattened(image) => {
                let places = (image.height as usize).saturating_mul(image.width as usize);
                RowOrder { channels: image.channels as usize, places, whole_quads: true }
            }
            _ => RowOrder::features(inputs),
        };
        vec![Own { inputs, outputs, kind: ParameterKind::Matrix, bias: self.bias, rows }]
    }

    fn output(&self, _input: Form) -> Form {
        Form::Features(self.outputs)
    }

    fn check(&self, input: Form) -> Result<(), String> {
        match input {
            Form::Image(_) => Err("takes features: add a flatten before it, or a global_avg_pool".into()),
            _ => check_width(self.outputs),
        }
    }

    fn write(&self, x: Value, _input: Form, forward: &mut Forward) -> Value {
        let (parameter, weights) = forward.parameter();
        forward.op(Linear { parameter }, vec![x, weights])
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        Ok(DenseLayer { outputs: words.count(Self::WORD)?, bias: words.bias()? })
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.outputs.into());
        add_bias(words, self.bias);
    }
}
