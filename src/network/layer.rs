//! A layer: its kind, and what all kinds have after it; and walks over layers.

use super::kind::{LayerKind, Own};
use super::parameter::ParameterKind;
use super::{Form, Parameter};
use crate::activation::{Activation, Epilogue};
use crate::initializer::Initializer;
use crate::layout::{Image, Sequence};

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
    initializer: Option<Initializer>,
}

impl Layer {
    /// A layer of this kind, as [`DenseLayer`](crate::DenseLayer) or [`ConvLayer`](crate::ConvLayer), with no activation and no dropout after it.
    pub fn new(kind: impl Into<LayerKind>) -> Self {
        Layer { kind: kind.into(), epilogue: Epilogue::of(Activation::Identity), initializer: None }
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

    /// The layer with weights that begin by this initializer, in place of the network's. What a norm scales by begins at 1, unless it has
    /// [`Initializer::Constant`].
    #[must_use]
    pub fn with_initializer(mut self, initializer: Initializer) -> Self {
        self.initializer = Some(initializer);
        self
    }

    /// The initializer of its own, where it has one.
    pub fn initializer(&self) -> Option<Initializer> {
        self.initializer
    }

    /// What it computes before its activation.
    pub fn kind(&self) -> &LayerKind {
        &self.kind
    }

    /// The activation of every unit.
    pub fn activation(&self) -> Activation {
        match &self.kind {
            LayerKind::Activation(own) => own.activation,
            _ => self.epilogue.activation,
        }
    }

    /// The probability that a unit drops out of a training step, from 0 to below 1.
    pub fn dropout(&self) -> f64 {
        match &self.kind {
            LayerKind::Dropout(own) => own.probability,
            _ => self.epilogue.dropout,
        }
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

    /// Whether it is for images, or a layer within it is: a list with such a layer takes images as they are, another one takes their values as features.
    pub fn is_of_images(&self) -> bool {
        let (_, copied) = self.kind.copies();
        let parts = self.kind.parts();
        let mut within = parts.iter().flat_map(|(_, layers)| *layers).chain(copied);
        self.kind.is_of_images() || within.any(Layer::is_of_images)
    }

    /// Whether it has lists of layers within it.
    pub(super) fn has_lists(&self) -> bool {
        !self.kind.parts().is_empty() || self.kind.copies().0 > 0
    }

    /// How many numbers the activation and the dropout that it carries take in a `torch.nn.Sequential`.
    fn numbers_after(&self, identity_has_number: bool) -> usize {
        let Epilogue { activation, dropout } = self.epilogue;
        usize::from(identity_has_number || activation != Activation::Identity) + usize::from(dropout > 0.0)
    }

    /// Which of its own parameters begin by an initializer, by their kind: of a weightless one, none.
    fn initialized(&self) -> Option<ParameterKind> {
        // The kinds do not depend on the sizes.
        let any = match self.kind {
            LayerKind::Attention(_) => Form::Sequence(Sequence { length: 1, width: 1 }),
            _ => Form::Image(Image { height: 1, width: 1, channels: 1 }),
        };
        self.kind.parameters(any).first().map(|own| own.kind)
    }

    /// Whether it may have an initializer.
    pub(super) fn takes_initializer(&self) -> bool {
        self.initialized().is_some()
    }

    /// Whether it can take this input, without the layers within it, or why not: continues "it has", as "9 inputs and a width of 0".
    pub(crate) fn check(&self, input: Form) -> Result<(), String> {
        let right = self.check_shared().and_then(|()| self.check_tokens(input)).and_then(|()| self.kind.check(input));
        right.map_err(|reason| format!("{} and {reason}", input.named("input")))
    }

    /// Whether it is one that takes tokens, where tokens come in.
    fn check_tokens(&self, input: Form) -> Result<(), String> {
        match (input, &self.kind) {
            (Form::Tokens(_), LayerKind::Embedding(_) | LayerKind::Repeat(_) | LayerKind::Residual(_)) => Ok(()),
            (Form::Tokens(_), _) => Err("takes none: a network of tokens begins with an embedding".into()),
            _ => Ok(()),
        }
    }

    /// Whether it can have what layers of all kinds can have, or why not: continues "it has 9 inputs and …".
    fn check_shared(&self) -> Result<(), String> {
        let (dropout, carried) = (self.dropout(), self.epilogue);
        if !(0.0..1.0).contains(&dropout) {
            return Err(format!("a dropout of {dropout}: it must be from 0 to below 1"));
        }
        let is_second = match self.kind {
            LayerKind::Activation(_) => carried.activation != Activation::Identity,
            LayerKind::Dropout(_) => carried != Epilogue::of(Activation::Identity),
            _ => false,
        };
        if is_second {
            let word = self.word();
            return Err(format!("an activation or a dropout after its own {word}: add a layer of its own for that"));
        }
        match (self.initializer, self.initialized()) {
            (Some(Initializer::Constant(value)), _) if !value.is_finite() => {
                Err(format!("the initializer constant:{value}: the value must be finite"))
            }
            (Some(initializer), None) => Err(format!(
                "the initializer {initializer}, and no weights of its own that would begin by it: leave it out"
            )),
            (Some(initializer), Some(ParameterKind::Scale)) if !matches!(initializer, Initializer::Constant(_)) => Err(
                format!("the initializer {initializer}: what a norm scales by begins with one value, as constant:1"),
            ),
            _ => Ok(()),
        }
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
        let of = |Own { part, inputs, outputs, kind, bias, rows }| Parameter {
            name: part.map_or_else(|| self.name.clone(), |part| format!("{}.{part}", self.name)),
            location: self.location.clone(),
            inputs,
            outputs,
            kind,
            bias,
            initializer: self.layer.initializer,
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

/// The location of a copy of a repeat's layers, counted from 1.
fn of_copy(location: &str, copy: usize) -> String {
    within(location, &format!("copy {copy}"))
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
        // Repeats without end are refused by the network's check, and not followed before it.
        if count(self.layers) <= MOST_LAYERS {
            self.walk_from(0, prefix, at, identity_has_number, each);
        }
    }

    /// The same, with names that begin with `prefix` and this number. Gives the number after them.
    fn walk_from(
        &self,
        mut number: usize,
        prefix: &str,
        at: &str,
        identity_has_number: bool,
        each: &mut dyn FnMut(Located<'a>),
    ) -> usize {
        for (position, (input, layer)) in self.with_inputs().enumerate() {
            let (name, location) = (format!("{prefix}{number}"), location(at, position));
            each(Located { name: name.clone(), location: location.clone(), input, layer });
            for (part, layers) in layer.parts() {
                let list = List { layers, input: input.within() };
                list.walk_from(0, &format!("{name}.{part}."), &within(&location, part), identity_has_number, each);
            }
            number = match layer.kind.copies() {
                (0, _) => number + 1,
                (times, layers) => {
                    let mut list = List { layers, input };
                    for copy in 1..=times {
                        number = list.walk_from(number, prefix, &of_copy(&location, copy), identity_has_number, each);
                        list.input = list.output();
                    }
                    number
                }
            };
            number += layer.numbers_after(identity_has_number);
        }
        number
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

    /// The forms of the layers' outputs, without those of layers that have neither a matrix nor another form than their input; the parts of one that has any
    /// in parentheses.
    pub fn shape(&self) -> String {
        let of_layer = |(input, layer): (Form, &Layer)| {
            let parts = layer.parts().into_iter().filter(|(_, layers)| !layers.is_empty());
            let parts: Vec<String> = parts.map(|(_, layers)| List { layers, input: input.within() }.shape()).collect();
            let (output, (times, layers)) = (layer.output(input), layer.kind.copies());
            let has_matrix = matches!(
                layer.initialized(),
                Some(ParameterKind::Matrix | ParameterKind::Kernel { .. } | ParameterKind::Projection)
            );
            let shape = match times {
                0 if !parts.is_empty() => format!("({})", parts.join("|")),
                0 if has_matrix || output.to_string() != input.to_string() => output.to_string(),
                0 => String::new(),
                _ if count(layers).saturating_mul(times) > MOST_LAYERS => String::new(),
                _ => {
                    let mut list = List { layers, input };
                    let mut copy = |_| {
                        let shape = list.shape();
                        list.input = list.output();
                        shape
                    };
                    (0..times).map(&mut copy).filter(|shape| !shape.is_empty()).collect::<Vec<_>>().join("-")
                }
            };
            Some(shape).filter(|shape| !shape.is_empty())
        };
        self.with_inputs().filter_map(of_layer).collect::<Vec<_>>().join("-")
    }

    /// Whether each layer can follow the one before. The reason why not begins with the layer's location; that of the list is `at`.
    pub fn check(&self, at: &str) -> Result<(), String> {
        for (position, (input, layer)) in self.with_inputs().enumerate() {
            let location = location(at, position);
            for (part, layers) in layer.parts() {
                List { layers, input: input.within() }.check(&within(&location, part))?;
            }
            let (times, layers) = layer.kind.copies();
            let mut list = List { layers, input };
            for copy in 1..=times {
                list.check(&of_copy(&location, copy))?;
                list.input = list.output();
            }
            layer.check(input).map_err(|reason| format!("{location} ({}) has {reason}", layer.word()))?;
        }
        Ok(())
    }
}

/// How deep layers are nested within these.
pub(super) fn nested(layers: &[Layer]) -> usize {
    let within = |layer: &Layer| {
        let (_, copied) = layer.kind.copies();
        let of_copy = if copied.is_empty() { 0 } else { 1 + nested(copied) };
        layer.parts().iter().map(|(_, part)| 1 + nested(part)).max().unwrap_or(0).max(of_copy)
    };
    layers.iter().map(within).max().unwrap_or(0)
}

/// The number of layers, with those within them and all copies of those that are repeated.
pub(super) fn count(layers: &[Layer]) -> usize {
    let one = |layer: &Layer| {
        let (times, copied) = layer.kind.copies();
        let parts = layer.parts().into_iter().map(|(_, part)| count(part)).fold(1, usize::saturating_add);
        parts.saturating_add(count(copied).max(1).saturating_mul(times))
    };
    layers.iter().map(one).fold(0, usize::saturating_add)
}

/// The most layers of a network, those within others and all copies included.
pub(super) const MOST_LAYERS: usize = 100_000;

/// The widest layer: indices on the device are 32 bits wide.
pub(super) const WIDEST: usize = 1 << 24;

/// Whether a layer can have this width; the reason why not continues "it has …".
pub(super) fn check_width(width: usize) -> Result<(), String> {
    match width {
        0 => Err("a width of 0: every layer needs at least one unit".into()),
        width if width > WIDEST => Err(format!("a width of {width}: the widest layer is {WIDEST}")),
        _ => Ok(()),
    }
}
