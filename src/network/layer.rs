//! What a layer has to know of itself, the list of layers, and walks over them.

use super::forward::Forward;
use super::words::Words;
use super::{DenseLayer, ResidualLayer};
use crate::activation::{Activation, Epilogue};
use crate::graph::Value;

/// The weights and the bias of a dense layer. In files they are the tensors `NAME.weight`, `[outputs, inputs]`, and `NAME.bias`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The layer's name in files, as `0` or `2.body.0`.
    pub name: String,
    /// Features that come in.
    pub inputs: usize,
    /// Units that go out.
    pub outputs: usize,
}

/// A layer: a file of this room, and a line of the list below.
pub(super) trait Describe: Sized {
    /// The word that begins it in a list of layers.
    const WORD: &'static str;

    /// The width of its output, from that of its input.
    fn outputs(&self, inputs: usize) -> usize;

    /// The activation and the dropout after it.
    fn epilogue(&self) -> Epilogue;

    /// Where its activation is set, and where its dropout.
    fn epilogue_mut(&mut self) -> (&mut Activation, &mut f64);

    /// Whether it can follow `inputs` features; `place` says which layer it is, and begins the reason why not.
    fn check(&self, inputs: usize, place: &str) -> Result<(), String>;

    /// The lists of layers within it, by name.
    fn parts(&self) -> Vec<(&'static str, &[Layer])>;

    /// Adds its own weights, which have its name.
    fn parameters(&self, _name: &str, _inputs: usize, _found: &mut Vec<Parameter>) {}

    /// Adds its ops to a graph, and gives what comes out.
    fn write(&self, x: Value, forward: &mut Forward) -> Value;

    /// Reads it from its words, and takes each that it knows; what is left is refused.
    fn from_words(words: &mut Words<'_>) -> Result<Self, String>;

    /// Its words.
    fn to_words(&self, words: &mut serde_json::Map<String, serde_json::Value>);
}

macro_rules! layers {
    ($($(#[$about:meta])* $layer:ident($description:ident),)*) => {
        /// A layer of a network.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Layer {
            $($(#[$about])* $layer($description),)*
        }

        $(impl From<$description> for Layer {
            fn from(layer: $description) -> Layer {
                Layer::$layer(layer)
            }
        })*

        /// The words that layers begin with.
        pub(super) const WORDS: &[&str] = &[$($description::WORD),*];

        impl Layer {
            /// The width of its output, from that of its input.
            pub fn outputs(&self, inputs: usize) -> usize {
                match self { $(Layer::$layer(layer) => layer.outputs(inputs),)* }
            }

            /// The activation and the dropout after it.
            pub fn epilogue(&self) -> Epilogue {
                match self { $(Layer::$layer(layer) => layer.epilogue(),)* }
            }

            fn epilogue_mut(&mut self) -> (&mut Activation, &mut f64) {
                match self { $(Layer::$layer(layer) => layer.epilogue_mut(),)* }
            }

            /// The word that begins it in a list of layers.
            pub fn word(&self) -> &'static str {
                match self { $(Layer::$layer(_) => $description::WORD,)* }
            }

            /// The lists of layers within it, by name: a residual's `body` and `shortcut`.
            pub fn parts(&self) -> Vec<(&'static str, &[Layer])> {
                match self { $(Layer::$layer(layer) => layer.parts(),)* }
            }

            fn check(&self, inputs: usize, place: &str) -> Result<(), String> {
                match self { $(Layer::$layer(layer) => layer.check(inputs, place),)* }
            }

            pub(super) fn parameters(&self, name: &str, inputs: usize, found: &mut Vec<Parameter>) {
                match self { $(Layer::$layer(layer) => layer.parameters(name, inputs, found),)* }
            }

            pub(super) fn write(&self, x: Value, forward: &mut Forward) -> Value {
                match self { $(Layer::$layer(layer) => layer.write(x, forward),)* }
            }

            pub(super) fn from_words(word: &str, words: &mut Words<'_>) -> Result<Layer, String> {
                $(if word == $description::WORD {
                    return $description::from_words(words).map(Layer::$layer);
                })*
                Err(format!("{word} is no layer: known are {}", WORDS.join(", ")))
            }

            pub(super) fn to_words(&self, words: &mut serde_json::Map<String, serde_json::Value>) {
                match self { $(Layer::$layer(layer) => layer.to_words(words),)* }
            }
        }
    };
}

layers! {
    /// `y = activate(x·W + b)`
    Dense(DenseLayer),
    /// `y = activate(body(x) + x)`, or plus what a shortcut makes of x.
    Residual(ResidualLayer),
}

impl Layer {
    /// The probability that a unit drops out of a training step, from 0 to below 1.
    pub fn dropout(&self) -> f64 {
        self.epilogue().dropout
    }

    /// The activation of every unit.
    pub fn activation(&self) -> Activation {
        self.epilogue().activation
    }

    pub(super) fn activation_mut(&mut self) -> &mut Activation {
        self.epilogue_mut().0
    }

    pub(super) fn dropout_mut(&mut self) -> &mut f64 {
        self.epilogue_mut().1
    }

    /// How many numbers it takes in a `torch.nn.Sequential`, its activation and its dropout included.
    fn places(&self, identity_has_place: bool) -> usize {
        let Epilogue { activation, dropout } = self.epilogue();
        1 + usize::from(identity_has_place || activation != Activation::Identity) + usize::from(dropout > 0.0)
    }
}

/// Calls `each` for all layers that follow each other, each before those within it, with its name, which begins with `prefix`, and the width of its input.
pub(super) fn walk<'a>(
    layers: &'a [Layer],
    prefix: &str,
    mut inputs: usize,
    identity_has_place: bool,
    each: &mut dyn FnMut(&str, usize, &'a Layer),
) {
    let mut number = 0;
    for layer in layers {
        let name = format!("{prefix}{number}");
        each(&name, inputs, layer);
        for (part, layers) in layer.parts() {
            walk(layers, &format!("{name}.{part}."), inputs, identity_has_place, each);
        }
        number += layer.places(identity_has_place);
        inputs = layer.outputs(inputs);
    }
}

/// The widths of layers that follow `inputs` features; the parts of one that has any in parentheses.
pub(super) fn shape(layers: &[Layer], mut inputs: usize) -> String {
    let of_layer = |layer: &Layer| {
        let parts: Vec<String> =
            layer.parts().iter().filter(|(_, part)| !part.is_empty()).map(|(_, part)| shape(part, inputs)).collect();
        inputs = layer.outputs(inputs);
        if parts.is_empty() { inputs.to_string() } else { format!("({})", parts.join("|")) }
    };
    layers.iter().map(of_layer).collect::<Vec<_>>().join("-")
}

/// How deep layers are nested within these.
pub(super) fn nested(layers: &[Layer]) -> usize {
    let within = |layer: &Layer| layer.parts().iter().map(|(_, part)| 1 + nested(part)).max().unwrap_or(0);
    layers.iter().map(within).max().unwrap_or(0)
}

/// Whether these layers can follow `inputs` features. The reason why not begins with `place` and a layer's number.
pub(super) fn check(layers: &[Layer], mut inputs: usize, place: &str) -> Result<(), String> {
    for (at, layer) in layers.iter().enumerate() {
        let place = format!("{place} {}", at + 1);
        layer.check(inputs, &place)?;
        let dropout = layer.dropout();
        if !(0.0..1.0).contains(&dropout) {
            return Err(format!("{place} has a dropout of {dropout}: it must be from 0 to below 1"));
        }
        inputs = layer.outputs(inputs);
    }
    Ok(())
}

/// The widest layer: indices on the device are 32 bits wide.
const WIDEST: usize = 1 << 24;

/// Whether a layer can have this width.
pub(super) fn check_width(width: usize, place: &str) -> Result<(), String> {
    match width {
        0 => Err(format!("{place} has a width of 0: every layer needs at least one unit")),
        width if width > WIDEST => Err(format!("{place} has a width of {width}: the widest layer is {WIDEST}")),
        _ => Ok(()),
    }
}
