//! Activation functions, and what follows a layer's sum.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::Error;
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

    /// Whether it never falls as z grows, so that the largest of some outputs is the output of the largest z.
    pub(crate) fn is_monotone(self) -> bool {
        match self {
            Activation::Identity | Activation::Relu | Activation::LeakyRelu | Activation::Elu => true,
            Activation::Tanh | Activation::Sigmoid | Activation::Softplus => true,
            Activation::Gelu | Activation::GeluTanh | Activation::Silu | Activation::Custom(_) => false,
        }
    }

    /// Whether the derivative cannot be computed from the output, so that the forward pass keeps it.
    pub(crate) fn keeps_derivative(self) -> bool {
        matches!(self, Activation::Gelu | Activation::GeluTanh | Activation::Silu | Activation::Custom(_))
    }
}

/// What follows a layer's sum, element by element: an activation, then dropout.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Epilogue {
    /// The activation of every unit.
    pub activation: Activation,
    /// The probability that a unit drops out of a training step.
    pub dropout: f64,
}

impl Epilogue {
    /// An activation without dropout.
    pub fn of(activation: Activation) -> Self {
        Epilogue { activation, dropout: 0.0 }
    }

    /// With this probability that a unit drops out of a training step.
    #[must_use]
    pub fn with_dropout(self, dropout: f64) -> Self {
        Epilogue { dropout, ..self }
    }

    /// Whether the backward pass needs a derivative that the forward pass keeps.
    pub(crate) fn keeps_derivative(self) -> bool {
        self.activation.keeps_derivative() || self.dropout > 0.0
    }
}
