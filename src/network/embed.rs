//! Vectors for features that are categories.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::Form;
use super::embedding::table;
use super::forward::Forward;
use super::kind::{Describe, Own};
use super::layer::{WIDEST, check_width};
use super::window::narrow;
use super::words::Words;
use crate::graph::{Embed, EmbedColumn, Value};

/// Features that are categories, as vectors beside the features that are numbers: `torch.cat([numbers, nn.Embedding(12, 8)(city), …], 1)`. Guo & Berkhahn,
/// "Entity embeddings of categorical variables", 2016. Numbers come first, in their order, then the vectors, in the order of this list. It is a network's first
/// layer, as categories are whole numbers that only rows of a set have: a category counts from 0, and no scaling may change it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EmbedLayer {
    /// The features that are categories.
    pub features: Vec<EmbeddedFeature>,
}

/// A feature that is a category, and becomes a vector of a table that is learned: one of an [`EmbedLayer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmbeddedFeature {
    /// Which feature of a row it is, from 0.
    pub feature: usize,
    /// The number of categories that there are: from 0 to before this.
    pub vocabulary: usize,
    /// Values of a vector.
    pub width: usize,
}

impl EmbedLayer {
    /// Vectors for these features.
    pub fn new(features: impl IntoIterator<Item = EmbeddedFeature>) -> Self {
        EmbedLayer { features: features.into_iter().collect() }
    }

    const FEATURE: &'static str = "feature";
    const VOCABULARY: &'static str = "vocabulary";
    const WIDTH: &'static str = "width";

    /// Values of all vectors.
    fn width(&self) -> usize {
        self.features.iter().map(|own| own.width).fold(0, usize::saturating_add)
    }
}

impl EmbeddedFeature {
    /// Vectors of `width` values for a feature, counted from 0, of `vocabulary` categories.
    pub fn new(feature: usize, vocabulary: usize, width: usize) -> Self {
        EmbeddedFeature { feature, vocabulary, width }
    }

    /// Whether it can be one of `features`; the reason why not continues "layer 1 (embed) has 5 inputs and …".
    fn check(&self, features: usize) -> Result<(), String> {
        let EmbeddedFeature { feature, vocabulary, width } = *self;
        if feature >= features {
            return Err(format!("looks up feature {feature}: features count from 0 to {}", features.saturating_sub(1)));
        }
        if !(1..=WIDEST).contains(&vocabulary) {
            return Err(format!(
                "a vocabulary of {vocabulary} for feature {feature}: there must be from 1 to {WIDEST} categories"
            ));
        }
        check_width(width)
            .map_err(|_| format!("a width of {width} for feature {feature}: a vector has from 1 to {WIDEST} values"))
    }
}

impl Describe for EmbedLayer {
    const WORD: &'static str = "embed";

    fn parameters(&self, _input: Form) -> Vec<Own> {
        let own =
            |(at, of): (usize, &EmbeddedFeature)| Own { part: Some(at.to_string()), ..table(of.vocabulary, of.width) };
        self.features.iter().enumerate().map(own).collect()
    }

    fn output(&self, input: Form) -> Form {
        match input {
            Form::Features(features) => {
                Form::Features(features.saturating_sub(self.features.len()).saturating_add(self.width()))
            }
            other => other,
        }
    }

    fn check(&self, input: Form) -> Result<(), String> {
        let Form::Features(features) = input else {
            return Err("takes rows of features, as those of a table".into());
        };
        if self.features.is_empty() {
            return Err("no features to look up: list them, or leave the layer out".into());
        }
        self.features.iter().try_for_each(|own| own.check(features))?;
        let mut known = BTreeSet::new();
        if let Some(own) = self.features.iter().find(|own| !known.insert(own.feature)) {
            return Err(format!("looks up feature {} twice: every feature may be listed once", own.feature));
        }
        match self.output(input).values() {
            width if width > WIDEST => Err(format!("{width} values after it: the widest layer is {WIDEST}")),
            _ => Ok(()),
        }
    }

    fn write(&self, x: Value, _input: Form, forward: &mut Forward) -> Value {
        let mut inputs = vec![x];
        let mut column = |own: &EmbeddedFeature| {
            let (parameter, weights) = forward.parameter();
            inputs.push(weights);
            EmbedColumn { feature: narrow(own.feature), parameter, vocabulary: narrow(own.vocabulary) }
        };
        let columns = self.features.iter().map(&mut column).collect();
        forward.op(Embed { columns }, inputs)
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        let keys = [Self::FEATURE, Self::VOCABULARY, Self::WIDTH];
        let tables = words.tables(Self::WORD, keys, "{ feature = 3, vocabulary = 12, width = 8 }")?;
        let of = |[feature, vocabulary, width]: [usize; 3]| EmbeddedFeature { feature, vocabulary, width };
        Ok(EmbedLayer::new(tables.into_iter().map(of)))
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        let table = |own: &EmbeddedFeature| json!({ (Self::FEATURE): own.feature, (Self::VOCABULARY): own.vocabulary, (Self::WIDTH): own.width });
        words.insert(Self::WORD.into(), self.features.iter().map(table).collect());
    }
}
