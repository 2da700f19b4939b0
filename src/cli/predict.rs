//! `wgrad predict`.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::json;

use super::options::Predict;
use super::output::Output;
use super::source;
use crate::{Dataset, Error, Loss};

pub(super) fn run(options: &Predict) -> Result<(), Error> {
    let output = Output { json: options.common.json };
    let model = super::model(&options.model, &options.own)?;
    let path = Path::new(&options.input);
    let is_file = options.input != "mnist" && path.is_file();
    let set = if is_file { Dataset::inputs_from_safetensors(path)? } else { source::testing(&options.input)? };
    let rows = match &options.rows {
        Some(words) => parse_rows(words)?,
        None if is_file => 0..=set.rows() - 1,
        None => 0..=0,
    };
    if *rows.end() >= set.rows() {
        return Err(Error::Option(format!(
            "--rows {}-{}: the input has {} rows, and the last is {}",
            rows.start(),
            rows.end(),
            set.rows(),
            set.rows() - 1
        )));
    }
    let chosen = set.select(rows.clone())?;
    chosen.check_width(&model.network)?;

    let outputs = model.network.outputs();
    let is_classifier = matches!(model.loss, Loss::SoftmaxCrossEntropy { .. } | Loss::KlDivergence);
    let is_probability = is_classifier || matches!(model.loss, Loss::SigmoidCrossEntropy { .. });
    let probabilities = super::open(model, &options.common)?.predict(&chosen)?;
    for (row, values) in rows.zip(probabilities.chunks_exact(outputs)) {
        let class = (0..outputs).fold(0, |best, c| if values[c] > values[best] { c } else { best });
        let key = if is_probability { "probabilities" } else { "outputs" };
        let mut event = json!({ "event": "prediction", "row": row, key: values });
        if is_classifier {
            event["class"] = json!(class);
            output.text(format_args!("row {row}: class {class}"))?;
        } else {
            output.text(format_args!("row {row}:"))?;
        }
        output.event(event)?;
        for (at, value) in values.iter().enumerate() {
            let bar = if is_probability { "█".repeat((30.0 * value).round() as usize) } else { String::new() };
            output.text(format_args!("  {at:>4}  {value:.6}  {bar}"))?;
        }
    }
    Ok(())
}

/// `7`, or `7-9`.
fn parse_rows(words: &str) -> Result<RangeInclusive<usize>, Error> {
    let (first, last) = words.split_once('-').unwrap_or((words, words));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => {
            Err(Error::Option(format!("--rows {words}: write one row, as 7, or the first and last of several, as 7-9")))
        }
    }
}
