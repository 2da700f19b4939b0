//! Dense layers.

use serde_json::{Map, Value as Json};

use super::Form;
use super::forward::Forward;
use super::kind::{Describe, Own};
use super::layer::check_width;
use super::parameter::{ParameterKind, RowOrder};
use super::window::narrow;
use super::words::{Words, add_bias, add_switch};
use crate::graph::{Conv2d, Linear, Value};
use crate::layout::{Conv, Sequence, Sliding, Window};

/// A dense layer, `x·W + b`, or `x·W`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DenseLayer {
    /// The number of units.
    pub outputs: usize,
    /// Whether each unit has a bias.
    pub bias: bool,
    /// Whether it has the embedding's table as its weights, and none of its own: Press & Wolf, "Using the output embedding to improve language models", EACL 2017.
    pub tied: bool,
}

impl DenseLayer {
    /// A dense layer of this many units, with biases.
    pub fn new(outputs: usize) -> Self {
        DenseLayer { outputs, bias: true, tied: false }
    }

    /// A network's last layer, of a unit for each token, with the embedding's table as its weights and without biases.
    pub fn tied(vocabulary: usize) -> Self {
        DenseLayer { outputs: vocabulary, bias: false, tied: true }
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
        if self.tied {
            return vec![];
        }
        let (inputs, outputs) = (input.features(), self.outputs);
        let rows = match input {
            Form::Flattened(image) => {
                let places = (image.height as usize).saturating_mul(image.width as usize);
                RowOrder { channels: image.channels as usize, places, whole_quads: true, by_place: false }
            }
            Form::FlattenedSequence(Sequence { length, width }) => {
                RowOrder { channels: width as usize, places: length as usize, whole_quads: true, by_place: true }
            }
            Form::Sequence(sequence) => of_places(sequence),
            _ => RowOrder::features(inputs),
        };
        vec![Own { part: None, inputs, outputs, kind: ParameterKind::Matrix, bias: self.bias, rows }]
    }

    fn output(&self, input: Form) -> Form {
        match input {
            Form::Sequence(sequence) => Form::Sequence(Sequence { width: narrow(self.outputs), ..sequence }),
            _ => Form::Features(self.outputs),
        }
    }

    fn check(&self, input: Form) -> Result<(), String> {
        match input {
            Form::Image(_) => Err("takes features: add a flatten before it, or a global_avg_pool".into()),
            Form::Sequence(_) if self.tied && self.bias => {
                Err("the embedding's table as its weights, and a bias: say bias = false".into())
            }
            Form::Sequence(_) => check_width(self.outputs),
            _ if self.tied => {
                Err("no sequence, which a tied layer takes: its weights are those of an embedding".into())
            }
            Form::Tokens(_) => Err("takes features: add an embedding before it".into()),
            _ => check_width(self.outputs),
        }
    }

    fn write(&self, x: Value, input: Form, forward: &mut Forward) -> Value {
        match input {
            Form::Sequence(_) if self.tied => forward.tied(x),
            Form::Sequence(sequence) => each_place(x, sequence, self.outputs, self.bias, forward),
            _ => {
                let (parameter, weights) = forward.parameter();
                let by_place = matches!(input, Form::FlattenedSequence(_));
                forward.op(Linear { parameter, by_place }, vec![x, weights])
            }
        }
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        Ok(DenseLayer { outputs: words.count(Self::WORD)?, bias: words.bias()?, tied: words.switch(TIED)? })
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.outputs.into());
        add_bias(words, self.bias);
        add_switch(words, TIED, self.tied);
    }
}

const TIED: &str = "tied";

/// The order of the rows of a matrix that every place of a sequence goes through.
pub(super) fn of_places(sequence: Sequence) -> RowOrder {
    let channels = sequence.width as usize;
    RowOrder { channels, places: 1, whole_quads: channels >= 4, by_place: false }
}

/// Adds the product of every place of a sequence with the layer's next parameter: on the device a convolution of 1 × 1.
pub(super) fn each_place(x: Value, sequence: Sequence, outputs: usize, bias: bool, forward: &mut Forward) -> Value {
    let (parameter, weights) = forward.parameter();
    let window = Window { size: [1; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2] };
    let output = Sequence { width: narrow(outputs), ..sequence }.image();
    let sliding = Sliding { batch: forward.batch(x), input: sequence.image(), output, window };
    forward.op(Conv2d { parameter, conv: Conv { sliding, groups: 1, bias } }, vec![x, weights])
}
