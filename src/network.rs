//! The network a user describes: dense layers and their activations.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::Error;
use crate::layout::Dense;
use crate::named::{Elsewhere, Named};
use crate::wgsl::{Signature, Wgsl};

/// An activation function, which a layer applies to each of its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `y = z`
    Identity,
    /// `y = max(z, 0)`
    Relu,
    /// `torch.nn.LeakyReLU`: `y = z` above 0, `0.01 z` below.
    LeakyRelu,
    /// `torch.nn.ELU`: `y = z` above 0, `exp z − 1` below.
    Elu,
    /// `torch.nn.GELU`: `y = z Φ(z)`.
    Gelu,
    /// `torch.nn.GELU(approximate="tanh")`
    GeluTanh,
    /// `torch.nn.SiLU`: `y = z σ(z)`.
    Silu,
    /// `y = tanh z`
    Tanh,
    /// `y = 1 / (1 + exp −z)`
    Sigmoid,
    /// `torch.nn.Softplus`: `y = log(1 + exp z)`.
    Softplus,
    /// An activation that a user wrote; see [`Activation::custom`].
    Custom(Wgsl),
}

impl Named for Activation {
    const WHAT: &'static str = "an activation";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("identity", Activation::Identity),
        ("relu", Activation::Relu),
        ("leaky-relu", Activation::LeakyRelu),
        ("elu", Activation::Elu),
        ("gelu", Activation::Gelu),
        ("gelu-tanh", Activation::GeluTanh),
        ("silu", Activation::Silu),
        ("tanh", Activation::Tanh),
        ("sigmoid", Activation::Sigmoid),
        ("softplus", Activation::Softplus),
    ];
    const ELSEWHERE: Elsewhere = &[
        (&["swish"], "silu"),
        (&["linear", "none", "no", "id", "noop"], "identity"),
        (&["leakyrelu", "lrelu", "prelu", "rrelu"], "leaky-relu"),
        (&["gelu-new", "gelu-approximate", "gelu-fast", "gelu-pytorch-tanh"], "gelu-tanh"),
        (&["logistic", "sigm", "expit"], "sigmoid"),
        (&["hyperbolic-tangent"], "tanh"),
        (&["rectifier", "rectified-linear", "relu6"], "relu"),
        (
            &["softmax", "log-softmax", "logsoftmax"],
            "the loss softmax-cross-entropy, which applies the softmax after the last layer (this is the hidden layers')",
        ),
        (
            &[
                "selu",
                "celu",
                "mish",
                "softsign",
                "hardswish",
                "hard-swish",
                "hardsigmoid",
                "hard-sigmoid",
                "hardtanh",
                "glu",
                "swiglu",
            ],
            "it in WGSL as a function of your own, and give that as NAME.wgsl",
        ),
    ];
}

impl FromStr for Activation {
    type Err = Error;

    /// A word, or the path of a file that ends in `.wgsl`.
    fn from_str(word: &str) -> Result<Self, Error> {
        if !word.ends_with(".wgsl") {
            return Self::from_word(word);
        }
        Self::read(word)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if let Activation::Custom(own) = self { own.name } else { self.word() })
    }
}

impl Activation {
    /// A user's own activation: WGSL source with `fn activate(z: f32) -> f32` and `fn derivative(z: f32) -> f32`, ∂y/∂z at z. It is
    /// fused into the layers' kernels as the others are. A trainer compares the derivative with differences on its device
    /// before it trains. The text stays in memory for the life of the program.
    ///
    /// ```
    /// use wgrad::Activation;
    ///
    /// let softsign = Activation::custom("softsign", "
    ///     fn activate(z: f32) -> f32 { return z / (1.0 + abs(z)); }
    ///     fn derivative(z: f32) -> f32 { return 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z))); }
    /// ")?;
    /// assert_eq!(softsign.to_string(), "softsign");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Wgsl`] with the line that is wrong or the function that is missing, and for the name of a built-in activation.
    pub fn custom(name: &str, source: &str) -> Result<Self, Error> {
        const SIGNATURES: &[Signature] = &[
            Signature { name: "activate", arguments: &["z"], may_keep: false },
            Signature { name: "derivative", arguments: &["z"], may_keep: false },
        ];
        crate::wgsl::check_name(name, Self::WHAT, Self::WORDS.iter().map(|&(known, _)| known))?;
        Wgsl::new(name, source, SIGNATURES).map(Activation::Custom)
    }

    /// Reads a user's own activation from a file. Its name is the file's without the extension.
    ///
    /// # Errors
    ///
    /// As [`custom`](Self::custom), and [`Error::Io`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let (name, source) = Wgsl::read(path.as_ref())?;
        Self::custom(&name, &source)
    }

    /// The name and the source of the module that a user wrote.
    pub(crate) fn own_text(self) -> Option<(&'static str, String)> {
        match self {
            Activation::Custom(own) => Some(("user_activation", own.source.into())),
            _ => None,
        }
    }

    /// The shader module with its `activate`, and its `derivative` or `derivative_from_logit`.
    pub(crate) fn module(self) -> &'static str {
        match self {
            Activation::Identity => "activation/identity",
            Activation::Relu => "activation/relu",
            Activation::LeakyRelu => "activation/leaky_relu",
            Activation::Elu => "activation/elu",
            Activation::Gelu => "activation/gelu",
            Activation::GeluTanh => "activation/gelu_tanh",
            Activation::Silu => "activation/silu",
            Activation::Tanh => "activation/tanh",
            Activation::Sigmoid => "activation/sigmoid",
            Activation::Softplus => "activation/softplus",
            Activation::Custom(_) => "activation/custom",
        }
    }

    /// Whether the derivative cannot be computed from the output, so that the forward pass keeps it.
    pub(crate) fn keeps_derivative(self) -> bool {
        matches!(self, Activation::Gelu | Activation::GeluTanh | Activation::Silu | Activation::Custom(_))
    }
}

/// A dense layer, `activate(x·W + b)`, with optional dropout after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// The number of units.
    pub outputs: usize,
    /// The activation of every unit.
    pub activation: Activation,
    /// The probability that a unit drops out of a training step, from 0 to below 1: `torch.nn.Dropout`.
    pub dropout: f64,
}

impl Layer {
    /// Whether the backward pass needs a derivative that the forward pass keeps.
    pub(crate) fn keeps_derivative(self) -> bool {
        self.activation.keeps_derivative() || self.dropout > 0.0
    }
}

/// A feed-forward network: a number of input features, then dense layers. The last layer's outputs are logits.
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
    /// The dropout of the input features. No kernel supports it; it is kept so that [`check`](Self::check) can refuse it.
    input_dropout: f64,
    layers: Vec<Layer>,
}

/// The widest layer: indices on the device are 32 bits wide.
const WIDEST: usize = 1 << 24;

impl Network {
    /// A network for rows of `inputs` features, with no layers yet.
    pub fn new(inputs: usize) -> Self {
        Network { inputs, input_dropout: 0.0, layers: Vec::new() }
    }

    /// Adds a dense layer of `outputs` units.
    #[must_use]
    pub fn dense(mut self, outputs: usize, activation: Activation) -> Self {
        self.layers.push(Layer { outputs, activation, dropout: 0.0 });
        self
    }

    /// Lets units of the layer added last drop out with this probability in training: `torch.nn.Dropout` after it. Evaluation and
    /// prediction use every unit.
    ///
    /// ```
    /// use wgrad::{Activation, Network};
    ///
    /// let network = Network::new(784).dense(256, Activation::Relu).dropout(0.2).dense(10, Activation::Identity);
    /// assert_eq!(network.layers()[0].dropout, 0.2);
    /// ```
    #[must_use]
    pub fn dropout(mut self, probability: f64) -> Self {
        *self.layers.last_mut().map_or(&mut self.input_dropout, |layer| &mut layer.dropout) = probability;
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
        self.layers.last().map_or(self.inputs, |layer| layer.outputs)
    }

    /// The number of weights and biases.
    pub fn parameters(&self) -> usize {
        let layer = |(inputs, outputs): (usize, usize)| inputs.saturating_add(1).saturating_mul(outputs);
        self.widths().map(layer).fold(0, usize::saturating_add)
    }

    /// The input width and the output width of every layer, first to last.
    pub fn widths(&self) -> impl Iterator<Item = (usize, usize)> {
        self.layers
            .iter()
            .scan(self.inputs, |inputs, layer| Some((std::mem::replace(inputs, layer.outputs), layer.outputs)))
    }

    /// The layers' sizes for minibatches of `batch` rows, once [`check`](Self::check) has passed.
    pub(crate) fn dense_layers(&self, batch: u32) -> Vec<Dense> {
        self.widths().map(|(inputs, outputs)| Dense { batch, inputs: inputs as u32, outputs: outputs as u32 }).collect()
    }

    /// Checks that the network can be trained.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for no layers, a width of 0 or over 16,777,216, a last layer with an activation, a dropout out of
    /// range or where there is no hidden layer.
    pub fn check(&self) -> Result<(), Error> {
        let option = |reason: String| Err(Error::Option(reason));
        for (position, width) in
            std::iter::once(self.inputs).chain(self.layers.iter().map(|layer| layer.outputs)).enumerate()
        {
            let place = if position == 0 { "the input".to_string() } else { format!("layer {position}") };
            if width == 0 {
                return option(format!("{place} has a width of 0: every layer needs at least one unit"));
            }
            if width > WIDEST {
                return option(format!("{place} has a width of {width}: the widest layer is {WIDEST}"));
            }
        }
        if self.input_dropout != 0.0 {
            return option("dropout comes after a hidden layer: it is not offered for the input".into());
        }
        for (position, layer) in self.layers.iter().enumerate() {
            if !(0.0..1.0).contains(&layer.dropout) {
                return option(format!(
                    "layer {} has a dropout of {}: it must be from 0 to below 1",
                    position + 1,
                    layer.dropout
                ));
            }
        }
        match self.layers.last() {
            Some(last) if last.dropout > 0.0 => {
                option("the last layer has a dropout: its outputs are the logits, which must all be there".into())
            }
            None => option("the network has no layers: add at least one with Network::dense".into()),
            Some(last) if last.activation != Activation::Identity => option(format!(
                "the last layer's activation is {}: it must be identity, as the loss takes logits",
                last.activation
            )),
            Some(_) => Ok(()),
        }
    }
}
