//! Vectors for tokens, and for places.

use serde_json::{Map, Value as Json};

use super::Form;
use super::forward::Forward;
use super::kind::{Describe, Own};
use super::layer::{WIDEST, check_width};
use super::parameter::{ParameterKind, RowOrder};
use super::window::narrow;
use super::words::Words;
use crate::graph::{Embedding, Positions, Tied, Value};
use crate::layout::Sequence;

/// A vector for each token of the input, looked up in a table that is learned: `torch.nn.Embedding`. Bengio et al., "A neural probabilistic language model",
/// JMLR 3 (2003). It is the first layer of a network of tokens.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EmbeddingLayer {
    /// Values of a vector.
    pub width: usize,
    /// The number of tokens that there are: from 0 to before this.
    pub vocabulary: usize,
}

impl EmbeddingLayer {
    /// Vectors of this many values for a vocabulary of this many tokens.
    pub fn new(width: usize, vocabulary: usize) -> Self {
        EmbeddingLayer { width, vocabulary }
    }

    const VOCABULARY: &'static str = "vocabulary";
}

/// A table with a vector for each of `rows`.
pub(super) fn table(rows: usize, width: usize) -> Own {
    let order = RowOrder::features(rows);
    Own { part: None, inputs: rows, outputs: width, kind: ParameterKind::Embedding, bias: false, rows: order }
}

impl Describe for EmbeddingLayer {
    const WORD: &'static str = "embedding";

    fn parameters(&self, _input: Form) -> Vec<Own> {
        vec![table(self.vocabulary, self.width)]
    }

    fn output(&self, input: Form) -> Form {
        match input {
            Form::Tokens(length) => Form::Sequence(Sequence { length: narrow(length), width: narrow(self.width) }),
            other => other,
        }
    }

    fn check(&self, input: Form) -> Result<(), String> {
        let vocabulary = self.vocabulary;
        match input {
            Form::Tokens(_) if (1..=WIDEST).contains(&vocabulary) => check_width(self.width),
            Form::Tokens(_) => Err(format!("a vocabulary of {vocabulary}: there must be from 1 to {WIDEST} tokens")),
            _ => Err("takes tokens: an embedding is a network's first layer, and the network's input must be described as tokens".into()),
        }
    }

    fn write(&self, x: Value, _input: Form, forward: &mut Forward) -> Value {
        let (parameter, weights) = forward.parameter();
        let vocabulary = narrow(self.vocabulary);
        forward.remember_table(Tied { parameter, vocabulary }, weights);
        forward.op(Embedding { parameter, vocabulary }, vec![x, weights])
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        Ok(EmbeddingLayer { width: words.count(Self::WORD)?, vocabulary: words.count(Self::VOCABULARY)? })
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.width.into());
        words.insert(Self::VOCABULARY.into(), self.vocabulary.into());
    }
}

/// A vector for each place of a sequence, which is learned and added: Gehring et al., "Convolutional sequence to sequence learning", ICML 2017.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PositionsLayer {
    /// How many places have a vector: at least those of a sequence.
    pub length: usize,
}

impl PositionsLayer {
    /// Vectors for sequences of at most this many places.
    pub fn new(length: usize) -> Self {
        PositionsLayer { length }
    }
}

impl Describe for PositionsLayer {
    const WORD: &'static str = "positions";

    fn parameters(&self, input: Form) -> Vec<Own> {
        vec![table(self.length, input.channels())]
    }

    fn check(&self, input: Form) -> Result<(), String> {
        let length = self.length;
        match input {
            Form::Sequence(sequence) if (sequence.length as usize) > length => {
                Err(format!("positions for {length} places: there must be one for each place of a sequence"))
            }
            Form::Sequence(_) => check_width(length),
            _ => Err("takes a sequence: positions follow an embedding".into()),
        }
    }

    fn write(&self, x: Value, _input: Form, forward: &mut Forward) -> Value {
        let (parameter, weights) = forward.parameter();
        let continues = forward.continues().is_some();
        forward.op(Positions { parameter, length: narrow(self.length), continues }, vec![x, weights])
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        words.count(Self::WORD).map(PositionsLayer::new)
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.length.into());
    }
}
