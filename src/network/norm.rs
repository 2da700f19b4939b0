//! Norms: of each channel over the minibatch, and of each sample by itself.

use serde_json::{Map, Value as Json};

use super::forward::Forward;
use super::kind::{Describe, Own};
use super::parameter::{ParameterKind, RowOrder};
use super::words::{Words, add_number};
use super::{Form, LayerKind, Network};
use crate::graph::{BatchNorm, Over, RowNorm, Value};

const EPS: &str = "eps";
pub(super) const MOMENTUM: &str = "momentum";
/// What is added to a variance, unless a layer says otherwise.
const USUAL_EPS: f64 = 1e-5;
const USUAL_MOMENTUM: f64 = 0.1;

/// A parameter with a value for each channel, and a bias or a second value.
fn of_channels(input: Form, kind: ParameterKind, bias: bool) -> Own {
    Own { part: None, inputs: 1, outputs: input.channels(), kind, bias, rows: RowOrder::features(1) }
}

/// Whether it can be added to a variance, on the device too.
fn check_eps(eps: f64) -> Result<(), String> {
    match eps.is_finite() && eps as f32 >= f32::MIN_POSITIVE && (eps as f32).is_finite() {
        true => Ok(()),
        false => Err(format!("an eps of {eps}: it must be above 0, as {USUAL_EPS}")),
    }
}

/// Whether a row norm can be over this many features: an invocation goes over them three times, four an iteration, and llvmpipe, Mesa's software driver, ends an
/// invocation's loops without a word after 65,535 iterations of all of them together.
fn check_features(features: usize) -> Result<(), String> {
    const MOST: usize = 80_000;
    match features {
        features if features > MOST => Err(format!("a norm over {features} features: at most {MOST} are allowed")),
        _ => Ok(()),
    }
}

/// Batch norm: each channel, by its mean and its deviation over the minibatch, and in an image over all pixels, then scaled and moved by what is learned.
/// Evaluation and prediction take running means of both. Ioffe & Szegedy, "Batch normalization", ICML 2015.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BatchNormLayer {
    /// The share of a minibatch's statistics in the running ones, from 0 to 1.
    pub momentum: f64,
    /// What is added to the variance.
    pub eps: f64,
}

impl BatchNormLayer {
    /// Batch norm with a momentum of 0.1 and an eps of 1e-5.
    pub fn new() -> Self {
        BatchNormLayer { momentum: USUAL_MOMENTUM, eps: USUAL_EPS }
    }

    /// The norm with this share of a minibatch's statistics in the running ones. Keras' momentum is 1 minus this.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        BatchNormLayer { momentum, ..self }
    }

    /// The norm with this added to the variance.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        BatchNormLayer { eps, ..self }
    }
}

impl Default for BatchNormLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl Describe for BatchNormLayer {
    const WORD: &'static str = "batch_norm";

    fn parameters(&self, input: Form) -> Vec<Own> {
        [ParameterKind::Scale, ParameterKind::Statistics].map(|kind| of_channels(input, kind, true)).into()
    }

    fn output(&self, input: Form) -> Form {
        input.within()
    }

    fn check(&self, input: Form) -> Result<(), String> {
        if let Form::Sequence(_) = input {
            return Err("takes no sequence: in a network of tokens the norm is a layer_norm or an rms_norm".into());
        }
        let momentum = self.momentum;
        if !(0.0..=1.0).contains(&momentum) {
            return Err(format!("a momentum of {momentum}: it must be from 0 to 1"));
        }
        check_eps(self.eps)
    }

    fn write(&self, x: Value, input: Form, forward: &mut Forward) -> Value {
        let x = forward.features(x, input);
        let ((parameter, weights), (statistics, running)) = (forward.parameter(), forward.parameter());
        let &BatchNormLayer { momentum, eps } = self;
        let trains = forward.is_training();
        forward.op(BatchNorm { parameter, statistics, eps, momentum, trains }, vec![x, weights, running])
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        words.is_true(Self::WORD)?;
        let momentum = words.number_or(MOMENTUM, USUAL_MOMENTUM)?;
        Ok(BatchNormLayer { momentum, eps: words.number_or(EPS, USUAL_EPS)? })
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), true.into());
        add_number(words, MOMENTUM, self.momentum, USUAL_MOMENTUM);
        add_number(words, EPS, self.eps, USUAL_EPS);
    }
}

impl Network {
    /// Where the first batch norm is that has one value of each channel in a sample: of features, or of images of one pixel. It cannot train on one row, whose values
    /// have no deviation.
    pub(crate) fn batch_norm_of_rows(&self) -> Option<String> {
        self.batch_norm_where(|input| input.pixels() == 1)
    }

    /// Where the first batch norm is.
    pub(crate) fn first_batch_norm(&self) -> Option<String> {
        self.batch_norm_where(|_| true)
    }

    fn batch_norm_where(&self, is_one: impl Fn(Form) -> bool) -> Option<String> {
        let mut first = None;
        self.walk(&mut |located| {
            if first.is_none() && is_one(located.input) && matches!(located.layer.kind(), LayerKind::BatchNorm(_)) {
                first = Some(located.location);
            }
        });
        first
    }
}

/// Adds a norm of each sample by itself.
fn write_row(over: Over, eps: f64, x: Value, input: Form, forward: &mut Forward) -> Value {
    let x = forward.features(x, input);
    let (parameter, weights) = forward.parameter();
    let trains = forward.is_training();
    forward.op(RowNorm { parameter, over, eps, trains }, vec![x, weights])
}

/// Declares a norm of a row's features, or of a pixel's channels.
macro_rules! row_norm {
    ($(#[$about:meta])* $layer:ident, $word:literal, $over:expr, bias = $bias:literal) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct $layer {
            /// What is added to the variance, or to the mean square.
            pub eps: f64,
        }

        impl $layer {
            /// The norm with an eps of 1e-5.
            pub fn new() -> Self {
                $layer { eps: USUAL_EPS }
            }

            /// The norm with this added to the variance, or to the mean square.
            #[must_use]
            pub fn eps(self, eps: f64) -> Self {
                $layer { eps }
            }
        }

        impl Default for $layer {
            fn default() -> Self {
                Self::new()
            }
        }

        impl Describe for $layer {
            const WORD: &'static str = $word;

            fn parameters(&self, input: Form) -> Vec<Own> {
                vec![of_channels(input, ParameterKind::Scale, $bias)]
            }

            fn output(&self, input: Form) -> Form {
                input.within()
            }

            fn check(&self, input: Form) -> Result<(), String> {
                check_features(input.channels())?;
                check_eps(self.eps)
            }

            fn write(&self, x: Value, input: Form, forward: &mut Forward) -> Value {
                write_row($over, self.eps, x, input, forward)
            }

            fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
                words.is_true(Self::WORD)?;
                Ok($layer { eps: words.number_or(EPS, USUAL_EPS)? })
            }

            fn to_words(&self, words: &mut Map<String, Json>) {
                words.insert(Self::WORD.into(), true.into());
                add_number(words, EPS, self.eps, USUAL_EPS);
            }
        }
    };
}

row_norm! {
    /// Layer norm: a row's features, or each pixel's channels, by their mean and deviation, then scaled and moved by what is learned. Ba, Kiros & Hinton,
    /// "Layer normalization", 2016.
    LayerNormLayer, "layer_norm", Over::Row, bias = true
}

row_norm! {
    /// RMS norm: a row's features, or each pixel's channels, by their root mean square, then scaled by what is learned. Zhang & Sennrich, "Root mean square
    /// layer normalization", NeurIPS 2019.
    RmsNormLayer, "rms_norm", Over::RootMeanSquare, bias = false
}

/// Group norm: groups of channels, each with all pixels of an image, by their mean and deviation, then each channel scaled and moved by what is learned. Wu &
/// He, "Group normalization", ECCV 2018.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GroupNormLayer {
    /// Groups of channels: they divide the channels.
    pub groups: usize,
    /// What is added to the variance.
    pub eps: f64,
}

impl GroupNormLayer {
    /// The norm of this many groups of channels, with an eps of 1e-5.
    pub fn new(groups: usize) -> Self {
        GroupNormLayer { groups, eps: USUAL_EPS }
    }

    /// The norm with this added to the variance.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        GroupNormLayer { eps, ..self }
    }
}

impl Describe for GroupNormLayer {
    const WORD: &'static str = "group_norm";
    const OF_IMAGES: bool = true;

    fn parameters(&self, input: Form) -> Vec<Own> {
        vec![of_channels(input, ParameterKind::Scale, true)]
    }

    fn output(&self, input: Form) -> Form {
        input.within()
    }

    fn check(&self, input: Form) -> Result<(), String> {
        let (groups, channels) = (self.groups, input.channels());
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(format!("groups of {groups}: they must divide its {channels} channels"));
        }
        if groups == input.values() {
            return Err(format!("groups of {groups}, each of one value, whose norm is always 0: take fewer groups"));
        }
        check_features(channels / groups)?;
        check_eps(self.eps)
    }

    fn write(&self, x: Value, input: Form, forward: &mut Forward) -> Value {
        write_row(Over::Groups(super::window::narrow(self.groups)), self.eps, x, input, forward)
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        Ok(GroupNormLayer { groups: words.count(Self::WORD)?, eps: words.number_or(EPS, USUAL_EPS)? })
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.groups.into());
        add_number(words, EPS, self.eps, USUAL_EPS);
    }
}
