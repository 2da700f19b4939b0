//! `wgrad export`.

use serde_json::json;

use super::opening::{self, check_ending};
use super::options::Export;
use super::output::{Output, grouped};
use super::source::output_word;
use crate::error::Error;
use crate::layout::Image;
use crate::model::Model;
use crate::network::Form;

/// The most features that a note names.
const MOST_NAMES: usize = 20;

pub(super) fn run(options: &Export) -> Result<(), Error> {
    let output = Output::of(options.json);
    check_ending(&options.output, "onnx")?;
    let model = opening::model(&options.model, &options.own)?;
    model.write_onnx(&options.output, options.softmax)?;
    let (path, parameters) = (options.output.display(), model.network.parameters());
    let notes = left_out(&model);
    output.event(json!({ "event": "exported", "file": path.to_string(), "parameters": parameters, "notes": notes }))?;
    notes.iter().try_for_each(|note| output.text(note))?;
    output.text(format_args!("{path}: {}, {} parameters", model.network.shape(), grouped(parameters as u64)))
}

/// What the model keeps and an ONNX file has no place for, a sentence each.
fn left_out(model: &Model) -> Vec<String> {
    let inputs = model.network.inputs();
    let columns = model.columns.as_ref().map(|columns| {
        let names = columns.feature_names();
        let more = if names.len() > MOST_NAMES { ", …" } else { "" };
        format!(
            "the table's columns are left out, as ONNX has no place for them: x is {inputs} numbers a row, {}{more}; a model that is imported from this \
             file takes no words either",
            names[..names.len().min(MOST_NAMES)].join(", ")
        )
    });
    let pixels = if model.bytes { "pixels divided by 255" } else { "pixels as they were in the training set" };
    let image = match (model.network.input(), &model.image) {
        (Form::Image(Image { height, width, channels }), _) => {
            Some(format!("x is images with their channels first, [batch, {channels}, {height}, {width}], {pixels}"))
        }
        (Form::Tokens(length), _) => Some(format!("x is tokens, [batch, {length}], as whole numbers of 64 bits")),
        (_, Some(shape)) => {
            Some(format!("the images' shape, {shape}, is left out: x is {inputs} numbers a row, the {pixels}"))
        }
        (_, None) => None,
    };
    let classes = (!model.classes.is_empty()).then(|| {
        format!(
            "the names of the {} are in the file's metadata under \"wgrad\", as the graph has no place for them",
            output_word(model)
        )
    });
    let vocabulary = model.vocabulary.as_ref().map(|_| {
        "the vocabulary is in the file's metadata under \"wgrad\", as the graph has no place for it".to_string()
    });
    columns.into_iter().chain(image).chain(classes).chain(vocabulary).collect()
}
