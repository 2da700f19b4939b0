//! Dense layers.

use serde_json::{Map, Value as Json};

use super::forward::Forward;
use super::layer::{Describe, Layer, Parameter, check_width};
use super::words::Words;
use crate::activation::{Activation, Epilogue};
use crate::graph::Value;

/// A dense layer, `activate(x·W + b)`, with optional dropout after it.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseLayer {
    /// The number of units.
    pub outputs: usize,
    /// The activation of every unit.
    pub activation: Activation,
    /// The probability that a unit drops out of a training step, from 0 to below 1: `torch.nn.Dropout`.
    pub dropout: f64,
}

impl Describe for DenseLayer {
    const WORD: &'static str = "dense";

    fn outputs(&self, _inputs: usize) -> usize {
        self.outputs
    }

    fn epilogue(&self) -> Epilogue {
        Epilogue { activation: self.activation, dropout: self.dropout }
    }

    fn epilogue_mut(&mut self) -> (&mut Activation, &mut f64) {
        (&mut self.activation, &mut self.dropout)
    }

    fn check(&self, _inputs: usize, place: &str) -> Result<(), String> {
        check_width(self.outputs, place)
    }

    fn parts(&self) -> Vec<(&'static str, &[Layer])> {
        vec![]
    }

    fn parameters(&self, name: &str, inputs: usize, found: &mut Vec<Parameter>) {
        found.push(Parameter { name: name.into(), inputs, outputs: self.outputs });
    }

    fn write(&self, x: Value, forward: &mut Forward) -> Value {
        let (z, number) = forward.linear(x, self.outputs);
        forward.epilogue(z, self.epilogue(), number)
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        let outputs = words.count(Self::WORD)?;
        let Epilogue { activation, dropout } = words.epilogue()?;
        Ok(DenseLayer { outputs, activation, dropout })
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.outputs.into());
    }
}
