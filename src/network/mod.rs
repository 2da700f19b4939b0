//! The network a user describes: a list of layers, each a file of this room.
//!
//! A layer knows how wide it is, what its weights are called in files, its words in a list of layers, and which ops it writes into a graph. A new
//! one is a file, and a line in `layer.rs`.

mod dense;
mod forward;
mod layer;
mod residual;
mod words;

pub use self::dense::DenseLayer;
pub use self::layer::{Layer, Parameter};
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
    inputs: usize,
    layers: Vec<Layer>,
    /// What was asked for where it cannot be. It is kept so that [`check`](Self::check) can refuse it.
    refused: Option<String>,
}

impl Network {
    /// A network for rows of `inputs` features, with no layers yet.
    pub fn new(inputs: usize) -> Self {
        Network::of_layers(inputs, Vec::new())
    }

    /// A network of these layers.
    pub fn of_layers(inputs: usize, layers: Vec<Layer>) -> Self {
        Network { inputs, layers, refused: None }
    }

    /// Adds a dense layer of `outputs` units.
    #[must_use]
    pub fn dense(self, outputs: usize, activation: Activation) -> Self {
        self.with(DenseLayer { outputs, activation, dropout: 0.0 }.into())
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
        let inputs = self.outputs();
        let mut part = |part: Network| {
            if part.inputs != inputs {
                self.refused = Some(format!(
                    "a residual's layers have {} inputs, and come after {inputs} outputs: add them to the network that the function is given",
                    part.inputs
                ));
            }
            self.refused = self.refused.take().or(part.refused);
            part.layers
        };
        let (body, shortcut) = (part(body(Network::new(inputs))), part(shortcut(Network::new(inputs))));
        self.with(ResidualLayer { body, shortcut, activation: Activation::Identity, dropout: 0.0 }.into())
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
            Some(layer) => *layer.activation_mut() = activation,
            None if activation == Activation::Identity => {}
            None => self.refused = Some("an activation comes after a layer: it is not offered for the input".into()),
        }
        self
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
            Some(layer) => *layer.dropout_mut() = probability,
            None if probability == 0.0 => {}
            None => self.refused = Some("dropout comes after a hidden layer: it is not offered for the input".into()),
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
        self.inputs
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The number of logits in a row: the last layer's units.
    pub fn outputs(&self) -> usize {
        self.layers.iter().fold(self.inputs, |inputs, layer| layer.outputs(inputs))
    }

    /// The number of weights and biases.
    pub fn parameters(&self) -> usize {
        let count = |(inputs, outputs): (usize, usize)| inputs.saturating_add(1).saturating_mul(outputs);
        self.widths().map(count).fold(0, usize::saturating_add)
    }

    /// The weights of every dense layer, by the names that they have in files, in the order of [`Weights::layers`](crate::Weights): depth first, a residual's
    /// body before its shortcut.
    ///
    /// Names are those of a `torch.nn.Sequential`: a layer takes a number, and so do its activation and its dropout; within a residual they are
    /// `<n>.body.<k>` and `<n>.shortcut.<k>`. Identity takes a number where every layer is dense.
    pub fn named_parameters(&self) -> Vec<Parameter> {
        let mut found = Vec::new();
        self.walk(&mut |name, inputs, layer| layer.parameters(name, inputs, &mut found));
        found
    }

    /// Calls `each` for all layers, each before those within it, with its name in files and the width of its input.
    pub(crate) fn walk<'a>(&'a self, each: &mut dyn FnMut(&str, usize, &'a Layer)) {
        layer::walk(&self.layers, "", self.inputs, self.is_chain(), each);
    }

    /// The input width and the output width of every dense layer, in the order of [`named_parameters`](Self::named_parameters).
    pub fn widths(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        self.named_parameters().into_iter().map(|parameter| (parameter.inputs, parameter.outputs))
    }

    /// Whether every layer is dense and takes the output of the one before.
    pub(crate) fn is_chain(&self) -> bool {
        self.layers.iter().all(|layer| matches!(layer, Layer::Dense(_)))
    }

    /// The activations of all layers, those within residuals included.
    pub(crate) fn activations(&self) -> Vec<Activation> {
        let mut found = Vec::new();
        self.walk(&mut |_, _, layer| found.push(layer.activation()));
        found
    }

    /// Its widths, as `784-256-10`; of a residual's body and its shortcut in parentheses, as `784-128-(64-128)-10` and `784-(64-128|128)-10`.
    pub fn shape(&self) -> String {
        format!("{}-{}", self.inputs, layer::shape(&self.layers, self.inputs)).trim_end_matches('-').to_string()
    }

    /// The dense layers' sizes for minibatches of `batch` rows, once [`check`](Self::check) has passed.
    pub(crate) fn dense_sizes(&self, batch: u32) -> Vec<Dense> {
        self.widths().map(|(inputs, outputs)| Dense { batch, inputs: inputs as u32, outputs: outputs as u32 }).collect()
    }

    /// The ops for a minibatch of `batch` rows, from the set's features to the logits, which come back. Units drop out where it is `training`.
    pub fn forward(&self, batch: u32, training: bool) -> (Graph, Value) {
        forward::forward(self, batch, training)
    }

    /// Checks that the network can be trained.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] naming the layer: for no layers, a width of 0 or over 16,777,216, a sum of different widths, a last layer that is not dense or has an
    /// activation, a dropout out of range or where there is no hidden layer.
    pub fn check(&self) -> Result<(), Error> {
        self.reason().map_or(Ok(()), |reason| Err(Error::Option(reason)))
    }

    /// Why the network cannot be trained.
    fn reason(&self) -> Option<String> {
        if let Err(reason) = layer::check_width(self.inputs, "the input") {
            return Some(reason);
        }
        if let Some(refused) = &self.refused {
            return Some(refused.clone());
        }
        // Files hold nested lists of layers, which their readers follow down to some depth.
        let (nested, most) = (layer::nested(&self.layers), ResidualLayer::MOST_NESTED);
        if nested > most {
            return Some(format!("its residuals are nested {nested} deep: at most {most} are allowed"));
        }
        if let Err(reason) = layer::check(&self.layers, self.inputs, "layer") {
            return Some(reason);
        }
        let last = self.layers.last().map(|layer| (layer, layer.epilogue()));
        match last {
            None => Some("the network has no layers: add at least one with Network::dense".into()),
            Some((Layer::Dense(_), last)) if last.dropout > 0.0 => {
                Some("the last layer has a dropout: its outputs are the logits, which must all be there".into())
            }
            Some((Layer::Dense(_), last)) if last.activation != Activation::Identity => Some(format!(
                "the last layer's activation is {}: it must be identity, as the loss takes logits",
                last.activation
            )),
            Some((Layer::Dense(_), _)) => None,
            Some((other, _)) => Some(format!(
                "the last layer, layer {}, is a {}: it must be dense, as its outputs are the logits",
                self.layers.len(),
                other.word()
            )),
        }
    }
}
