//! Loss functions.

use std::path::Path;

use crate::constants::Constants;
use crate::error::Error;
use crate::named::Elsewhere;
use crate::targets::{TargetKind, Targets};
use crate::wgsl::{Signature, Wgsl, check_name};

/// A loss, computed from logits (or outputs, for the regression losses) and averaged as PyTorch's `reduction="mean"`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// `torch.nn.CrossEntropyLoss`, for class indices or target distributions: the mean over rows, weighted by their classes'
    /// weights where the targets are indices and classes have weights.
    SoftmaxCrossEntropy {
        /// ε: the share of a target that is spread over all classes. 0 for none.
        label_smoothing: f64,
        /// A weight for each class.
        class_weights: Option<Vec<f64>>,
        /// Rows with this class index do not count, neither in the loss nor in metrics.
        ignore_index: Option<i64>,
        /// γ of the focal loss, Σ t (1 − p)^γ (−log p): Lin et al., ICCV 2017. 0 for plain cross-entropy.
        gamma: f64,
    },
    /// The Kullback-Leibler divergence of the softmax from given distributions, the mean over rows:
    /// `torch.nn.KLDivLoss(reduction="batchmean")` on the log-softmax.
    KlDivergence,
    /// `torch.nn.BCEWithLogitsLoss`: each output is a yes or no of its own. The mean over all elements.
    SigmoidCrossEntropy {
        /// A weight for each output's positive targets.
        pos_weight: Option<Vec<f64>>,
        /// γ of the focal loss, as `torchvision.ops.sigmoid_focal_loss` has it, without its α. 0 for plain cross-entropy.
        gamma: f64,
    },
    /// `torch.nn.MSELoss`: the mean over all elements.
    MeanSquaredError,
    /// `torch.nn.L1Loss`: the mean over all elements.
    MeanAbsoluteError,
    /// `torch.nn.HuberLoss`: the mean over all elements.
    Huber {
        /// δ: where the parabola becomes a line.
        delta: f64,
    },
    /// A loss that a user wrote, averaged over all elements; see [`Loss::custom`].
    Custom(Wgsl),
}

impl Default for Loss {
    fn default() -> Self {
        Loss::softmax_cross_entropy()
    }
}

/// The name of every built-in loss.
const WORDS: &[&str] = &["softmax-cross-entropy", "kl-divergence", "sigmoid-cross-entropy", "mse", "mae", "huber"];

/// Names of losses in other programs, with ours.
const ELSEWHERE: Elsewhere = &[
    (
        &[
            "bce",
            "binary-crossentropy",
            "binary-cross-entropy",
            "bcewithlogits",
            "bcewithlogitsloss",
            "bce-with-logits",
            "bceloss",
            "log-loss",
            "logloss",
            "logistic",
            "sigmoid",
            "binary",
            "multilabel",
        ],
        "sigmoid-cross-entropy",
    ),
    (
        &[
            "cross-entropy",
            "crossentropy",
            "crossentropyloss",
            "categorical-crossentropy",
            "categorical-cross-entropy",
            "sparse-categorical-crossentropy",
            "sparse-categorical-cross-entropy",
            "ce",
            "xent",
            "softmax",
            "nll",
            "nllloss",
            "nll-loss",
            "multiclass",
            "classification",
        ],
        "softmax-cross-entropy",
    ),
    (&["focal", "focal-loss"], "softmax-cross-entropy or sigmoid-cross-entropy, with a gamma under [loss] in run.toml"),
    (
        &[
            "mean-squared-error",
            "l2",
            "mseloss",
            "squared-error",
            "squared",
            "rmse",
            "regression",
            "least-squares",
            "quadratic",
        ],
        "mse",
    ),
    (&["mean-absolute-error", "l1", "l1loss", "absolute-error", "absolute"], "mae"),
    (&["smooth-l1", "smoothl1", "smoothl1loss", "huberloss", "huber-loss"], "huber"),
    (&["kl", "kld", "kldiv", "kldivloss", "kl-div", "kullback-leibler", "kl-loss"], "kl-divergence"),
    (
        &[
            "hinge",
            "squared-hinge",
            "quantile",
            "pinball",
            "poisson",
            "log-cosh",
            "logcosh",
            "mape",
            "msle",
            "cosine-similarity",
        ],
        "it in WGSL as a function of your own, and give that as NAME.wgsl",
    ),
];

/// The meaning that a loss gives to a network's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Logits of classes, exactly one of which is right.
    Classes,
    /// Logits of independent yes-or-no answers.
    EachOutput,
    /// Predicted numbers.
    Numbers,
}

/// A value of a loss in files, such as Huber's δ.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Setting {
    Number(f64),
    List(Vec<f64>),
}

/// The shader modules, flags and constants that make up a loss on the device.
pub(crate) struct Parts<'a> {
    /// The shader module with its `row_loss`.
    pub module: &'static str,
    /// The shader module with its `element`, for losses that average over outputs.
    pub element: Option<&'static str>,
    pub flags: Vec<&'static str>,
    /// The module `loss_constants`.
    pub constants: Constants,
    /// A weight for each output.
    pub output_weights: Option<&'a [f64]>,
    /// The label of rows that do not count.
    pub ignored: u32,
}

impl Loss {
    /// Plain softmax cross-entropy: no label smoothing, no weights, no focal γ.
    pub fn softmax_cross_entropy() -> Self {
        Loss::SoftmaxCrossEntropy { label_smoothing: 0.0, class_weights: None, ignore_index: None, gamma: 0.0 }
    }

    /// Plain sigmoid cross-entropy: no weights, no focal γ.
    pub fn sigmoid_cross_entropy() -> Self {
        Loss::SigmoidCrossEntropy { pos_weight: None, gamma: 0.0 }
    }

    /// A user's own loss of each output, averaged over all outputs: WGSL source with `fn loss(z: f32, t: f32) -> f32` of an output z and
    /// its target t, and `fn derivative(z: f32, t: f32) -> f32`, ∂L/∂z. It is fused as the others are. A trainer compares the
    /// derivative with differences on its device before it trains. The text stays in memory for the life of the program.
    ///
    /// ```
    /// use wgrad::Loss;
    ///
    /// let quartic = Loss::custom("quartic", "
    ///     fn loss(z: f32, t: f32) -> f32 { return (z - t) * (z - t) * (z - t) * (z - t); }
    ///     fn derivative(z: f32, t: f32) -> f32 { return 4.0 * (z - t) * (z - t) * (z - t); }
    /// ")?;
    /// assert_eq!(quartic.name(), "quartic");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Wgsl`] with the line that is wrong or the function that is missing, and for the name of a built-in loss.
    pub fn custom(name: &str, source: &str) -> Result<Self, Error> {
        const SIGNATURES: &[Signature] = &[
            Signature { name: "loss", arguments: &["z", "t"], may_keep: false },
            Signature { name: "derivative", arguments: &["z", "t"], may_keep: false },
        ];
        check_name(name, "a loss", WORDS.iter().copied())?;
        Wgsl::new(name, source, SIGNATURES).map(Loss::Custom)
    }

    /// Reads a user's own loss from a file. Its name is the file's without the extension.
    ///
    /// # Errors
    ///
    /// As [`custom`](Self::custom), and [`Error::Io`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let (name, source) = Wgsl::read(path.as_ref())?;
        Self::custom(&name, &source)
    }

    /// The name and the source of the module that a user wrote.
    pub(crate) fn own_text(&self) -> Option<(&'static str, String)> {
        match self {
            Loss::Custom(own) => Some(("user_loss", own.source.into())),
            _ => None,
        }
    }

    /// The loss with this name, with PyTorch's defaults.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for an unknown name, listing the known ones.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "softmax-cross-entropy" => Loss::softmax_cross_entropy(),
            "kl-divergence" => Loss::KlDivergence,
            "sigmoid-cross-entropy" => Loss::sigmoid_cross_entropy(),
            "mse" => Loss::MeanSquaredError,
            "mae" => Loss::MeanAbsoluteError,
            "huber" => Loss::Huber { delta: 1.0 },
            _ => return Err(Error::Option(crate::named::unknown(name, "a loss", WORDS.iter().copied(), ELSEWHERE))),
        })
    }

    /// The loss' name in options and files.
    pub fn name(&self) -> &'static str {
        match self {
            Loss::SoftmaxCrossEntropy { .. } => "softmax-cross-entropy",
            Loss::KlDivergence => "kl-divergence",
            Loss::SigmoidCrossEntropy { .. } => "sigmoid-cross-entropy",
            Loss::MeanSquaredError => "mse",
            Loss::MeanAbsoluteError => "mae",
            Loss::Huber { .. } => "huber",
            Loss::Custom(own) => own.name,
        }
    }

    /// The values that belong to the loss besides its name; most are left out where they are the default.
    pub(crate) fn settings(&self) -> Vec<(&'static str, Setting)> {
        let number = |name, value: f64| (value != 0.0).then_some((name, Setting::Number(value)));
        match self {
            Loss::SoftmaxCrossEntropy { label_smoothing, class_weights, ignore_index, gamma } => [
                number("label_smoothing", *label_smoothing),
                number("gamma", *gamma),
                class_weights.clone().map(|weights| ("class_weights", Setting::List(weights))),
                ignore_index.map(|index| ("ignore_index", Setting::Number(index as f64))),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Loss::SigmoidCrossEntropy { pos_weight, gamma } => {
                let weights = pos_weight.clone().map(|weights| ("pos_weight", Setting::List(weights)));
                weights.into_iter().chain(number("gamma", *gamma)).collect()
            }
            Loss::Huber { delta } => vec![("delta", Setting::Number(*delta))],
            _ => vec![],
        }
    }

    /// Sets one of the loss' values by name.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where the loss has no such value.
    pub(crate) fn set(&mut self, name: &str, setting: Setting) -> Result<(), Error> {
        match (self, name, setting) {
            (Loss::SoftmaxCrossEntropy { label_smoothing, .. }, "label_smoothing", Setting::Number(number)) => {
                *label_smoothing = number;
            }
            (Loss::SoftmaxCrossEntropy { class_weights, .. }, "class_weights", Setting::List(weights)) => {
                *class_weights = Some(weights);
            }
            (Loss::SoftmaxCrossEntropy { ignore_index, .. }, "ignore_index", Setting::Number(number)) => {
                *ignore_index = Some(number as i64);
            }
            (
                Loss::SoftmaxCrossEntropy { gamma, .. } | Loss::SigmoidCrossEntropy { gamma, .. },
                "gamma",
                Setting::Number(number),
            ) => *gamma = number,
            (Loss::SigmoidCrossEntropy { pos_weight, .. }, "pos_weight", Setting::List(weights)) => {
                *pos_weight = Some(weights);
            }
            (Loss::Huber { delta }, "delta", Setting::Number(number)) => *delta = number,
            (loss, name, _) => {
                let takes = match loss {
                    Loss::SoftmaxCrossEntropy { .. } => {
                        "label_smoothing (a number), class_weights (a list), ignore_index (a number) and gamma (a number)"
                    }
                    Loss::SigmoidCrossEntropy { .. } => "pos_weight (a list) and gamma (a number)",
                    Loss::Huber { .. } => "delta (a number)",
                    _ => "no values",
                };
                return Err(Error::Option(format!("loss {} does not take this {name}: it takes {takes}", loss.name())));
            }
        }
        Ok(())
    }

    /// Checks that every value is in the range of its formula, for a network of `outputs` outputs.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] naming the first value that is not, and what would be right.
    pub fn check(&self, outputs: usize) -> Result<(), Error> {
        let option = |reason: String| Err(Error::Option(reason));
        if self.task() == Task::Classes && outputs == 1 {
            return option(format!(
                "{} over one output has nothing to learn, as the only class always has a probability of 1: a set needs rows of two classes \
                 or more, and the network an output for each; one output that is a yes or no takes sigmoid-cross-entropy, a number mse",
                self.name()
            ));
        }
        if let Loss::SoftmaxCrossEntropy { gamma, .. } | Loss::SigmoidCrossEntropy { gamma, .. } = self
            && !(0.0..=100.0).contains(gamma)
        {
            return option(format!("gamma is {gamma}: it must be from 0 to 100"));
        }
        // Labels have 32 bits: an index beyond them would be truncated to another label.
        if let Loss::SoftmaxCrossEntropy { ignore_index: Some(index), .. } = self
            && i32::try_from(*index).is_err()
        {
            return option(format!("ignore_index is {index}: it must be from {} to {}", i32::MIN, i32::MAX));
        }
        let (name, weights) = match self {
            Loss::SoftmaxCrossEntropy { label_smoothing, .. } if !(0.0..=1.0).contains(label_smoothing) => {
                return option(format!("label_smoothing is {label_smoothing}: it must be from 0 to 1"));
            }
            Loss::Huber { delta } if !(1e-30..=1e30).contains(delta) => {
                return option(format!("delta is {delta}: it must be finite and above 0"));
            }
            Loss::SoftmaxCrossEntropy { class_weights, .. } => ("class_weights", class_weights),
            Loss::SigmoidCrossEntropy { pos_weight, .. } => ("pos_weight", pos_weight),
            _ => return Ok(()),
        };
        let Some(weights) = weights else { return Ok(()) };
        if weights.len() != outputs {
            return option(format!(
                "{name} has {} weights: there must be one for each of {outputs} outputs",
                weights.len()
            ));
        }
        match weights.iter().find(|weight| !(0.0..=1e30).contains(*weight)) {
            Some(weight) => option(format!("{name} has {weight}: every weight must be finite and at least 0")),
            None => Ok(()),
        }
    }

    /// Whether rows with this label do not count.
    pub(crate) fn ignores(&self, label: u32) -> bool {
        matches!(self, Loss::SoftmaxCrossEntropy { ignore_index: Some(index), .. } if *index as u32 == label)
    }

    /// The meaning that this loss gives to outputs.
    pub(crate) fn task(&self) -> Task {
        match self {
            Loss::SoftmaxCrossEntropy { .. } | Loss::KlDivergence => Task::Classes,
            Loss::SigmoidCrossEntropy { .. } => Task::EachOutput,
            Loss::MeanSquaredError | Loss::MeanAbsoluteError | Loss::Huber { .. } | Loss::Custom(_) => Task::Numbers,
        }
    }

    /// The form in which this loss takes targets that a data set has in the form `given`.
    pub(crate) fn targets(&self, given: Targets) -> Targets {
        match self {
            Loss::SoftmaxCrossEntropy { .. } | Loss::KlDivergence => given,
            _ => Targets { kind: TargetKind::Values, label_bits: 32, ..given },
        }
    }

    /// Whether rows have different weights in the mean, so that its divisor depends on the rows of the minibatch.
    pub(crate) fn has_weighted_mean(&self, targets: Targets) -> bool {
        let by_class = match self {
            Loss::SoftmaxCrossEntropy { class_weights, ignore_index, .. } => {
                targets.kind == TargetKind::Classes && (class_weights.is_some() || ignore_index.is_some())
            }
            _ => false,
        };
        by_class || targets.sample_weights
    }

    pub(crate) fn parts(&self, targets: Targets) -> Parts<'_> {
        let parts = Parts {
            module: "loss/elementwise",
            element: None,
            flags: vec![],
            constants: Constants::new(),
            output_weights: None,
            ignored: u32::MAX,
        };
        let soft = |smoothing: f64| {
            Constants::new().f32("LABEL_SMOOTHING", smoothing).f32("ONE_MINUS_LABEL_SMOOTHING", 1.0 - smoothing)
        };
        match self {
            Loss::SoftmaxCrossEntropy { label_smoothing, class_weights, ignore_index, gamma } => Parts {
                module: if *gamma > 0.0 {
                    "loss/softmax_focal"
                } else if targets.kind == TargetKind::Classes && *label_smoothing == 0.0 {
                    "loss/softmax_cross_entropy"
                } else {
                    "loss/softmax_cross_entropy_soft"
                },
                constants: soft(*label_smoothing).f32("GAMMA", *gamma),
                output_weights: class_weights.as_deref(),
                ignored: ignore_index.map_or(u32::MAX, |index| index as u32),
                ..parts
            },
            Loss::KlDivergence => Parts {
                module: "loss/softmax_cross_entropy_soft",
                flags: vec!["divergence"],
                constants: soft(0.0),
                ..parts
            },
            Loss::SigmoidCrossEntropy { pos_weight, gamma } => Parts {
                element: Some("element/sigmoid_cross_entropy"),
                flags: if *gamma > 0.0 { vec!["focal"] } else { vec![] },
                constants: Constants::new().f32("GAMMA", *gamma),
                output_weights: pos_weight.as_deref(),
                ..parts
            },
            Loss::Custom(_) => Parts { element: Some("element/custom"), ..parts },
            Loss::MeanSquaredError => Parts { element: Some("element/mean_squared_error"), ..parts },
            Loss::MeanAbsoluteError => Parts { element: Some("element/mean_absolute_error"), ..parts },
            Loss::Huber { delta } => {
                Parts { element: Some("element/huber"), constants: Constants::new().f32("DELTA", *delta), ..parts }
            }
        }
    }

    /// The prediction from a row's logits, computed in f64: their softmax, their sigmoid, or the outputs as they are.
    pub(crate) fn predict(&self, logits: &[f32]) -> Vec<f32> {
        match self {
            Loss::SoftmaxCrossEntropy { .. } | Loss::KlDivergence => {
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let exponential = |&logit: &f32| f64::from(logit - largest).exp();
                let sum: f64 = logits.iter().map(exponential).sum();
                logits.iter().map(|logit| (exponential(logit) / sum) as f32).collect()
            }
            Loss::SigmoidCrossEntropy { .. } => {
                logits.iter().map(|&logit| (1.0 / (1.0 + (-f64::from(logit)).exp())) as f32).collect()
            }
            _ => logits.to_vec(),
        }
    }
}
