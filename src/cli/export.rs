//! `wgrad export`.

use serde_json::json;

use super::options::Export;
use super::output::{Output, grouped};
use crate::error::Error;

pub(super) fn run(options: &Export) -> Result<(), Error> {
    let output = Output { json: options.json };
    super::check_ending(&options.output, "onnx")?;
    let model = super::model(&options.model, &options.own)?;
    model.write_onnx(&options.output, options.softmax)?;
    let (path, parameters) = (options.output.display(), model.network.parameters());
    output.event(json!({ "event": "exported", "file": path.to_string(), "parameters": parameters }))?;
    output.text(format_args!("{path}: {}, {} parameters", super::inspect::widths(&model), grouped(parameters as u64)))
}
