//! `wgrad generate`.

use std::io::{IsTerminal, Write};

use super::opening::{self, predictor};
use super::options::Generate;
use super::output::{Output, clean_lines};
use crate::error::Error;
use crate::generation::Sampling;
use crate::preprocessing::Vocabulary;

pub(super) fn run(options: &Generate) -> Result<(), Error> {
    let output = Output::of(options.common.json);
    let model = opening::model(&options.model, &options.own)?;
    let Some(vocabulary) = model.vocabulary.clone() else {
        return Err(Error::Option(format!(
            "{} has no vocabulary of a text: wgrad generate continues texts with a model that was trained on one; in a program Predictor::generate takes tokens",
            options.model.display()
        )));
    };
    let prompt = match &options.drawn.prompt {
        Some(text) => vocabulary.encode(text).map_err(|error| Error::Option(format!("--prompt: {error}")))?,
        None => vocabulary.encode("\n").unwrap_or_else(|_| vec![0]),
    };
    let sampling =
        Sampling { temperature: options.drawn.temperature, top_k: options.drawn.top_k, seed: options.drawn.seed };
    let predictor = predictor(model, &options.common)?;
    // Nothing is written where nothing follows.
    predictor.check_generation(&prompt, sampling)?;
    let mut tokens = prompt.clone();
    let (mut decoder, is_terminal) = (vocabulary.decoder(), std::io::stdout().is_terminal());
    // Each character as soon as it is there: what could move a terminal's cursor is replaced there, and a file or another program gets the text's own bytes.
    let mut show = |token: u32| {
        let text = decoder.push(token);
        match (&vocabulary, is_terminal) {
            (_, true) => shown(clean_lines(&text).as_bytes()),
            (Vocabulary::Bytes, false) => shown(&[token as u8]),
            (Vocabulary::Characters(_), false) => shown(text.as_bytes()),
        }
    };
    if !output.json {
        prompt.iter().try_for_each(|&token| show(token))?;
    }
    predictor.generate(&prompt, options.drawn.tokens, sampling, |token| {
        tokens.push(token);
        if output.json { Ok(()) } else { show(token) }
    })?;
    if !output.json {
        // Of bytes that end within a character, a terminal shows a mark.
        let rest = decoder.finish();
        shown(if is_terminal { rest.as_bytes() } else { b"" })?;
        shown(b"\n")?;
    }
    output.event(serde_json::json!({ "event": "text", "text": vocabulary.decode(&tokens), "tokens": tokens }))
}

fn shown(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Error::Output)
}
