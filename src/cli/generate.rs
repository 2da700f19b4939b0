//! `wgrad generate`.

use std::io::Write;

use super::opening::{self, predictor};
use super::options::Generate;
use super::output::{Output, clean_lines};
use crate::error::Error;
use crate::generation::Sampling;

pub(super) fn run(options: &Generate) -> Result<(), Error> {
    let output = Output { json: options.common.json };
    let model = opening::model(&options.model, &options.own)?;
    let Some(vocabulary) = model.vocabulary.clone() else {
        return Err(Error::Option(format!(
            "{} has no vocabulary of a text: wgrad generate continues texts with a model that was trained on one; in a program Predictor::generate takes tokens",
            options.model.display()
        )));
    };
    let prompt =
        vocabulary.encode(&options.drawn.prompt).map_err(|error| Error::Option(format!("--prompt: {error}")))?;
    let sampling =
        Sampling { temperature: options.drawn.temperature, top_k: options.drawn.top_k, seed: options.drawn.seed };
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
    // Nothing is written where nothing follows.
    predictor.check_generation(&prompt, sampling)?;
    show(&options.drawn.prompt)?;
    predictor.generate(&prompt, options.drawn.tokens, sampling, |token| show(&decoder.push(token)))?;
    show(&decoder.finish())?;
    if !output.json {
        show("\n")?;
    }
    output.event(serde_json::json!({ "event": "text", "text": written }))
}
