//! Residual sums.

use serde_json::{Map, Value as Json};

use super::Form;
use super::forward::Forward;
use super::kind::Describe;
use super::layer::{Layer, List};
use super::words::{self, Words};
use crate::graph::{Add, Value};

/// A residual sum, `body(x) + x`, or `body(x) + shortcut(x)`. He et al., "Deep residual learning for image recognition", CVPR 2016.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ResidualLayer {
    /// The layers that the input goes through: at least one.
    pub body: Vec<Layer>,
    /// The layers that the input goes through before it is added; none for the input itself.
    pub shortcut: Vec<Layer>,
}

impl ResidualLayer {
    /// The most residuals within each other that [`Network::check`](crate::Network::check) allows: layers within layers are walked by functions that call
    /// themselves, and files hold nested lists of them, which readers of JSON follow down to a depth of their own.
    pub(crate) const MOST_NESTED: usize = 32;

    /// What its lists are called.
    pub(crate) const PARTS: [&'static str; 2] = [Self::BODY, Self::SHORTCUT];
    const BODY: &'static str = "body";
    const SHORTCUT: &'static str = "shortcut";

    /// The sum of what these layers make of their input and the input itself.
    pub fn new(body: Vec<Layer>) -> Self {
        ResidualLayer { body, shortcut: Vec::new() }
    }

    /// The sum with the input going through these layers before it is added.
    #[must_use]
    pub fn with_shortcut(self, shortcut: Vec<Layer>) -> Self {
        ResidualLayer { shortcut, ..self }
    }
}

impl ResidualLayer {
    /// What comes out of its body, and what is added to it.
    fn outputs(&self, input: Form) -> [Form; 2] {
        [&self.body, &self.shortcut].map(|layers| List { layers, input: input.within() }.output())
    }
}

impl Describe for ResidualLayer {
    const WORD: &'static str = "residual";

    fn output(&self, input: Form) -> Form {
        let [body, other] = self.outputs(input);
        if body == other { body } else { body.within() }
    }

    fn check(&self, input: Form) -> Result<(), String> {
        let [body, other] = self.outputs(input);
        match (body.within() == other.within(), self.shortcut.is_empty()) {
            _ if self.body.is_empty() => Err("a body without layers: it needs at least one".into()),
            (true, _) => Ok(()),
            (false, true) => Err(format!(
                "a body with {}: for the sum, the body's last layer must have {}, or a shortcut must have {}",
                body.named("output"),
                input.named("output"),
                body.named("output")
            )),
            (false, false) => Err(format!(
                "a body with {}, and a shortcut with {}: for the sum, both must have the same",
                body.named("output"),
                other.named("output")
            )),
        }
    }

    fn parts(&self) -> Vec<(&'static str, &[Layer])> {
        Self::PARTS.into_iter().zip([&self.body[..], &self.shortcut]).collect()
    }

    fn write(&self, x: Value, input: Form, forward: &mut Forward) -> Value {
        let (x, input) = (forward.features(x, input), input.within());
        let body = forward.layers(x, input, &self.body);
        let other = forward.layers(x, input, &self.shortcut);
        let forms = self.outputs(input);
        // One that is an image still, though its values are features, does not lie as the other does.
        let sum = match forms[0] == forms[1] {
            true => vec![body, other],
            false => vec![forward.features(body, forms[0]), forward.features(other, forms[1])],
        };
        forward.op(Add, sum)
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        let body = words.layers(Self::WORD, Self::BODY)?;
        let shortcut = words.layers(Self::SHORTCUT, Self::SHORTCUT)?;
        Ok(ResidualLayer { body, shortcut })
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), words::to_json(&self.body));
        if !self.shortcut.is_empty() {
            words.insert(Self::SHORTCUT.into(), words::to_json(&self.shortcut));
        }
    }
}
