//! What is minimized.

use crate::named::{Named, by_word};

/// A loss, computed from logits and averaged over the rows of a minibatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Loss {
    /// `log Σ_c exp z_c − z_y` for class index y: `torch.nn.CrossEntropyLoss`.
    #[default]
    SoftmaxCrossEntropy,
}

impl Named for Loss {
    const WHAT: &'static str = "a loss";
    const WORDS: &'static [(&'static str, Self)] = &[("softmax-cross-entropy", Loss::SoftmaxCrossEntropy)];
}
by_word!(Loss);

impl Loss {
    /// The shader module with its `row_loss`.
    pub(crate) fn module(self) -> &'static str {
        match self {
            Loss::SoftmaxCrossEntropy => "loss/softmax_cross_entropy",
        }
    }
}
