//! Models in safetensors files, with the names and layout of `torch.nn.Sequential`: `0.weight` `[out, in]`, `0.bias`,
//! `2.weight`, …; the numbers between are the activations, and the dropouts where there are any.

mod onnx;
mod state_dict;

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::loss::{Loss, Setting, Task};
use crate::named::Named;
use crate::network::{Activation, Network};
use crate::preprocessing::{Columns, ImageShape, Origin, Scaling, check_target_scaling};
use crate::weights::{LayerWeights, Weights};

/// The only metadata key; its value is a JSON object. With several keys, the file's bytes would depend on a hash map's order.
const METADATA: &str = "wgrad";

/// A network with its weights and everything else that a model file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The layers.
    pub network: Network,
    /// The layers' weights.
    pub weights: Weights,
    /// The loss that the network was trained with, which gives the outputs their meaning.
    pub loss: Loss,
    /// The names of the classes: one for each output, or two for a single output that is a yes or no; empty if the classes have no names.
    pub classes: Vec<String>,
    /// The scaling of the features before the first layer, if any.
    pub scaling: Option<Scaling>,
    /// The scaling with which the network learned its targets, if any; they are numbers then. A prediction in their own units is
    /// `output / scale + shift`.
    pub target_scaling: Option<Scaling>,
    /// The encoding of a table's columns, if the features are made from a table.
    pub columns: Option<Columns>,
    /// The shape of the images, if the features are the pixels of images.
    pub image: Option<ImageShape>,
}

impl Model {
    /// A model without class names and without preprocessing.
    pub fn new(network: Network, weights: Weights, loss: Loss) -> Self {
        let (scaling, target_scaling, columns, image) = Default::default();
        Model { network, weights, loss, classes: Vec::new(), scaling, target_scaling, columns, image }
    }

    /// Reads a model from a safetensors file. A file from PyTorch has neither activations nor a loss: its hidden layers are taken as ReLU, its
    /// loss as softmax cross-entropy.
    /// Trajectory files, whose tensors are named `init.0.weight` and so on, give their initial weights.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Format`], naming the tensor and the shape that would be right.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        Model::read_with(path, &[], &[])
    }

    /// As [`read`](Self::read), for a model that may use functions of the user's own: a file has only their names, never
    /// their source, so the functions must be passed here.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_with(path: impl AsRef<Path>, activations: &[Activation], losses: &[Loss]) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = crate::files::read_whole(path)?;
        let (file, about) = (parse(path, &bytes)?, about(path, &bytes)?);
        check_sums(path, &file, about.as_ref())?;
        Model::of_file(path, &file, &about, activations, losses)
    }

    /// As [`read_with`](Self::read_with), from a file's bytes and without checking their checksums, for fuzzing. The path is for messages.
    #[doc(hidden)]
    pub fn from_bytes(path: &Path, bytes: &[u8], activations: &[Activation], losses: &[Loss]) -> Result<Self, Error> {
        Model::of_file(path, &parse(path, bytes)?, &about(path, bytes)?, activations, losses)
    }

    /// The model in a parsed file.
    pub(crate) fn of_file(
        path: &Path,
        file: &SafeTensors<'_>,
        about: &Option<Value>,
        activations: &[Activation],
        losses: &[Loss],
    ) -> Result<Self, Error> {
        let prefix =
            if file.tensor("0.weight").is_err() && file.tensor("init.0.weight").is_ok() { "init." } else { "" };
        let dropouts = dropouts(path, about)?;
        let layers = layers(path, file, prefix, &dropouts)?;
        let Some(first) = layers.first() else {
            return Err(Error::format(
                path,
                "it has no tensor 0.weight: a model's layers are named 0.weight, 0.bias, 2.weight, …",
            ));
        };
        for (number, layer) in numbers(&dropouts_of(&dropouts, layers.len())).zip(&layers) {
            if let Some(value) = layer.weight.iter().chain(&layer.bias).find(|value| !value.is_finite()) {
                return Err(Error::format(
                    path,
                    format!("{number}.weight or {number}.bias holds {value}: every weight must be finite"),
                ));
            }
        }
        check_all_read(path, file, prefix, &dropouts, layers.len())?;
        let rates = dropouts_of(&dropouts, layers.len());
        check_brought(path, about, activations, losses)?;
        let network = activations_of(path, about, layers.len(), activations)?
            .into_iter()
            .zip(&layers)
            .zip(rates)
            .fold(Network::new(first.inputs), |network, ((activation, layer), rate)| {
                network.dense(layer.outputs, activation).dropout(rate)
            });
        network.check().map_err(|error| Error::format(path, error.to_string()))?;
        let loss = loss_of(path, about, losses)?;
        let (classes, scaling) =
            (classes_of(path, about, network.outputs())?, scaling_of(path, about, "scaling", network.inputs())?);
        let target_scaling = target_scaling_of(path, about, &loss, network.outputs())?;
        let (columns, image) = (columns_of(path, about, &network)?, image_of(path, about, network.inputs())?);
        Ok(Model { network, weights: Weights { layers }, loss, classes, scaling, target_scaling, columns, image })
    }

    /// The preprocessing of its training set.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            class_names: self.classes.clone(),
            scaling: self.scaling.clone(),
            target_scaling: self.target_scaling.clone(),
            columns: self.columns.clone(),
            image: self.image,
        }
    }

    /// The model with the preprocessing of its training set. Class names are left out if their number does not fit the outputs.
    pub(crate) fn keeping(self, origin: Origin) -> Self {
        let Origin { class_names, scaling, target_scaling, columns, image } = origin;
        let outputs = self.network.outputs();
        let classes = Some(class_names).filter(|names| [outputs, outputs.max(2)].contains(&names.len()));
        Model { classes: classes.unwrap_or_default(), scaling, target_scaling, columns, image, ..self }
    }

    /// Checks that the preprocessing fits the network: a model may be made by hand.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming the part that does not fit.
    pub(crate) fn check_kept(&self) -> Result<(), Error> {
        let (inputs, outputs) = (self.network.inputs(), self.network.outputs());
        self.scaling.iter().try_for_each(|scaling| scaling.check(inputs))?;
        self.target_scaling
            .iter()
            .try_for_each(|scaling| crate::preprocessing::check_target_scaling(scaling, outputs))?;
        self.columns.iter().try_for_each(|columns| columns.check(inputs, outputs))
    }

    /// Checks that a model can be written to a path, before hours of training are spent on it.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a folder or a device, [`Error::Io`] for a folder that is missing or cannot be written to.
    pub fn check_writable(path: impl AsRef<Path>) -> Result<(), Error> {
        crate::files::beside(path.as_ref()).map(drop)
    }

    /// Writes the model atomically: to a temporary file beside it, synced and then renamed, so that a file of this name is always a
    /// whole one.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a network that does not pass its check, [`Error::Data`] for weights that do not fit it; [`Error::Io`]. An existing file
    /// at the path is unchanged after an error.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.network.check()?;
        self.network.check_weights(&self.weights)?;
        self.write_with(path.as_ref(), Vec::new(), serde_json::json!({}))
    }

    /// As [`write`](Self::write), with more tensors and more metadata.
    pub(crate) fn write_with(&self, path: &Path, more: Vec<Tensor>, say: Value) -> Result<(), Error> {
        let dropouts: Vec<f64> = self.network.layers().iter().map(|layer| layer.dropout).collect();
        let tensors: Vec<Tensor> = tensors("", &dropouts, &self.weights.layers).chain(more).collect();
        let activations: Vec<String> = self.network.layers().iter().map(|layer| layer.activation.to_string()).collect();
        let mut about = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"), "activations": activations, "loss": loss_to_json(&self.loss),
        });
        if dropouts.iter().any(|&rate| rate > 0.0) {
            about["dropout"] = dropouts.into();
        }
        if !self.classes.is_empty() {
            about["classes"] = self.classes.clone().into();
        }
        for (name, scaling) in [("scaling", &self.scaling), ("target_scaling", &self.target_scaling)] {
            if let Some(Scaling { shift, scale }) = scaling {
                // This is no tensor, as `load_state_dict` refuses names that the network does not have.
                about[name] = serde_json::json!({ "shift": shift, "scale": scale });
            }
        }
        for (name, value) in [
            ("columns", self.columns.as_ref().map(serde_json::to_value)),
            ("image", self.image.as_ref().map(serde_json::to_value)),
        ] {
            if let Some(value) = value {
                about[name] = value.map_err(|error| Error::format(path, error.to_string()))?;
            }
        }
        if let Some(said) = say.as_object().filter(|said| !said.is_empty()) {
            about["crc32"] =
                checksum(tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.bytes.as_slice()))).into();
            said.iter().for_each(|(key, value)| about[key] = value.clone());
            // A JSON map's keys are sorted, so that the text read back is the same.
            about["crc32_about"] = crc32fast::hash(about.to_string().as_bytes()).into();
        }
        let metadata = HashMap::from([(METADATA.to_string(), about.to_string())]);
        let views = tensors.iter().map(|tensor| Ok((&tensor.name, tensor.view()?))).collect::<Result<Vec<_>, _>>();
        let bytes = views
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|error: safetensors::SafeTensorError| Error::format(path, error.to_string()))?;
        crate::files::write_whole(path, &bytes)
    }
}

/// A tensor to be written to a file.
pub(crate) struct Tensor {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// A tensor of values whose memory is written as it is, as f32 or u32.
    pub fn new<T: bytemuck::NoUninit>(name: impl Into<String>, dtype: Dtype, shape: Vec<usize>, values: &[T]) -> Self {
        Tensor { name: name.into(), dtype, shape, bytes: bytemuck::cast_slice(values).to_vec() }
    }

    fn view(&self) -> Result<TensorView<'_>, safetensors::SafeTensorError> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
    }
}

/// The tensors of dense layers, with names that begin with a prefix.
pub(crate) fn tensors(prefix: &str, dropouts: &[f64], layers: &[LayerWeights]) -> impl Iterator<Item = Tensor> {
    numbers(dropouts).zip(layers).flat_map(move |(number, layer)| {
        [("weight", vec![layer.outputs, layer.inputs], &layer.weight), ("bias", vec![layer.outputs], &layer.bias)]
            .map(|(part, shape, values)| Tensor::new(format!("{prefix}{number}.{part}"), Dtype::F32, shape, values))
    })
}

/// The CRC-32 of tensors' names and contents, independent of their order in a file.
pub(crate) fn checksum<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> u32 {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_unstable_by_key(|(name, _)| *name);
    let mut hasher = crc32fast::Hasher::new();
    for (name, bytes) in tensors {
        hasher.update(name.as_bytes());
        hasher.update(bytes);
    }
    hasher.finalize()
}

/// Checks a file's tensors and metadata against its checksums, if it has them. A checkpoint must have them.
pub(crate) fn check_sums(path: &Path, file: &SafeTensors<'_>, about: Option<&Value>) -> Result<(), Error> {
    let Some(about) = about.filter(|about| about.get("crc32").or(about.get("checkpoint")).is_some()) else {
        return Ok(());
    };
    let sum = checksum(file.iter().map(|(name, tensor)| (name, tensor.data())));
    if about["crc32"].as_u64() != Some(sum.into()) {
        return Err(Error::format(path, "its contents are not what was written: the checksum differs"));
    }
    let mut rest = about.clone();
    let of_rest = rest.as_object_mut().and_then(|rest| rest.remove("crc32_about"));
    if of_rest.is_some_and(|of_rest| of_rest != crc32fast::hash(rest.to_string().as_bytes())) {
        return Err(Error::format(path, "it is damaged: the checksum of its metadata is another"));
    }
    Ok(())
}

/// A safetensors file's tensors.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, Error> {
    SafeTensors::deserialize(bytes).map_err(|error| {
        Error::format(
            path,
            match crate::files::kinds::of(bytes) {
                Some(kind) => format!("it is {}: it is not a whole safetensors file, which is needed", kind.what),
                None => format!("it is not a whole safetensors file: {error}"),
            },
        )
    })
}

/// The dense layers under `prefix`, in order. Their numbers depend on the dropouts, which are numbered as well.
pub(crate) fn layers(
    path: &Path,
    file: &SafeTensors<'_>,
    prefix: &str,
    dropouts: &[f64],
) -> Result<Vec<LayerWeights>, Error> {
    let mut layers: Vec<LayerWeights> = Vec::new();
    let mut number = 0;
    while let Ok(weight) = file.tensor(&format!("{prefix}{number}.weight")) {
        let name = format!("{prefix}{number}.weight");
        let &[outputs, inputs] = weight.shape() else {
            return Err(Error::format(
                path,
                format!("{name} has the shape {:?}: it must be [out, in]", weight.shape()),
            ));
        };
        if let Some(before) = layers.last()
            && before.outputs != inputs
        {
            return Err(Error::format(
                path,
                format!("{name} takes {inputs} inputs, and the layer before it has {} outputs", before.outputs),
            ));
        }
        let bias_name = format!("{prefix}{number}.bias");
        let bias =
            file.tensor(&bias_name).map_err(|_| Error::format(path, format!("it has {name} and no {bias_name}")))?;
        if bias.shape() != [outputs] {
            return Err(Error::format(
                path,
                format!("{bias_name} has the shape {:?}: it must be [{outputs}]", bias.shape()),
            ));
        }
        let (weight, bias) = (f32_values(path, &name, &weight)?, f32_values(path, &bias_name, &bias)?);
        layers.push(LayerWeights { inputs, outputs, weight, bias });
        number += places(dropouts.get(layers.len() - 1).copied().unwrap_or(0.0));
    }
    Ok(layers)
}

/// A tensor's values, which must be f32.
pub(crate) fn f32_values(path: &Path, name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, Error> {
    match tensor.dtype() {
        Dtype::F32 => Ok(bytemuck::pod_collect_to_vec(tensor.data())),
        other => Err(Error::format(path, format!("{name} is {other:?}: it must be F32"))),
    }
}

/// That no layer was left over: a network with a layer in between that has no weights (dropout, a second activation) numbers
/// the rest differently, and would be read as another, shorter one.
fn check_all_read(
    path: &Path,
    file: &SafeTensors<'_>,
    prefix: &str,
    dropouts: &[f64],
    layers: usize,
) -> Result<(), Error> {
    let numbers: Vec<usize> = numbers(&dropouts_of(dropouts, layers + 1)).collect();
    let known = |number: usize| numbers[..layers].contains(&number);
    for name in file.names() {
        let number = name
            .strip_prefix(prefix)
            .and_then(|name| name.strip_suffix(".weight").or(name.strip_suffix(".bias")))
            .and_then(|number| number.parse().ok());
        if let Some(number) = number
            && !known(number)
        {
            return Err(Error::format(
                path,
                format!(
                    "it has a tensor {name}, and no layer {} before it: dense layers are numbered 0, 2, 4, … with one \
                     activation after each",
                    numbers[layers]
                ),
            ));
        }
    }
    Ok(())
}

/// What the file says of itself, where it was written here.
pub(crate) fn about(path: &Path, bytes: &[u8]) -> Result<Option<Value>, Error> {
    let broken = |reason: String| Error::format(path, format!("its metadata: {reason}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| broken(error.to_string()))?;
    let about = header.metadata().as_ref().and_then(|entries| entries.get(METADATA));
    about.map(|about| serde_json::from_str(about).map_err(|error| broken(error.to_string()))).transpose()
}

/// The numbers of dense layers in a `torch.nn.Sequential`, where each has an activation after it and some have a dropout.
fn numbers(dropouts: &[f64]) -> impl Iterator<Item = usize> {
    dropouts.iter().scan(0, |next, &rate| {
        let number = *next;
        *next += places(rate);
        Some(number)
    })
}

/// The dropouts of `layers` layers; layers after those in the file's list have none.
fn dropouts_of(dropouts: &[f64], layers: usize) -> Vec<f64> {
    dropouts.iter().copied().chain(std::iter::repeat(0.0)).take(layers).collect()
}

/// The number of consecutive indices in a `torch.nn.Sequential` that a layer takes with its activation and dropout.
fn places(dropout: f64) -> usize {
    if dropout > 0.0 { 3 } else { 2 }
}

/// The dropout of every layer; empty if the file has none.
fn dropouts(path: &Path, about: &Option<Value>) -> Result<Vec<f64>, Error> {
    let Some(rates) = about.as_ref().and_then(|about| about.get("dropout")) else { return Ok(Vec::new()) };
    let read = || rates.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    read().ok_or_else(|| Error::format(path, "its metadata: dropout must be a list of numbers"))
}

/// The activation of every layer.
fn activations_of(
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
        .map(|word| {
            let word = word.as_str().unwrap_or_default();
            let brought = own.iter().copied().find(|own| own.to_string() == word);
            // `parse` would read files: a name in a model file must not make us open another file.
            brought.map_or_else(|| Activation::from_word(word), Ok)
        })
        .collect::<Result<_, Error>>()
        .map_err(|error| broken(error.to_string()))
}

/// Checks that every function named in the file is built in or was passed by the caller: a file has only the names of a user's own functions.
///
/// # Errors
///
/// [`Error::Format`] naming all missing functions, and how to pass them.
fn check_brought(path: &Path, about: &Option<Value>, activations: &[Activation], losses: &[Loss]) -> Result<(), Error> {
    let Some(about) = about else { return Ok(()) };
    let (own_activations, own_losses): (Vec<String>, Vec<&str>) =
        (activations.iter().map(ToString::to_string).collect(), losses.iter().map(Loss::name).collect());
    let words = about["activations"].as_array().into_iter().flatten().filter_map(Value::as_str);
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
    // A name is put into a suggested command only if it can be a file's name.
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

/// A loss' name and its values.
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

fn loss_of(path: &Path, about: &Option<Value>, own: &[Loss]) -> Result<Loss, Error> {
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

/// The class names, whose number must fit the outputs; empty if the file has none.
fn classes_of(path: &Path, about: &Option<Value>, outputs: usize) -> Result<Vec<String>, Error> {
    let Some(names) = about.as_ref().and_then(|about| about.get("classes")) else { return Ok(Vec::new()) };
    let read = || names.as_array()?.iter().map(|name| name.as_str().map(String::from)).collect::<Option<Vec<String>>>();
    read().filter(|names| names.len() == outputs.max(2) || names.len() == outputs).ok_or_else(|| {
        Error::format(path, format!("its metadata: classes must be a list of {outputs} names, one for each output"))
    })
}

/// The encoding of a table's columns, if the file has one.
fn columns_of(path: &Path, about: &Option<Value>, network: &Network) -> Result<Option<Columns>, Error> {
    let Some(table) = about.as_ref().and_then(|about| about.get("columns")) else { return Ok(None) };
    let broken = |reason: String| Error::format(path, format!("its metadata: columns: {reason}"));
    let columns = Columns::deserialize(table).map_err(|error| broken(error.to_string()))?;
    columns.check(network.inputs(), network.outputs()).map_err(|error| broken(error.to_string()))?;
    Ok(Some(columns))
}

/// The shape of the images, if the file has one.
fn image_of(path: &Path, about: &Option<Value>, inputs: usize) -> Result<Option<ImageShape>, Error> {
    let Some(table) = about.as_ref().and_then(|about| about.get("image")) else { return Ok(None) };
    let shape = ImageShape::deserialize(table).ok().filter(|shape| shape.features() == Some(inputs));
    shape.map(Some).ok_or_else(|| {
        Error::format(
            path,
            format!("its metadata: image must have a height, a width and channels whose product is {inputs}"),
        )
    })
}

/// The scaling of the targets, if the file has one.
fn target_scaling_of(
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

/// The scaling under a key of the metadata, if the file has one.
fn scaling_of(path: &Path, about: &Option<Value>, key: &str, count: usize) -> Result<Option<Scaling>, Error> {
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
