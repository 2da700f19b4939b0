//! The metadata of a model's file: what it says of itself besides the tensors, as JSON.

use std::fmt::Display;
use std::path::Path;

use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

use crate::activation::Activation;
use crate::error::Error;
use crate::files::json;
use crate::layout::Image;
use crate::loss::{Loss, Setting, Task};
use crate::named::Named;
use crate::network::{Form, Layer, Network, activation_words};
use crate::preprocessing::{Columns, ImageShape, Scaling, Vocabulary, check_target_scaling, twice};

/// The one metadata key, a JSON object: with several, the file's bytes would depend on a hash map's order.
pub(crate) const METADATA: &str = "wgrad";

/// What is wrong with a file's metadata.
pub(super) fn broken(path: &Path, reason: impl Display) -> Error {
    Error::format(path, format!("its metadata: {reason}"))
}

/// What the file says of itself, where it was written here.
pub(crate) fn about(path: &Path, bytes: &[u8]) -> Result<Option<Value>, Error> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| broken(path, error))?;
    let about = header.metadata().as_ref().and_then(|entries| entries.get(METADATA));
    about.map(|about| json::from_str(about).map_err(|error| broken(path, error))).transpose()
}

/// The value of a key that the metadata has.
pub(super) fn entry<'a>(about: &'a Option<Value>, key: &str) -> Option<&'a Value> {
    about.as_ref().and_then(|about| about.get(key))
}

/// Adds what the metadata says of a network: the activations of a chain of dense layers, and its dropouts, if any; of another network the list of layers
/// and its inputs, a number of features or the `[height, width, channels]` of an image.
pub(super) fn about_network(about: &mut Value, network: &Network) {
    if !network.is_chain() {
        about["inputs"] = inputs_to_json(network);
        about["layers"] = network.to_json();
        return;
    }
    let layers = network.layers();
    about["activations"] = layers.iter().map(|layer| layer.activation().to_string()).collect();
    if layers.iter().any(|layer| layer.dropout() > 0.0) {
        about["dropout"] = layers.iter().map(Layer::dropout).collect();
    }
}

/// A network's input: a number of features, or the `[height, width, channels]` of an image.
pub(super) fn inputs_to_json(network: &Network) -> Value {
    match network.input() {
        Form::Image(Image { height, width, channels }) => serde_json::json!([height, width, channels]),
        _ => network.inputs().into(),
    }
}

/// A scaling, of features or of targets.
pub(super) fn scaling_to_json(Scaling { shift, scale }: &Scaling) -> Value {
    serde_json::json!({ "shift": shift, "scale": scale })
}

/// The input of the network, where the file says it.
pub(super) fn inputs_of(path: &Path, about: &Option<Value>) -> Result<Option<Form>, Error> {
    let form = |value: &Value| match value.as_array() {
        None => Some(Form::Features(value.as_u64()?.try_into().ok()?)),
        Some(sides) => {
            let sides: Vec<u32> = sides.iter().map(|side| side.as_u64()?.try_into().ok()).collect::<Option<_>>()?;
            let &[height, width, channels] = &sides[..] else { return None };
            Some(Form::Image(Image { height, width, channels }))
        }
    };
    let read = |value: &Value| {
        form(value).ok_or_else(|| {
            let what = "a whole number, the features of a row, or the height, the width and the channels of an image";
            broken(path, format!("inputs is {value}: it must be {what}"))
        })
    };
    entry(about, "inputs").map(read).transpose()
}

/// The dropout of every layer, where the file says it.
pub(super) fn dropouts(path: &Path, about: &Option<Value>) -> Result<Option<Vec<f64>>, Error> {
    let rates = |rates: &Value| {
        let read = rates.as_array().and_then(|rates| rates.iter().map(Value::as_f64).collect());
        read.ok_or_else(|| broken(path, "dropout must be a list of numbers"))
    };
    entry(about, "dropout").map(rates).transpose()
}

/// The activation of every layer of a chain.
pub(super) fn activations_of(
    path: &Path,
    about: &Option<Value>,
    layers: usize,
    own: &[Activation],
) -> Result<Vec<Activation>, Error> {
    if about.is_none() {
        let mut activations = vec![Activation::Relu; layers - 1];
        activations.push(Activation::Identity);
        return Ok(activations);
    }
    let words = entry(about, "activations").and_then(Value::as_array);
    let words = words.filter(|words| words.len() == layers).ok_or_else(|| {
        broken(
            path,
            format!("it must name the activations of {layers} layers: activations must be a list of {layers} words"),
        )
    })?;
    let activation = |word: &Value| match word.as_str() {
        Some(word) => activation_of(word, own),
        None => Err(format!("activations has {word}: it must be a list of words")),
    };
    words.iter().map(activation).collect::<Result<_, String>>().map_err(|reason| broken(path, reason))
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

/// The loss; the default one where the file says nothing of any.
pub(crate) fn loss_of(path: &Path, about: &Option<Value>, own: &[Loss]) -> Result<Loss, Error> {
    let Some(said) = entry(about, "loss") else { return Ok(Loss::default()) };
    let word = said.get("kind").and_then(Value::as_str);
    let (Some(table), Some(word)) = (said.as_object(), word) else {
        return Err(broken(path, format!("loss is {said}: it must be a table with the loss' name, its kind")));
    };
    let brought = own.iter().find(|own| own.name() == word).cloned();
    let mut loss = brought.map_or_else(|| Loss::from_name(word), Ok).map_err(|error: Error| broken(path, error))?;
    for (name, value) in table.iter().filter(|(name, _)| *name != "kind") {
        let list = || value.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
        let setting = value.as_f64().map(Setting::Number).or_else(|| list().map(Setting::List));
        let setting = setting.ok_or_else(|| {
            broken(path, format!("the loss' {name} is {value}: it must be a number or a list of numbers"))
        })?;
        loss.set(name, setting).map_err(|error| broken(path, error))?;
    }
    Ok(loss)
}

/// The classes' names: as many as there are outputs, or none.
pub(crate) fn classes_of(path: &Path, about: &Option<Value>, outputs: usize) -> Result<Vec<String>, Error> {
    let Some(names) = entry(about, "classes") else { return Ok(Vec::new()) };
    let read = || names.as_array()?.iter().map(|name| name.as_str().map(String::from)).collect::<Option<Vec<String>>>();
    let names = read()
        .filter(|names| names.len() == outputs.max(2) || names.len() == outputs)
        .ok_or_else(|| broken(path, format!("classes must be a list of {outputs} names, one for each output")))?;
    match twice(&names) {
        Some(name) => {
            Err(broken(path, format!("classes has \"{name}\" twice: every class must have a name of its own")))
        }
        None => Ok(names),
    }
}

/// The columns that the features are made of, where they are; `classes` are those of [`classes_of`].
pub(crate) fn columns_of(
    path: &Path,
    about: &Option<Value>,
    network: &Network,
    classes: &[String],
) -> Result<Option<Columns>, Error> {
    let Some(table) = entry(about, "columns") else { return Ok(None) };
    let columns = Columns::deserialize(table).map_err(|error| broken(path, format!("columns: {error}")))?;
    let fits = columns.check(network.inputs(), network.outputs()).and_then(|()| columns.check_classes(classes));
    fits.map_err(|error| broken(path, format!("columns: {error}")))?;
    Ok(Some(columns))
}

/// The form of the images, where there are any: that of the network's own input, where it takes images.
pub(crate) fn image_of(path: &Path, about: &Option<Value>, input: Form) -> Result<Option<ImageShape>, Error> {
    let Some(table) = entry(about, "image") else { return Ok(None) };
    let shape = ImageShape::deserialize(table).ok().filter(|shape| shape.features() == Some(input.values()));
    let shape = shape.ok_or_else(|| {
        let product = input.values();
        broken(path, format!("image must have a height, a width and channels whose product is {product}"))
    })?;
    match input {
        Form::Image(_) if shape.to_string() != input.to_string() => Err(broken(
            path,
            format!("image is {shape}, and the network takes images of {input}: both must be the same"),
        )),
        _ => Ok(Some(shape)),
    }
}

/// Whether the training set's features were bytes, where the file says so.
pub(crate) fn bytes_of(path: &Path, about: &Option<Value>) -> Result<bool, Error> {
    let Some(said) = entry(about, "bytes") else { return Ok(false) };
    said.as_bool().ok_or_else(|| broken(path, format!("bytes is {said}: it must be true or false")))
}

/// The tokens of the training text, where there was one: no more than the network's embedding has.
pub(crate) fn vocabulary_of(
    path: &Path,
    about: &Option<Value>,
    network: &Network,
) -> Result<Option<Vocabulary>, Error> {
    let Some(said) = entry(about, "vocabulary") else { return Ok(None) };
    let text = said.as_str().ok_or_else(|| {
        broken(path, format!("vocabulary is {said}: it must be \"bytes\", or a text of all characters"))
    })?;
    let wrong = |reason: String| broken(path, format!("vocabulary: {reason}"));
    let vocabulary = Vocabulary::from_file(text).map_err(wrong)?;
    check_vocabulary(&vocabulary, network).map_err(wrong)?;
    Ok(Some(vocabulary))
}

/// That a network has an embedding for all tokens of a text.
pub(crate) fn check_vocabulary(vocabulary: &Vocabulary, network: &Network) -> Result<(), String> {
    match network.vocabulary() {
        None => Err(format!("{vocabulary}, and the network has no embedding: leave it out")),
        Some(known) if vocabulary.len() > known => Err(format!(
            "{vocabulary}, and the network's embedding has a vocabulary of {known}: it must be at least that"
        )),
        Some(_) => Ok(()),
    }
}

/// The scaling of the targets, where there is one.
pub(crate) fn target_scaling_of(
    path: &Path,
    about: &Option<Value>,
    loss: &Loss,
    outputs: usize,
) -> Result<Option<Scaling>, Error> {
    let Some(scaling) = scaling_of(path, about, "target_scaling", outputs)? else { return Ok(None) };
    check_target_scaling(&scaling, outputs).map_err(|error| broken(path, format!("target_scaling: {error}")))?;
    if loss.task() != Task::Numbers {
        let reason = format!("target_scaling: the loss is {}, which is for no numbers to predict", loss.name());
        return Err(broken(path, reason));
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
    let Some(table) = entry(about, key) else { return Ok(None) };
    let read = |name: &str| table[name].as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    let (Some(shift), Some(scale)) = (read("shift"), read("scale")) else {
        return Err(broken(path, format!("{key} must have two lists of numbers, shift and scale")));
    };
    let scaling = Scaling { shift, scale: scale.into_iter().map(|scale| scale as f32).collect() };
    scaling.check(count).map_err(|error| broken(path, format!("{key}: {error}")))?;
    Ok(Some(scaling))
}
