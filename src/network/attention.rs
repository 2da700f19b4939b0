//! Attention.

use serde_json::{Map, Value as Json};

use super::Form;
use super::dense::{each_place, of_places};
use super::forward::Forward;
use super::kind::{Describe, Own};
use super::parameter::{ParameterKind, RowOrder};
use super::words::{Words, add_bias, add_number, add_switch};
use crate::graph::{Attention, Value};
use crate::layout::Sequence;

/// Multi-head self-attention: each place of a sequence becomes a mean of what all places offer, weighted by how well their keys fit its query; then a matrix
/// joins the heads. `torch.nn.MultiheadAttention` with queries, keys and values from the same sequence. Vaswani et al., "Attention is all you need", NeurIPS
/// 2017.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AttentionLayer {
    /// Parts of the width that attend by themselves: they divide it.
    pub heads: usize,
    /// Whether a place attends to none that come after it.
    pub causal: bool,
    /// The probability, from 0 to below 1, that a place is left out of another's mean in a training step.
    pub weights_dropout: f64,
    /// Whether its matrices have biases.
    pub bias: bool,
}

impl AttentionLayer {
    /// Attention with this many heads, of every place to all, with biases and without dropout.
    pub fn new(heads: usize) -> Self {
        AttentionLayer { heads, causal: false, weights_dropout: 0.0, bias: true }
    }

    /// The attention of every place to itself and those before it.
    #[must_use]
    pub fn causal(self) -> Self {
        AttentionLayer { causal: true, ..self }
    }

    /// The attention that leaves a place out of another's mean with this probability in training.
    #[must_use]
    pub fn weights_dropout(self, probability: f64) -> Self {
        AttentionLayer { weights_dropout: probability, ..self }
    }

    /// The attention without biases.
    #[must_use]
    pub fn without_bias(self) -> Self {
        AttentionLayer { bias: false, ..self }
    }

    const CAUSAL: &'static str = "causal";
    const WEIGHTS_DROPOUT: &'static str = "weights_dropout";
    /// The most values of a head: an invocation has four places of them at hand.
    const WIDEST_HEAD: usize = 256;
}

impl Describe for AttentionLayer {
    const WORD: &'static str = "attention";

    fn parameters(&self, input: Form) -> Vec<Own> {
        let Form::Sequence(sequence) = input else { return vec![] };
        let (inputs, rows) = (sequence.width as usize, of_places(sequence));
        let of = |part, outputs, kind, rows: RowOrder| Own { part, inputs, outputs, kind, bias: self.bias, rows };
        vec![
            of(None, 3 * inputs, ParameterKind::Projection, rows),
            of(Some("out_proj".into()), inputs, ParameterKind::Matrix, rows),
        ]
    }

    fn check(&self, input: Form) -> Result<(), String> {
        let Form::Sequence(Sequence { width, .. }) = input else {
            return Err("takes a sequence: attention follows an embedding".into());
        };
        let (heads, width) = (self.heads, width as usize);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(format!("{heads} heads: they must divide its width of {width}"));
        }
        if width / heads > Self::WIDEST_HEAD {
            return Err(format!(
                "heads of {} values: at most {} are allowed, so take more heads",
                width / heads,
                Self::WIDEST_HEAD
            ));
        }
        match self.weights_dropout {
            dropout if (0.0..1.0).contains(&dropout) => Ok(()),
            dropout => Err(format!("a weights_dropout of {dropout}: it must be from 0 to below 1")),
        }
    }

    fn write(&self, x: Value, input: Form, forward: &mut Forward) -> Value {
        let Form::Sequence(sequence) = input else { return x };
        let width = sequence.width as usize;
        let projected = each_place(x, sequence, 3 * width, self.bias, forward);
        let dropout = if forward.is_training() { self.weights_dropout } else { 0.0 };
        let &AttentionLayer { heads, causal, .. } = self;
        // The next parameter's number is no other dropout's: those after the layer have that of its first.
        let number = forward.next_parameter();
        let trains = forward.is_training();
        let continues = forward.continues();
        let op = Attention { heads: heads as u32, causal, dropout, number, trains, continues };
        let attended = forward.op(op, vec![projected]);
        each_place(attended, sequence, width, self.bias, forward)
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        Ok(AttentionLayer {
            heads: words.count(Self::WORD)?,
            causal: words.switch(Self::CAUSAL)?,
            weights_dropout: words.number_or(Self::WEIGHTS_DROPOUT, 0.0)?,
            bias: words.bias()?,
        })
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.heads.into());
        add_switch(words, Self::CAUSAL, self.causal);
        add_number(words, Self::WEIGHTS_DROPOUT, self.weights_dropout, 0.0);
        add_bias(words, self.bias);
    }
}
