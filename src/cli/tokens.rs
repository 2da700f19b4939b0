//! The options for reading a text.

use clap::Args;

use crate::preprocessing::Vocabulary;

/// Options for reading a text.
#[derive(Args, Clone, Default)]
pub(super) struct Tokens {
    /// The number of tokens in a row of a text [default: as many as the layers have positions for]
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<usize>,
    /// The tokens of a text: its characters, or its bytes [default: characters]
    #[arg(long, value_name = "characters|bytes")]
    pub vocabulary: Option<Vocabulary>,
}
