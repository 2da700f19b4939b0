//! Distributions of initial weights, and their words.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::named::{Elsewhere, Named};

/// The distribution of initial weights. Biases begin at 0, except under [`Initializer::Torch`].
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Initializer {
    /// U(−a, a), a = √(6 / (inputs + outputs)): Glorot & Bengio, AISTATS 2010; Keras' default.
    #[default]
    GlorotUniform,
    /// N(0, 2 / (inputs + outputs)): Glorot & Bengio, AISTATS 2010.
    GlorotNormal,
    /// U(−a, a), a = √(6 / inputs): He et al., "Delving deep into rectifiers", ICCV 2015.
    HeUniform,
    /// N(0, 2 / inputs): He et al., ICCV 2015.
    HeNormal,
    /// U(−a, a), a = √(3 / inputs): LeCun, Bottou, Orr & Müller, "Efficient backprop", 1998.
    LecunUniform,
    /// N(0, 1 / inputs): LeCun et al., 1998.
    LecunNormal,
    /// Orthonormal rows, or columns where there are fewer of them: Saxe, McClelland & Ganguli, ICLR 2014.
    Orthogonal,
    /// U(−a, a), a = 1/√inputs, for weights and biases alike: what `torch.nn.Linear` does.
    Torch,
    /// N(0, d²) for this deviation d: Radford et al., "Language models are unsupervised multitask learners", 2019, take 0.02.
    Normal(f32),
    /// The same value for every weight. All units of a layer stay alike then, unless dropout tells them apart.
    Constant(f32),
}

impl Named for Initializer {
    const WHAT: &'static str = "an initializer";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("glorot-uniform", Initializer::GlorotUniform),
        ("glorot-normal", Initializer::GlorotNormal),
        ("he-uniform", Initializer::HeUniform),
        ("he-normal", Initializer::HeNormal),
        ("lecun-uniform", Initializer::LecunUniform),
        ("lecun-normal", Initializer::LecunNormal),
        ("orthogonal", Initializer::Orthogonal),
        ("torch", Initializer::Torch),
        ("normal", Initializer::Normal(0.02)),
        ("constant", Initializer::Constant(0.0)),
    ];
    const ELSEWHERE: Elsewhere = &[
        (&["xavier", "xavier-uniform", "glorot", "xavieruniform", "glorotuniform"], "glorot-uniform"),
        (&["xavier-normal", "xaviernormal", "glorotnormal"], "glorot-normal"),
        (&["kaiming", "kaiming-uniform", "he", "kaiminguniform", "heuniform"], "he-uniform"),
        (&["kaiming-normal", "kaimingnormal", "henormal", "msra"], "he-normal"),
        (&["lecun", "lecununiform"], "lecun-uniform"),
        (&["lecunnormal"], "lecun-normal"),
        (&["orthogonal-initializer"], "orthogonal"),
        (&["pytorch", "default"], "torch"),
        (&["zeros", "zero"], "constant:0"),
        (&["ones", "one"], "constant:1"),
    ];
}

impl FromStr for Initializer {
    type Err = Error;

    /// A word, or `constant:` and a value, or `normal:` and a deviation.
    fn from_str(words: &str) -> Result<Self, Error> {
        if let Some(deviation) = words.strip_prefix("normal:") {
            return match deviation.parse::<f32>() {
                Ok(deviation) if deviation.is_finite() && deviation > 0.0 => Ok(Initializer::Normal(deviation)),
                _ => Err(Error::Option(format!(
                    "\"{words}\" is not an initializer: write a deviation above 0, as normal:0.02"
                ))),
            };
        }
        let Some(value) = words.strip_prefix("constant:") else { return Self::from_word(words) };
        match value.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(Initializer::Constant(value)),
            _ => {
                Err(Error::Option(format!("\"{words}\" is not an initializer: write a finite value, as constant:0.1")))
            }
        }
    }
}

impl fmt::Display for Initializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Initializer::Constant(value) => write!(f, "constant:{value}"),
            Initializer::Normal(deviation) => write!(f, "normal:{deviation}"),
            _ => f.write_str(self.word()),
        }
    }
}
