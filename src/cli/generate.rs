//! `wgrad generate`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::opening::{self, predictor};
use super::options::{Common, Own};
use super::output::{Output, clean_lines};
use crate::error::Error;
use crate::generation::Sampling;

#[derive(Args)]
pub(super) struct Generate {
    /// A model that was trained on a text
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// What the text begins with
    #[arg(long, value_name = "TEXT", default_value = "\n")]
    pub prompt: String,
    /// How many tokens follow it: characters, or bytes
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub tokens: usize,
    /// What logits are divided by: below 1, likely tokens become likelier; 0 always takes the likeliest
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    pub temperature: f64,
    /// Draw from this many of the likeliest tokens [default: all]
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// Decides every draw: the same seed gives the same text
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub own: Own,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(options: &Generate) -> Result<(), Error> {
    let output = Output { json: options.common.json };
    let model = opening::model(&options.model, &options.own)?;
    let Some(vocabulary) = model.vocabulary.clone() else {
        return Err(Error::Option(format!(
            "{} has no vocabulary of a text: wgrad generate continues texts with a model that was trained on one; in a program Predictor::generate takes tokens",
            options.model.display()
        )));
    };
    let prompt = vocabulary.encode(&options.prompt).map_err(|error| Error::Option(format!("--prompt: {error}")))?;
    let sampling = Sampling { temperature: options.temperature, top_k: options.top_k, seed: options.seed };
    let predictor = predictor(model, &options.common)?;
    let (mut decoder, mut written) = (vocabulary.decoder(), String::new());
    // For people, each character as soon as it is there.
    let mut show = |text: &str| -> Result<(), Error> {
        if output.json {
            written.push_str(text);
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(clean_lines(text).as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Output)
    };
    show(&options.prompt)?;
    predictor.generate(&prompt, options.tokens, sampling, |token| show(&decoder.push(token)))?;
    show(&decoder.finish())?;
    show("\n")?;
    output.event(serde_json::json!({ "event": "text", "text": written.trim_end_matches('\n') }))
}
