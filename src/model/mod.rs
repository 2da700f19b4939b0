//! Models in safetensors files, with the names and layout of `torch.nn.Sequential`: `0.weight` `[out, in]`, `0.bias`,
//! `2.weight`, …; the numbers between are the activations, and the dropouts where there are any.

mod about;
mod onnx;
mod state_dict;
mod tensors;

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use self::about::{
    METADATA, activations_of, check_brought, classes_of, columns_of, dropouts, image_of, loss_of, scaling_of,
    target_scaling_of,
};
pub(crate) use self::about::{about, loss_to_json};
pub(crate) use self::tensors::{Tensor, check_sums, checksum, f32_values, layers, parse, tensors};
use self::tensors::{check_all_read, dropouts_of, numbers};
use crate::error::Error;
use crate::loss::Loss;
use crate::network::{Activation, Network};
use crate::preprocessing::{Columns, ImageShape, Origin, Scaling};
use crate::weights::Weights;

/// A network with its weights, as a file has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The layers.
    pub network: Network,
    /// Their weights.
    pub weights: Weights,
    /// The loss that they were trained with, which says what the outputs mean.
    pub loss: Loss,
    /// The names of the classes, one an output, or both of the two that one output tells apart; empty where nobody named them.
    pub classes: Vec<String>,
    /// What is done to features before the first layer, where anything is.
    pub scaling: Option<Scaling>,
    /// What was done to the targets, which are numbers, before the network learned them, where anything was: what it gives is
    /// `output / scale + shift` in their own units.
    pub target_scaling: Option<Scaling>,
    /// How the features are made of a table's columns, where they are.
    pub columns: Option<Columns>,
    /// The form of the images that the features are, where they are.
    pub image: Option<ImageShape>,
}

impl Model {
    /// A model whose classes have no names and whose features are taken as they are.
    pub fn new(network: Network, weights: Weights, loss: Loss) -> Self {
        let (scaling, target_scaling, columns, image) = Default::default();
        Model { network, weights, loss, classes: Vec::new(), scaling, target_scaling, columns, image }
    }

    /// Reads a model. A file that PyTorch wrote says nothing of activations or loss: its hidden layers are taken as ReLU, its
    /// loss as softmax cross-entropy.
    /// Trajectory files, whose tensors are named `init.0.weight` and so on, give their initial weights.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Format`], naming the tensor and the shape that would be right.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        Model::read_with(path, &[], &[])
    }

    /// [`read`](Self::read) for a model that was trained with functions of the user's own: a file has their names alone, never
    /// their text, so they have to be brought again.
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

    /// [`read_with`](Self::read_with) from a file's bytes, whatever their checksums; the path is for messages. For fuzzing.
    #[doc(hidden)]
    pub fn from_bytes(path: &Path, bytes: &[u8], activations: &[Activation], losses: &[Loss]) -> Result<Self, Error> {
        Model::of_file(path, &parse(path, bytes)?, &about(path, bytes)?, activations, losses)
    }

    /// The model in a file that was read.
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

    /// What it keeps of its training set.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            class_names: self.classes.clone(),
            scaling: self.scaling.clone(),
            target_scaling: self.target_scaling.clone(),
            columns: self.columns.clone(),
            image: self.image,
        }
    }

    /// The model with what is to be kept of its training set. Class names that it has no outputs for are left out.
    pub(crate) fn keeping(self, origin: Origin) -> Self {
        let Origin { class_names, scaling, target_scaling, columns, image } = origin;
        let outputs = self.network.outputs();
        let classes = Some(class_names).filter(|names| [outputs, outputs.max(2)].contains(&names.len()));
        Model { classes: classes.unwrap_or_default(), scaling, target_scaling, columns, image, ..self }
    }

    /// That what it keeps of its training set fits its network: it may be made by hand.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming what does not.
    pub(crate) fn check_kept(&self) -> Result<(), Error> {
        let (inputs, outputs) = (self.network.inputs(), self.network.outputs());
        self.scaling.iter().try_for_each(|scaling| scaling.check(inputs))?;
        self.target_scaling
            .iter()
            .try_for_each(|scaling| crate::preprocessing::check_target_scaling(scaling, outputs))?;
        self.columns.iter().try_for_each(|columns| columns.check(inputs, outputs))
    }

    /// That a model can be written there: asked before hours are spent on what goes into it.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a folder or a device, [`Error::Io`] for a folder that is missing or cannot be written to.
    pub fn check_writable(path: impl AsRef<Path>) -> Result<(), Error> {
        crate::files::beside(path.as_ref()).map(drop)
    }

    /// Writes the model: to a file beside it first, synced and then renamed, so that a file of this name is always a
    /// whole one.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a network that does not pass its check, [`Error::Data`] for weights that are not its own; [`Error::Io`]. What was at the
    /// path before is still there then.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.network.check()?;
        self.network.check_weights(&self.weights)?;
        self.write_with(path.as_ref(), Vec::new(), serde_json::json!({}))
    }

    /// [`write`](Self::write) with more tensors, and more to say of the file in its metadata.
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
                // Not a tensor of its own: `load_state_dict` takes no name that the network has not.
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
            // A map's keys are in order: what is read back is the same text.
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
