//! A layer: its kind, and what all kinds have after it; and walks over layers.

use super::kind::{LayerKind, Own};
use super::{Form, Parameter};
use crate::activation::{Activation, Epilogue};

/// A layer of a network: what it computes, then an activation, then dropout. A new layer has the activation identity, which makes it linear, and no
/// dropout.
///
/// Errors name a layer by its position, counted from 1: `layer 3`, and within a residual `layer 3's body, layer 1`. The names of its weights in files,
/// [`Parameter::name`], count activations and dropouts too, as PyTorch does.
///
/// ```
/// use wgrad::{Activation, DenseLayer, Layer, Network};
///
/// let hidden = Layer::new(DenseLayer::new(256)).with_activation(Activation::Relu).with_dropout(0.2);
/// let network = Network::of_layers(784, vec![hidden, Layer::new(DenseLayer::new(10))]);
/// assert!(network.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    kind: LayerKind,
    pub(super) epilogue: Epilogue,
}

impl Layer {
    /// A layer of this kind, as [`DenseLayer`](crate::DenseLayer) or [`ResidualLayer`](crate::ResidualLayer), with no activation and no dropout.
    pub fn new(kind: impl Into<LayerKind>) -> Self {
        Layer { kind: kind.into(), epilogue: Epilogue::of(Activation::Identity) }
    }

    /// The layer with this activation after it: of a residual, after the sum.
    #[must_use]
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.epilogue.activation = activation;
        self
    }

    /// The layer with this probability, from 0 to below 1, that a unit drops out of a training step: `torch.nn.Dropout`, after the activation.
    #[must_use]
    pub fn with_dropout(mut self, probability: f64) -> Self {
        self.epilogue.dropout = probability;
        self
    }

    /// What it computes before its activation.
    pub fn kind(&self) -> &LayerKind {
        &self.kind
    }

    /// The activation of every unit.
    pub fn activation(&self) -> Activation {
        self.epilogue.activation
    }

    /// The probability that a unit drops out of a training step, from 0 to below 1.
    pub fn dropout(&self) -> f64 {
        self.epilogue.dropout
    }

    /// The form of its output, from that of its input.
    pub fn output(&self, input: Form) -> Form {
        self.kind.output(input)
    }

    /// The word that begins it in a list of layers.
    pub fn word(&self) -> &'static str {
        self.kind.word()
    }

    /// The lists of layers within it, by name: a residual's `body` and `shortcut`.
    pub fn parts(&self) -> Vec<(&'static str, &[Layer])> {
        self.kind.parts()
    }

    /// How many numbers it takes in a `torch.nn.Sequential`, its activation and its dropout included.
    fn numbers(&self, identity_has_number: bool) -> usize {
        let Epilogue { activation, dropout } = self.epilogue;
        1 + usize::from(identity_has_number || activation != Activation::Identity) + usize::from(dropout > 0.0)
    }
}

/// A layer with its location in the network.
pub(crate) struct Located<'a> {
    /// Its name in files.
    pub name: String,
    /// Where it is, as errors name it.
    pub location: String,
    /// What comes in.
    pub input: Form,
    pub layer: &'a Layer,
}

impl Located<'_> {
    /// The layer's own parameters.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter> {
        let of = |Own { inputs, outputs, kind, bias, rows }| Parameter {
            name: self.name.clone(),
            location: self.location.clone(),
            inputs,
            outputs,
            kind,
            bias,
            rows,
        };
        self.layer.kind.parameters(self.input).into_iter().map(of)
    }
}

/// The location of the layer `at` a list, where `within` is that of the list: empty for a network's own.
pub(super) fn location(within: &str, at: usize) -> String {
    let comma = if within.is_empty() { "" } else { ", " };
    format!("{within}{comma}layer {}", at + 1)
}

/// The location of a list of layers within a layer.
pub(super) fn within(location: &str, part: &str) -> String {
    format!("{location}'s {part}")
}

/// A list of layers that follow each other.
pub(super) struct List<'a> {
    pub layers: &'a [Layer],
    /// The first layer's input.
    pub input: Form,
}

impl<'a> List<'a> {
    /// Calls `each` for all layers, each before those within it. Their names begin with `prefix`, their locations with `at`.
    pub fn walk(&self, prefix: &str, at: &str, identity_has_number: bool, each: &mut dyn FnMut(Located<'a>)) {
        let mut number = 0;
        for (position, (input, layer)) in self.with_inputs().enumerate() {
            let (name, location) = (format!("{prefix}{number}"), location(at, position));
            each(Located { name: name.clone(), location: location.clone(), input, layer });
            for (part, layers) in layer.parts() {
                let list = List { layers, input: input.within() };
                list.walk(&format!("{name}.{part}."), &within(&location, part), identity_has_number, each);
            }
            number += layer.numbers(identity_has_number);
        }
    }

    /// Each layer with its input.
    fn with_inputs(&self) -> impl Iterator<Item = (Form, &'a Layer)> + use<'a> {
        self.layers.iter().scan(self.input, |input, layer| {
            let own = *input;
            *input = layer.output(own);
            Some((own, layer))
        })
    }

    /// The last layer's output.
    pub fn output(&self) -> Form {
        self.layers.iter().fold(self.input, |input, layer| layer.output(input))
    }

    /// The forms of the layers' outputs; the parts of one that has any in parentheses.
    pub fn shape(&self) -> String {
        let of_layer = |(input, layer): (Form, &Layer)| {
            let parts = layer.parts().into_iter().filter(|(_, layers)| !layers.is_empty());
            let parts: Vec<String> = parts.map(|(_, layers)| List { layers, input: input.within() }.shape()).collect();
            if parts.is_empty() { layer.output(input).to_string() } else { format!("({})", parts.join("|")) }
        };
        self.with_inputs().map(of_layer).collect::<Vec<_>>().join("-")
    }

    /// Whether each layer can follow the one before. The reason why not begins with the layer's location; that of the list is `at`.
    pub fn check(&self, at: &str) -> Result<(), String> {
        for (position, (input, layer)) in self.with_inputs().enumerate() {
            let location = location(at, position);
            for (part, layers) in layer.parts() {
                List { layers, input: input.within() }.check(&within(&location, part))?;
            }
            let dropout = layer.dropout();
            let right = match (0.0..1.0).contains(&dropout) {
                true => layer.kind.check(input),
                false => Err(format!("a dropout of {dropout}: it must be from 0 to below 1")),
            };
            right
                .map_err(|reason| format!("{location} ({}) has {} and {reason}", layer.word(), input.named("input")))?;
        }
        Ok(())
    }
}

/// How deep layers are nested within these.
pub(super) fn nested(layers: &[Layer]) -> usize {
    let within = |layer: &Layer| layer.parts().iter().map(|(_, part)| 1 + nested(part)).max().unwrap_or(0);
    layers.iter().map(within).max().unwrap_or(0)
}

/// The widest layer: indices on the device are 32 bits wide.
const WIDEST: usize = 1 << 24;

/// Whether a layer can have this width; the reason why not continues "it has …".
pub(super) fn check_width(width: usize) -> Result<(), String> {
    match width {
        0 => Err("a width of 0: every layer needs at least one unit".into()),
        width if width > WIDEST => Err(format!("a width of {width}: the widest layer is {WIDEST}")),
        _ => Ok(()),
    }
}
