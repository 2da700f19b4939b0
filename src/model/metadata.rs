//! The metadata of a model's file: what it says of itself besides the tensors, as JSON.

use std::path::Path;

use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

use crate::activation::Activation;
use crate::error::Error;
use crate::loss::{Loss, Setting, Task};
use crate::named::Named;
use crate::network::{Layer, Network, activation_words};
use crate::preprocessing::{Columns, ImageShape, Scaling, check_target_scaling};

/// The one metadata key, a JSON object: with several, the file's bytes would depend on a hash map's order.
pub(crate) const METADATA: &str = "wgrad";

/// What the file says of itself, where it was written here.
pub(crate) fn about(path: &Path, bytes: &[u8]) -> Result<Option<Value>, Error> {
    let broken = |reason: String| Error::format(path, format!("its metadata: {reason}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| broken(error.to_string()))?;
    let about = header.metadata().as_ref().and_then(|entries| entries.get(METADATA));
    about.map(|about| serde_json::from_str(about).map_err(|error| broken(error.to_string()))).transpose()
}

/// Adds what the metadata says of a network: the activations of a chain of dense layers, and its dropouts, if any; of another network the list of layers.
pub(super) fn about_network(about: &mut Value, network: &Network) {
    if !network.is_chain() {
        about["layers"] = network.to_json();
        return;
    }
    let layers = network.layers();
    about["activations"] = layers.iter().map(|layer| layer.activation().to_string()).collect();
    if layers.iter().any(|layer| layer.dropout() > 0.0) {
        about["dropout"] = layers.iter().map(Layer::dropout).collect();
    }
}

/// The dropout of every layer; empty where the file says nothing of any.
pub(crate) fn dropouts(path: &Path, about: &Option<Value>) -> Result<Vec<f64>, Error> {
    let Some(rates) = about.as_ref().and_then(|about| about.get("dropout")) else { return Ok(Vec::new()) };
    let read = || rates.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    read().ok_or_else(|| Error::format(path, "its metadata: dropout must be a list of numbers"))
}

/// The activation of every layer.
pub(crate) fn activations_of(
    path: &Path,
    about: &Option<Value>,
    layers: usize,
    own: &[Activation],
) -> Result<Vec<Activation>, Error> {
    let broken = |reason: String| Error::format(path, format!("its metadata: {reason}"));
    let Some(about) = about else {
        let mut activations = vec![Activation::Relu; layers - 1];
        activations.push(Activation::Identity);
        return Ok(activations);
    };
    let words = about["activations"].as_array().filter(|words| words.len() == layers);
    let words = words.ok_or_else(|| broken(format!("it must name the activations of {layers} layers")))?;
    words
        .iter()
        .map(|word| activation_of(word.as_str().unwrap_or_default(), own))
        .collect::<Result<_, String>>()
        .map_err(broken)
}

/// The activation with this name, one of the user's `own` among them. The word is not parsed: a file's word must not have another file read.
pub(super) fn activation_of(word: &str, own: &[Activation]) -> Result<Activation, String> {
    let brought = own.iter().copied().find(|own| own.to_string() == word);
    brought.map_or_else(|| Activation::from_word(word).map_err(|error| error.to_string()), Ok)
}

/// That every function whose name the file has is one of wgrad's or was brought: of the user's own, a file has the name alone.
///
/// # Errors
///
/// [`Error::Format`] with all that are missing, and how they are brought.
pub(crate) fn check_brought(
    path: &Path,
    about: &Option<Value>,
    activations: &[Activation],
    losses: &[Loss],
) -> Result<(), Error> {
    let Some(about) = about else { return Ok(()) };
    let (own_activations, own_losses): (Vec<String>, Vec<&str>) =
        (activations.iter().map(ToString::to_string).collect(), losses.iter().map(Loss::name).collect());
    let of_chain = about["activations"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let words = of_chain.chain(activation_words(&about["layers"]));
    let unknown =
        words.filter(|word| Activation::from_word(word).is_err() && !own_activations.iter().any(|own| own == word));
    let loss = about["loss"]["kind"].as_str();
    let loss = loss.filter(|word| Loss::from_name(word).is_err() && !own_losses.contains(word));
    let mut missing: Vec<(&str, &str)> = unknown.map(|word| ("activation", word)).collect();
    missing.dedup();
    missing.extend(loss.map(|word| ("loss", word)));
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(|(kind, word)| format!("the {kind} \"{word}\"")).collect();
    // A name goes into a command only where it can be a file's.
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
    let file =
        |word: &str| if word.is_empty() || !word.chars().all(is_plain) { "FILE".into() } else { word.to_string() };
    let flags: Vec<String> = missing.iter().map(|(_, word)| format!("--wgsl {}.wgsl", file(word))).collect();
    let brought: Vec<&str> = own_activations.iter().map(String::as_str).chain(own_losses).collect();
    let brought =
        if brought.is_empty() { String::new() } else { format!("; what was brought is {}", brought.join(", ")) };
    Err(Error::format(
        path,
        format!(
            "it was trained with {}, written in WGSL by its user, and a model file has such a function's name alone: bring the text with {}, or \
             Model::read_with in a program{brought}",
            names.join(" and "),
            flags.join(" ")
        ),
    ))
}

/// A loss' word and its values.
pub(crate) fn loss_to_json(loss: &Loss) -> Value {
    let mut table = serde_json::json!({ "kind": loss.name() });
    for (name, setting) in loss.settings() {
        table[name] = match setting {
            Setting::Number(number) => number.into(),
            Setting::List(list) => list.into(),
        };
    }
    table
}

pub(crate) fn loss_of(path: &Path, about: &Option<Value>, own: &[Loss]) -> Result<Loss, Error> {
    let Some(table) = about.as_ref().and_then(|about| about["loss"].as_object()) else { return Ok(Loss::default()) };
    let broken = |reason: String| Error::format(path, format!("its metadata: {reason}"));
    let read = || {
        let word = table.get("kind").and_then(Value::as_str).unwrap_or_default();
        let brought = own.iter().find(|own| own.name() == word).cloned();
        let mut loss = brought.map_or_else(|| Loss::from_name(word), Ok)?;
        for (name, value) in table.iter().filter(|(name, _)| *name != "kind") {
            let list = value.as_array().map(|list| list.iter().filter_map(Value::as_f64).collect());
            loss.set(name, list.map_or_else(|| Setting::Number(value.as_f64().unwrap_or(f64::NAN)), Setting::List))?;
        }
        Ok(loss)
    };
    read().map_err(|error: Error| broken(error.to_string()))
}

/// The classes' names: as many as there are outputs, or none.
pub(crate) fn classes_of(path: &Path, about: &Option<Value>, outputs: usize) -> Result<Vec<String>, Error> {
    let Some(names) = about.as_ref().and_then(|about| about.get("classes")) else { return Ok(Vec::new()) };
    let read = || names.as_array()?.iter().map(|name| name.as_str().map(String::from)).collect::<Option<Vec<String>>>();
    read().filter(|names| names.len() == outputs.max(2) || names.len() == outputs).ok_or_else(|| {
        Error::format(path, format!("its metadata: classes must be a list of {outputs} names, one for each output"))
    })
}

/// The columns that the features are made of, where they are.
pub(crate) fn columns_of(path: &Path, about: &Option<Value>, network: &Network) -> Result<Option<Columns>, Error> {
    let Some(table) = about.as_ref().and_then(|about| about.get("columns")) else { return Ok(None) };
    let broken = |reason: String| Error::format(path, format!("its metadata: columns: {reason}"));
    let columns = Columns::deserialize(table).map_err(|error| broken(error.to_string()))?;
    columns.check(network.inputs(), network.outputs()).map_err(|error| broken(error.to_string()))?;
    Ok(Some(columns))
}

/// The form of the images, where there are any.
pub(crate) fn image_of(path: &Path, about: &Option<Value>, inputs: usize) -> Result<Option<ImageShape>, Error> {
    let Some(table) = about.as_ref().and_then(|about| about.get("image")) else { return Ok(None) };
    let shape = ImageShape::deserialize(table).ok().filter(|shape| shape.features() == Some(inputs));
    shape.map(Some).ok_or_else(|| {
        Error::format(
            path,
            format!("its metadata: image must have a height, a width and channels whose product is {inputs}"),
        )
    })
}

/// The scaling of the targets, where there is one.
pub(crate) fn target_scaling_of(
    path: &Path,
    about: &Option<Value>,
    loss: &Loss,
    outputs: usize,
) -> Result<Option<Scaling>, Error> {
    let Some(scaling) = scaling_of(path, about, "target_scaling", outputs)? else { return Ok(None) };
    let broken = |reason: String| Error::format(path, format!("its metadata: target_scaling: {reason}"));
    check_target_scaling(&scaling, outputs).map_err(|error| broken(error.to_string()))?;
    if loss.task() != Task::Numbers {
        return Err(broken(format!("the loss is {}, which is for no numbers to predict", loss.name())));
    }
    Ok(Some(scaling))
}

/// The scaling of the features, or of the targets, where there is one.
pub(crate) fn scaling_of(
    path: &Path,
    about: &Option<Value>,
    key: &str,
    count: usize,
) -> Result<Option<Scaling>, Error> {
    let Some(table) = about.as_ref().and_then(|about| about.get(key)) else { return Ok(None) };
    let read = |name: &str| table[name].as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    let (Some(shift), Some(scale)) = (read("shift"), read("scale")) else {
        return Err(Error::format(
            path,
            format!("its metadata: {key} must have two lists of numbers, shift and scale"),
        ));
    };
    let scaling = Scaling { shift, scale: scale.into_iter().map(|scale| scale as f32).collect() };
    scaling.check(count).map_err(|error| Error::format(path, format!("its metadata: {key}: {error}")))?;
    Ok(Some(scaling))
}
