//! Layers that come several times.

use serde_json::{Map, Value as Json};

use super::Form;
use super::forward::Forward;
use super::kind::Describe;
use super::layer::{Layer, List, MOST_LAYERS, count};
use super::words::{self, Words};
use crate::graph::Value;

/// Layers that follow each other this many times, each time with weights of their own: in files, every copy's layers are numbered in the list that the repeat is
/// in.
///
/// ```
/// use wgrad::{Activation, Network};
///
/// let network = Network::new(9).repeat(2, |copy| copy.dense(5, Activation::Relu)).dense(3, Activation::Identity);
/// assert_eq!(network.shape(), "9-5-5-3");
/// let names: Vec<String> = network.named_parameters().into_iter().map(|own| own.name).collect();
/// assert_eq!(names, ["0", "2", "4"]);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RepeatLayer {
    /// How often they come: at least once.
    pub times: usize,
    /// The layers: at least one.
    pub layers: Vec<Layer>,
}

impl RepeatLayer {
    /// These layers, this many times.
    pub fn new(times: usize, layers: Vec<Layer>) -> Self {
        RepeatLayer { times, layers }
    }

    /// What its list is called.
    pub(super) const LAYERS: &'static str = "layers";
}

impl Describe for RepeatLayer {
    const WORD: &'static str = "repeat";

    fn output(&self, input: Form) -> Form {
        if count(&self.layers).saturating_mul(self.times) > MOST_LAYERS {
            return input;
        }
        (0..self.times).fold(input, |input, _| List { layers: &self.layers, input }.output())
    }

    fn check(&self, _input: Form) -> Result<(), String> {
        match (self.times, self.layers.is_empty()) {
            (0, _) => Err("0 copies of its layers: it needs at least one".into()),
            (_, true) => Err("a list without layers: it needs at least one".into()),
            _ => Ok(()),
        }
    }

    fn copies(&self) -> (usize, &[Layer]) {
        (self.times, &self.layers)
    }

    fn write(&self, x: Value, input: Form, forward: &mut Forward) -> Value {
        let one = |(x, input), _| {
            let list = List { layers: &self.layers, input };
            (forward.layers(x, input, list.layers), list.output())
        };
        (0..self.times).fold((x, input), one).0
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        let times = words.count(Self::WORD)?;
        Ok(RepeatLayer { times, layers: words.layers(Self::LAYERS, Self::LAYERS)? })
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.times.into());
        words.insert(Self::LAYERS.into(), words::to_json(&self.layers));
    }
}
