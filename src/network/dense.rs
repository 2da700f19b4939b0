//! Dense layers.

use serde_json::{Map, Value as Json};

use super::forward::Forward;
use super::kind::Describe;
use super::layer::check_width;
use super::words::Words;
use crate::graph::Value;

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
    const HAS_WEIGHTS: bool = true;

    fn outputs(&self, _inputs: usize) -> usize {
        self.outputs
    }

    fn check(&self, _inputs: usize) -> Result<(), String> {
        check_width(self.outputs)
    }

    fn write(&self, x: Value, forward: &mut Forward) -> Value {
        forward.linear(x, self.outputs)
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        words.count(Self::WORD).map(DenseLayer::new)
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.outputs.into());
    }
}
