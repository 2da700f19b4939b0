//! Residual sums.

use serde_json::{Map, Value as Json};

use super::forward::Forward;
use super::layer::{self, Describe, Layer};
use super::words::{self, Words};
use crate::activation::{Activation, Epilogue};
use crate::graph::{Add, Value};

/// A residual sum, `activate(body(x) + x)`, or `activate(body(x) + shortcut(x))`, with optional dropout after it. He et al., "Deep residual learning for
/// image recognition", CVPR 2016.
#[derive(Clone, Debug, PartialEq)]
pub struct ResidualLayer {
    /// The layers that the input goes through: at least one.
    pub body: Vec<Layer>,
    /// The layers that the input goes through before it is added; none for the input itself.
    pub shortcut: Vec<Layer>,
    /// The activation of every sum.
    pub activation: Activation,
    /// The probability that a sum drops out of a training step, from 0 to below 1.
    pub dropout: f64,
}

impl ResidualLayer {
    /// The most sums within each other that are read from files. Layers within layers are walked by functions that call themselves.
    pub(crate) const MOST_NESTED: usize = 32;

    /// What its lists are called.
    pub(crate) const PARTS: [&'static str; 2] = ["body", Self::SHORTCUT];
    const SHORTCUT: &'static str = "shortcut";
}

/// What layers that follow each other make of the width of their input.
fn outputs(layers: &[Layer], inputs: usize) -> usize {
    layers.iter().fold(inputs, |inputs, layer| layer.outputs(inputs))
}

impl Describe for ResidualLayer {
    const WORD: &'static str = "residual";

    fn outputs(&self, inputs: usize) -> usize {
        outputs(&self.body, inputs)
    }

    fn epilogue(&self) -> Epilogue {
        Epilogue { activation: self.activation, dropout: self.dropout }
    }

    fn epilogue_mut(&mut self) -> (&mut Activation, &mut f64) {
        (&mut self.activation, &mut self.dropout)
    }

    fn check(&self, inputs: usize, place: &str) -> Result<(), String> {
        if self.body.is_empty() {
            return Err(format!("{place} (residual) has no layers: its body needs at least one"));
        }
        for (part, layers) in self.parts() {
            layer::check(layers, inputs, &format!("{place} (residual): {part}'s layer"))?;
        }
        let (body, other) = (outputs(&self.body, inputs), outputs(&self.shortcut, inputs));
        if body == other {
            return Ok(());
        }
        Err(match self.shortcut.is_empty() {
            true => format!(
                "{place} (residual) has {inputs} inputs, and its body makes {body} outputs of them: for the sum, the body's last layer must have {inputs} \
                 outputs, or a shortcut must make {body}"
            ),
            false => format!(
                "{place} (residual) has {inputs} inputs; its body makes {body} outputs of them, and its shortcut {other}: for the sum, they must be as \
                 many"
            ),
        })
    }

    fn parts(&self) -> Vec<(&'static str, &[Layer])> {
        Self::PARTS.into_iter().zip([&self.body[..], &self.shortcut]).collect()
    }

    fn write(&self, x: Value, forward: &mut Forward) -> Value {
        let body = forward.layers(x, &self.body);
        let other = forward.layers(x, &self.shortcut);
        let (sum, number) = forward.unweighted(Add, vec![body, other]);
        forward.epilogue(sum, self.epilogue(), number)
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        let body = words.layers(Self::WORD)?;
        let shortcut = if words.has(Self::SHORTCUT) { words.layers(Self::SHORTCUT)? } else { vec![] };
        let Epilogue { activation, dropout } = words.epilogue()?;
        Ok(ResidualLayer { body, shortcut, activation, dropout })
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), words::to_json(&self.body));
        if !self.shortcut.is_empty() {
            words.insert(Self::SHORTCUT.into(), words::to_json(&self.shortcut));
        }
    }
}
