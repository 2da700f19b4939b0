//! `wgrad inspect`.

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

use super::import::image_of;
use super::opening::{self, own_functions};
use super::options::Inspect;
use super::output::{Output, clean, grouped};
use super::source::output_word;
use super::summary::sides;
use crate::error::Error;
use crate::loss::Loss;
use crate::model::{Model, loss_to_json};
use crate::named::counted;
use crate::network::{Form, Summary};
use crate::preprocessing::Vocabulary;

pub(super) fn run(options: &Inspect) -> Result<(), Error> {
    let output = Output::of(options.json);
    let path: &Path = &options.file;
    let (model, contents) = if path.extension().is_some_and(|ending| ending == "onnx") {
        let losses: Vec<Loss> = own_functions(&options.own)?.1;
        let model = Model::read_onnx_with(path, &losses)?;
        (Ok(Model { image: image_of(&model), ..model }), Contents::default())
    } else {
        let contents = Contents::read(path)?;
        (opening::model(path, &options.own), contents)
    };
    output.event(event(path, &model, &contents))?;
    match &model {
        Ok(model) => output.text(describe(model))?,
        Err(reason) => output.text(format_args!("it cannot be read as a model: {reason}"))?,
    }
    if contents.tensors.is_empty() { Ok(()) } else { output.text(contents.describe()) }
}

fn event(path: &Path, model: &Result<Model, Error>, contents: &Contents) -> Value {
    let mut event = json!({ "event": "contents", "file": path.display().to_string() });
    match model {
        Ok(model) => {
            event["layers"] = model.network.summary().iter().map(to_json).collect();
            event["parameters"] = model.network.parameters().into();
            event["loss"] = loss_to_json(&model.loss);
            event["classes"] = Value::Array(Vec::new());
            event[output_word(model)] = model.classes.clone().into();
            event["image"] = json!(model.image);
            if let Form::Tokens(length) = model.network.input() {
                event["tokens"] = length.into();
                event["vocabulary"] = json!(model.vocabulary.as_ref().map(Vocabulary::to_file));
            }
            for (name, scaling) in [("scaling", &model.scaling), ("target_scaling", &model.target_scaling)] {
                event[name] =
                    scaling.as_ref().map_or(Value::Null, |by| json!({ "shift": by.shift, "scale": by.scale }));
            }
        }
        Err(reason) => event["not_a_model"] = reason.to_string().into(),
    }
    let tensor =
        |(name, kind, shape): &(String, String, Vec<usize>)| json!({ "name": name, "type": kind, "shape": shape });
    event["tensors"] = contents.tensors.iter().map(tensor).collect();
    event["metadata"] = Value::Object(contents.metadata.clone());
    event
}

/// A layer for programs.
fn to_json(layer: &Summary) -> Value {
    json!({
        "name": layer.name, "kind": layer.kind, "inputs": layer.input.values(), "outputs": layer.output.values(),
        "input": sides(layer.input), "shape": sides(layer.output), "activation": layer.activation.to_string(),
        "dropout": layer.dropout, "parameters": layer.weights, "statistics": layer.statistics,
    })
}

fn describe(model: &Model) -> String {
    let rows = model.network.summary();
    let wide = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(5);
    let mut text = format!(
        "{:<wide$}  {:<16}{:>12}{:>12}  {:<12}{:>8}{:>14}",
        "layer", "kind", "in", "out", "activation", "dropout", "parameters"
    );
    for Summary { name, kind, input, output, activation, dropout, weights, .. } in rows {
        let weights = if weights == 0 { "-".into() } else { grouped(weights as u64) };
        let [input, output, activation] = [input.to_string(), output.to_string(), activation.to_string()];
        let line =
            format!("\n{name:<wide$}  {kind:<16}{input:>12}{output:>12}  {activation:<12}{dropout:>8}{weights:>14}");
        text += line.trim_end_matches(' ');
    }
    text += &format!("\n{} parameters", grouped(model.network.parameters() as u64));
    text += &format!("\nloss {}", loss_to_json(&model.loss));
    if !model.classes.is_empty() {
        text += &format!("\n{} {}", output_word(model), clean(&model.classes.join(", ")));
    }
    if let Some(image) = model.image {
        text += &format!("\ninputs are {image} images");
    }
    if let Form::Tokens(length) = model.network.input() {
        text += &format!("\ninputs are {}", counted(length, "token"));
    }
    match &model.vocabulary {
        Some(characters @ Vocabulary::Characters(_)) => {
            text += &format!(", of {characters}: {}", visible(&characters.to_file()));
        }
        Some(bytes) => text += &format!(", of {bytes}"),
        None => {}
    }
    match (&model.scaling, model.image) {
        (Some(scaling), Some(image)) if scaling.is_of_channels(image.channels) => {
            text += &format!(
                "\npixels are shifted and scaled, each of {} by its own values",
                counted(image.channels, "channel")
            );
        }
        (Some(_), _) => {
            text += &format!("\nfeatures are shifted and scaled, each of {} by its own values", model.network.inputs());
        }
        (None, _) => {}
    }
    if model.target_scaling.is_some() {
        text += "\noutputs are scaled targets; predictions are in the targets' own units";
    }
    text
}

/// A text in one line: what ends a line or moves the cursor as a program writes it, `\n`.
fn visible(text: &str) -> String {
    let of = |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() };
    text.chars().map(of).collect()
}

/// The tensors of a safetensors file that is no model.
#[derive(Default)]
struct Contents {
    /// Name, element type and shape.
    tensors: Vec<(String, String, Vec<usize>)>,
    metadata: Map<String, Value>,
}

impl Contents {
    fn read(path: &Path) -> Result<Self, Error> {
        let bytes = crate::files::read_whole(path)?;
        let file = crate::model::parse(path, &bytes)?;
        let mut tensors: Vec<_> = file
            .iter()
            .map(|(name, tensor)| (name.to_string(), tensor.dtype().to_string(), tensor.shape().to_vec()))
            .collect();
        tensors.sort();
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| Error::format(path, error.to_string()))?;
        let entries = header.metadata().iter().flatten();
        let value = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| text.clone().into());
        Ok(Contents { tensors, metadata: entries.map(|(key, text)| (key.clone(), value(text))).collect() })
    }

    /// The tensors, and the metadata that the model's description does not show.
    fn describe(&self) -> String {
        let shown = [
            "activations",
            "dropout",
            "inputs",
            "layers",
            "loss",
            "classes",
            "scaling",
            "target_scaling",
            "vocabulary",
        ];
        let of_model = self.metadata.get("wgrad").and_then(Value::as_object);
        let of_model = of_model.into_iter().flatten().filter(|(key, _)| !shown.contains(&key.as_str()));
        let of_others = self.metadata.iter().filter(|(key, value)| *key != "wgrad" || !value.is_object());
        let metadata: Vec<String> =
            of_model.chain(of_others).map(|(key, value)| format!("\n  {} {value}", clean(key))).collect();
        let tensor =
            |(name, kind, shape): &(String, String, Vec<usize>)| format!("\n  {} {kind} {shape:?}", clean(name));
        let tensors: Vec<String> = self.tensors.iter().map(tensor).collect();
        let titled = |title: &str, lines: &[String]| (!lines.is_empty()).then(|| title.to_string() + &lines.concat());
        let parts = [titled("tensors", &tensors), titled("metadata", &metadata)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}
