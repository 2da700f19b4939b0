//! Options of a text that a model continues.

use clap::Args;

/// What a text begins with, and how what follows is drawn.
#[derive(Args)]
pub(super) struct Drawn {
    /// What the text begins with [default: a line break, or the first token where no text that it learned from had one]
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// How many tokens follow it: characters, or bytes
    #[arg(long, value_name = "N", default_value_t = 300, allow_negative_numbers = true)]
    pub tokens: usize,
    /// What logits are divided by: below 1, likely tokens become likelier; 0 always takes the likeliest
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Draw from this many of the likeliest tokens [default: all]
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub top_k: Option<usize>,
    /// Decides every draw: the same seed gives the same text
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
}
