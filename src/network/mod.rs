//! The network a user describes: a list of layers, each a file of this room.
//!
//! A kind of layer knows how wide it is, its words in a list of layers, and which ops it writes into a graph. A new one is a file, and a line in
//! `kind.rs`. What all layers share is written once: activation and dropout, places, names of weights, words, checks.

mod dense;
mod form;
mod forward;
mod kind;
mod layer;
mod parameter;
mod residual;
mod words;

pub use self::dense::DenseLayer;
pub use self::form::Form;
pub use self::kind::LayerKind;
pub use self::layer::Layer;
use self::layer::List;
pub(crate) use self::layer::Located;
pub use self::parameter::{Parameter, ParameterKind};
pub use self::residual::ResidualLayer;
pub(crate) use self::words::{activation_words, from_json};
use crate::activation::Activation;
use crate::error::Error;
use crate::graph::{Graph, Value};
use crate::layout::Dense;

/// A feed-forward network: a number of input features, then layers. The last one is dense, and its outputs are logits.
///
/// ```
/// use wgrad::{Activation, Network};
///
/// let network = Network::new(784).dense(256, Activation::Relu).dense(10, Activation::Identity);
/// assert_eq!(network.parameters(), 784 * 256 + 256 + 256 * 10 + 10);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    input: Form,
    layers: Vec<Layer>,
    /// What was asked for where it cannot be. It is kept so that [`check`](Self::check) can refuse it.
    refused: Option<Refused>,
}

/// What a builder method was asked for, and cannot do.
#[derive(Clone, Debug, PartialEq)]
struct Refused {
    /// The location of the list of layers: empty for the network's own.
    within: String,
    /// What it has that it cannot have, and why: continues "it has …".
    reason: String,
}

impl Network {
    /// A network for rows of `inputs` features, with no layers yet.
    pub fn new(inputs: usize) -> Self {
        Network::of_layers(inputs, Vec::new())
    }

    /// A network of these layers.
    pub fn of_layers(inputs: usize, layers: Vec<Layer>) -> Self {
        Network::of_form(Form::Features(inputs), layers)
    }

    /// A network of these layers, for samples of this form.
    pub fn of_form(input: Form, layers: Vec<Layer>) -> Self {
        Network { input, layers, refused: None }
    }

    /// Adds a dense layer of `outputs` units.
    #[must_use]
    pub fn dense(self, outputs: usize, activation: Activation) -> Self {
        self.with(Layer::new(DenseLayer::new(outputs)).with_activation(activation))
    }

    /// Adds a residual sum: the output of a body of layers plus the body's input, `y = x + body(x)`. The body's last layer is as wide as its input. He et
    /// al., "Deep residual learning for image recognition", CVPR 2016.
    ///
    /// ```
    /// use wgrad::{Activation, Network};
    ///
    /// let network = Network::new(784)
    ///     .dense(128, Activation::Relu)
    ///     .residual(|body| body.dense(64, Activation::Relu).dense(128, Activation::Identity))
    ///     .activation(Activation::Relu)
    ///     .dense(10, Activation::Identity);
    /// assert!(network.check().is_ok());
    /// ```
    #[must_use]
    pub fn residual(self, body: impl FnOnce(Network) -> Network) -> Self {
        self.residual_with_shortcut(body, |input| input)
    }

    /// As [`residual`](Self::residual), with layers that the input goes through before it is added: `y = shortcut(x) + body(x)`. Both are as wide as each
    /// other.
    #[must_use]
    pub fn residual_with_shortcut(
        mut self,
        body: impl FnOnce(Network) -> Network,
        shortcut: impl FnOnce(Network) -> Network,
    ) -> Self {
        let (input, location) = (self.list().output(), layer::location("", self.layers.len()));
        let mut part = |name: &str, part: Network| {
            let within = layer::within(&location, name);
            self.refused = self.refused.take().or_else(|| match part.refused {
                _ if part.input != input => {
                    let reason = format!(
                        "{}, and comes after {}: add its layers to the network that the function is given",
                        part.input.named("input"),
                        input.named("output")
                    );
                    Some(Refused { within, reason })
                }
                Some(refused) if refused.within.is_empty() => Some(Refused { within, ..refused }),
                Some(refused) => Some(Refused { within: format!("{within}, {}", refused.within), ..refused }),
                None => None,
            });
            part.layers
        };
        let [of_body, of_shortcut] = ResidualLayer::PARTS;
        let body = part(of_body, body(Network::of_form(input, vec![])));
        let shortcut = part(of_shortcut, shortcut(Network::of_form(input, vec![])));
        self.with(ResidualLayer::new(body).with_shortcut(shortcut).into())
    }

    /// Adds a layer.
    #[must_use]
    pub fn with(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Sets the activation of the layer added last: of a residual, the one after the sum.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        match self.layers.last_mut() {
            Some(layer) => layer.epilogue.activation = activation,
            None if activation == Activation::Identity => {}
            None => self.refuse("an activation before its first layer: an activation comes after a layer, and is not offered for the input"),
        }
        self
    }

    fn refuse(&mut self, reason: &str) {
        self.refused.get_or_insert(Refused { within: String::new(), reason: reason.into() });
    }

    /// Lets units of the layer added last drop out with this probability in training: `torch.nn.Dropout` after it. Evaluation and
    /// prediction use every unit.
    ///
    /// ```
    /// use wgrad::{Activation, Network};
    ///
    /// let network = Network::new(784).dense(256, Activation::Relu).dropout(0.2).dense(10, Activation::Identity);
    /// assert_eq!(network.layers()[0].dropout(), 0.2);
    /// ```
    #[must_use]
    pub fn dropout(mut self, probability: f64) -> Self {
        match self.layers.last_mut() {
            Some(layer) => layer.epilogue.dropout = probability,
            None if probability == 0.0 => {}
            None => self.refuse("a dropout before its first layer: dropout comes after a hidden layer, and is not offered for the input"),
        }
        self
    }

    /// A network of hidden layers of the given widths, all with one activation, and a last layer of `outputs` logits.
    pub fn classifier(inputs: usize, hidden: &[usize], activation: Activation, outputs: usize) -> Self {
        let network = hidden.iter().fold(Network::new(inputs), |network, &width| network.dense(width, activation));
        network.dense(outputs, Activation::Identity)
    }

    /// The number of features in a row.
    pub fn inputs(&self) -> usize {
        self.input.values()
    }

    /// The form of a sample.
    pub fn input(&self) -> Form {
        self.input
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The number of logits in a row: the last layer's units.
    pub fn outputs(&self) -> usize {
        self.list().output().values()
    }

    fn list(&self) -> List<'_> {
        List { layers: &self.layers, input: self.input }
    }

    /// The number of weights and biases.
    pub fn parameters(&self) -> usize {
        let trained = self.named_parameters().into_iter().filter(Parameter::is_trained);
        trained.map(|parameter| parameter.count()).fold(0, usize::saturating_add)
    }

    /// The weights of every layer that has any, by the names that they have in files, in the order of [`Weights::layers`](crate::Weights): depth first, a residual's
    /// body before its shortcut.
    ///
    /// Names are those of a `torch.nn.Sequential`: a layer takes a number, and so do its activation and its dropout; within a residual they are
    /// `<n>.body.<k>` and `<n>.shortcut.<k>`. Identity takes a number where every layer is dense.
    pub fn named_parameters(&self) -> Vec<Parameter> {
        let mut found = Vec::new();
        self.walk(&mut |located| found.extend(located.parameters()));
        found
    }

    /// Calls `each` for all layers, each before those within it.
    pub(crate) fn walk<'a>(&'a self, each: &mut dyn FnMut(Located<'a>)) {
        self.list().walk("", "", self.is_chain(), each);
    }

    /// The input width and the output width of every dense layer, in the order of [`named_parameters`](Self::named_parameters).
    pub fn widths(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        self.named_parameters().into_iter().map(|parameter| (parameter.inputs, parameter.outputs))
    }

    /// Whether every layer is dense and takes the output of the one before.
    pub(crate) fn is_chain(&self) -> bool {
        self.layers.iter().all(|layer| matches!(layer.kind(), LayerKind::Dense(_)))
    }

    /// The activations of all layers, those within residuals included.
    pub(crate) fn activations(&self) -> Vec<Activation> {
        let mut found = Vec::new();
        self.walk(&mut |located| found.push(located.layer.activation()));
        found
    }

    /// Its widths, as `784-256-10`; of a residual's body and its shortcut in parentheses, as `784-128-(64-128)-10` and `784-(64-128|128)-10`.
    pub fn shape(&self) -> String {
        format!("{}-{}", self.input, self.list().shape()).trim_end_matches('-').to_string()
    }

    /// The parameters' sizes, as those of dense layers for minibatches of `batch` rows, once [`check`](Self::check) has passed.
    pub(crate) fn dense_sizes(&self, batch: u32) -> Vec<Dense> {
        self.named_parameters().iter().map(|parameter| parameter.dense(batch)).collect()
    }

    /// The ops for a minibatch of `batch` rows, from the set's features to the logits, which come back. Units drop out where it is `training`.
    pub fn forward(&self, batch: u32, training: bool) -> (Graph, Value) {
        forward::forward(self, batch, training)
    }

    /// Checks that the network can be trained. Layers are named by their location, counted from 1: `layer 3`, and within a residual
    /// `layer 3's body, layer 1`.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] naming the layer, for
    ///
    /// - no features, or more than 16,777,216, and no layers;
    /// - a layer of no units, or of more than 16,777,216;
    /// - a dropout below 0, of 1 or above, or that is no number;
    /// - a residual whose body has no layers, or whose body and shortcut have other numbers of outputs than each other;
    /// - residuals nested more than 32 deep;
    /// - a last layer that is not dense, or has an activation or a dropout;
    /// - an activation or a dropout before the first layer, of the network or of a residual's body or shortcut;
    /// - a residual's function whose network takes another number of inputs than it was given, with layers added.
    pub fn check(&self) -> Result<(), Error> {
        self.reason().map_err(Error::Option)
    }

    /// Why the network cannot be trained, if it cannot.
    fn reason(&self) -> Result<(), String> {
        layer::check_width(self.inputs()).map_err(|reason| format!("the input has {reason}"))?;
        if let Some(Refused { within, reason }) = &self.refused {
            let subject = if within.is_empty() { "the network" } else { within };
            return Err(format!("{subject} has {reason}"));
        }
        let (nested, most) = (layer::nested(&self.layers), ResidualLayer::MOST_NESTED);
        if nested > most {
            return Err(format!("the network's residuals are nested {nested} deep: at most {most} are allowed"));
        }
        self.list().check("")?;
        let Some(last) = self.layers.last() else {
            return Err("the network has no layers: add a dense layer, whose outputs are the logits".into());
        };
        let the_last = format!("the last layer, {} ({}),", layer::location("", self.layers.len() - 1), last.word());
        if !matches!(last.kind(), LayerKind::Dense(_)) {
            return Err(format!(
                "{the_last} is not dense: add a dense layer after it, with a unit for each class or number to predict; its outputs are the logits"
            ));
        }
        if last.dropout() > 0.0 {
            return Err(format!(
                "{the_last} has a dropout of {}: leave it out, as the layer's outputs are the logits, which must all be there",
                last.dropout()
            ));
        }
        match last.activation() {
            Activation::Identity => Ok(()),
            activation => Err(format!(
                "{the_last} has the activation {activation}: it must be identity, which is that of a layer without one, as the loss takes logits"
            )),
        }
    }
}
