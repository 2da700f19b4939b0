//! An activation, and a dropout, that follow no layer.

use serde_json::{Map, Value as Json};

use super::Form;
use super::forward::Forward;
use super::kind::Describe;
use super::words::{ACTIVATION, DROPOUT, Words};
use crate::activation::Activation;
use crate::graph::Value;

/// An activation alone, as of a network's input. [`Layer::activation`](crate::Layer::activation) gives it as that of any layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ActivationLayer {
    /// The activation of every value.
    pub activation: Activation,
}

impl ActivationLayer {
    /// This activation.
    pub fn new(activation: Activation) -> Self {
        ActivationLayer { activation }
    }
}

impl Describe for ActivationLayer {
    const WORD: &'static str = ACTIVATION;

    /// Nothing: the activation is written as that of any layer is.
    fn write(&self, x: Value, _input: Form, _forward: &mut Forward) -> Value {
        x
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        words.activation().map(ActivationLayer::new)
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.activation.to_string().into());
    }
}

/// Dropout alone, as of a network's input: Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors", 2012.
/// [`Layer::dropout`](crate::Layer::dropout) gives its probability as that of any layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DropoutLayer {
    /// The probability that a value drops out of a training step, from 0 to below 1.
    pub probability: f64,
}

impl DropoutLayer {
    /// Dropout with this probability.
    pub fn new(probability: f64) -> Self {
        DropoutLayer { probability }
    }
}

impl Describe for DropoutLayer {
    const WORD: &'static str = DROPOUT;

    /// Nothing: the dropout is written as that of any layer is.
    fn write(&self, x: Value, _input: Form, _forward: &mut Forward) -> Value {
        x
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        words.number(Self::WORD).map(DropoutLayer::new)
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.probability.into());
    }
}
