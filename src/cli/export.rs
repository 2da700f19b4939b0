//! `wgrad export`.

use serde_json::json;

use super::opening::{self, check_ending};
use super::options::Export;
use super::output::{Output, grouped};
use crate::error::Error;

pub(super) fn run(options: &Export) -> Result<(), Error> {
    let output = Output { json: options.json };
    check_ending(&options.output, "onnx")?;
    let model = opening::model(&options.model, &options.own)?;
    model.write_onnx(&options.output, options.softmax)?;
    let (path, parameters) = (options.output.display(), model.network.parameters());
    output.event(json!({ "event": "exported", "file": path.to_string(), "parameters": parameters }))?;
    output.text(format_args!("{path}: {}, {} parameters", model.network.shape(), grouped(parameters as u64)))
}
