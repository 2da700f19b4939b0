//! Models in safetensors files, with the names and layout of `torch.nn.Sequential`: `0.weight` `[out, in]`, or `[out, in, down, across]` of a convolution,
//! `0.bias`, `2.weight`, …; the numbers between are the activations, and the layers without weights. See [`Network::named_parameters`].

mod listed;
mod metadata;
mod onnx;
mod state_dict;
mod structure;
mod tensors;

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use self::metadata::{
    METADATA, about_network, bytes_of, check_brought, check_vocabulary, classes_of, columns_of, image_of, loss_of,
    scaling_of, scaling_to_json, target_scaling_of, vocabulary_of,
};
use self::tensors::checksum;
use crate::activation::Activation;
use crate::error::Error;
use crate::loss::{Loss, Task};
use crate::network::Network;
use crate::preprocessing::{Columns, ImageShape, Origin, Scaling, Vocabulary};
use crate::weights::Weights;

pub(crate) use metadata::{about, loss_to_json};
#[cfg(feature = "selftest")]
pub(crate) use structure::chain;
#[cfg(feature = "selftest")]
pub(crate) use tensors::f32_values;
pub(crate) use tensors::{Tensor, check_sums, layers, parse, tensors};

/// A network with its weights and everything else that a model file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The layers.
    pub network: Network,
    /// The layers' weights.
    pub weights: Weights,
    /// The loss that the network was trained with, which gives the outputs their meaning.
    pub loss: Loss,
    /// The names of the classes, one an output, or both of the two that one output tells apart; empty where they have none.
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
    /// Whether the features of its training set were bytes, which the network sees as `[0, 1]`: divided by 255.
    pub bytes: bool,
    /// The tokens of its training text, if it was trained on a text.
    pub vocabulary: Option<Vocabulary>,
}

impl Model {
    /// A model without class names and without preprocessing.
    pub fn new(network: Network, weights: Weights, loss: Loss) -> Self {
        let (scaling, target_scaling, columns, image, vocabulary) = Default::default();
        let (classes, bytes) = (Vec::new(), false);
        Model { network, weights, loss, classes, scaling, target_scaling, columns, image, bytes, vocabulary }
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

    /// [`read_with`](Self::read_with) from a file's bytes, which may have other checksums than the file says; the path is for messages. For fuzzing.
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
        check_brought(path, about, activations, losses)?;
        let (network, prefix) = structure::network(path, file, about, activations)?;
        let parameters = network.named_parameters();
        let layers = layers(path, file, prefix, &parameters)?;
        for (parameter, layer) in parameters.iter().zip(&layers) {
            tensors::check_values(parameter, layer).map_err(|reason| Error::format(path, reason))?;
        }
        let loss = loss_of(path, about, losses)?;
        network.check_outputs(&loss).map_err(|error| Error::format(path, error.to_string()))?;
        let (classes, scaling) =
            (classes_of(path, about, network.outputs())?, scaling_of(path, about, "scaling", network.inputs())?);
        let target_scaling = target_scaling_of(path, about, &loss, network.outputs())?;
        let (columns, image) = (columns_of(path, about, &network, &classes)?, image_of(path, about, network.input())?);
        let (bytes, vocabulary) = (bytes_of(path, about)?, vocabulary_of(path, about, &network)?);
        let weights = Weights { layers };
        Ok(Model { network, weights, loss, classes, scaling, target_scaling, columns, image, bytes, vocabulary })
    }

    /// The preprocessing of its training set.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            class_names: self.classes.clone(),
            scaling: self.scaling.clone(),
            target_scaling: self.target_scaling.clone(),
            columns: self.columns.clone(),
            image: self.image,
            bytes: self.bytes,
            vocabulary: self.vocabulary.clone(),
        }
    }

    /// The model with the preprocessing of its training set. Outputs that stand for none of its classes are named by their numbers; names are left out
    /// if there are more of them than outputs.
    pub(crate) fn keeping(self, origin: Origin) -> Self {
        let Origin { class_names, scaling, target_scaling, columns, image, bytes, vocabulary } = origin;
        let classes = names_for(class_names, self.network.outputs());
        Model { classes, scaling, target_scaling, columns, image, bytes, vocabulary, ..self }
    }

    /// What the outputs are called: the classes, or the tokens of a text, or the target columns of a table, or else the number of each. One output of two classes has the name of the
    /// second, whose probability it is; one number to predict from no table is the `prediction`, several are `output_0` and so on.
    pub fn output_names(&self) -> Vec<String> {
        let outputs = self.network.outputs();
        if let (Some(vocabulary), true, Some(_)) = (&self.vocabulary, self.classes.is_empty(), self.network.places()) {
            return (0..outputs).map(|output| vocabulary.name(output)).collect();
        }
        if self.loss.task() != Task::Numbers {
            return (0..outputs).map(|output| class_of(&self.classes, outputs, output)).collect();
        }
        let columns = self.columns.as_ref().map(Columns::target_names);
        let is_each = |names: &Vec<String>| names.len() == outputs;
        let known = columns.filter(is_each).or_else(|| Some(self.classes.clone()).filter(is_each));
        known.unwrap_or_else(|| match outputs {
            1 => vec!["prediction".into()],
            _ => (0..outputs).map(|output| format!("output_{output}")).collect(),
        })
    }

    /// Checks that the preprocessing fits the network: a model may be made by hand.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming the part that does not fit.
    pub(crate) fn check_kept(&self) -> Result<(), Error> {
        let (inputs, outputs) = (self.network.inputs(), self.network.outputs());
        self.scaling.iter().try_for_each(|scaling| scaling.check(inputs))?;
        self.vocabulary.iter().try_for_each(|own| check_vocabulary(own, &self.network)).map_err(Error::Data)?;
        self.target_scaling
            .iter()
            .try_for_each(|scaling| crate::preprocessing::check_target_scaling(scaling, outputs))?;
        self.columns.iter().try_for_each(|columns| {
            columns.check(inputs, outputs)?;
            columns.check_classes(&self.classes)
        })
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
    /// [`Error::Option`] for a network that does not pass its check, [`Error::Data`] for weights that do not fit it, or that [`read`](Self::read) would refuse, as
    /// a negative variance; [`Error::Io`]. An existing file
    /// at the path is unchanged after an error.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        crate::files::write_whole(path, &self.checked_bytes(path)?)
    }

    /// The bytes of the file that [`write`](Self::write) writes, for where there are no files.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), but for [`Error::Io`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.checked_bytes(Path::new("the model"))
    }

    fn checked_bytes(&self, path: &Path) -> Result<Vec<u8>, Error> {
        self.network.check()?;
        self.network.check_outputs(&self.loss)?;
        self.network.check_weights(&self.weights)?;
        for (parameter, layer) in self.network.named_parameters().iter().zip(&self.weights.layers) {
            tensors::check_values(parameter, layer).map_err(Error::Data)?;
        }
        self.bytes_with(path, Vec::new(), serde_json::json!({}))
    }

    /// As [`write`](Self::write), with more tensors and more metadata, and without its checks.
    pub(crate) fn write_with(&self, path: &Path, more: Vec<Tensor>, say: Value) -> Result<(), Error> {
        crate::files::write_whole(path, &self.bytes_with(path, more, say)?)
    }

    /// What [`write_with`](Self::write_with) writes; the path is for messages.
    fn bytes_with(&self, path: &Path, more: Vec<Tensor>, say: Value) -> Result<Vec<u8>, Error> {
        let parameters = self.network.named_parameters();
        let tensors: Vec<Tensor> = tensors("", &parameters, &self.weights.layers).chain(more).collect();
        let mut about = serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "loss": loss_to_json(&self.loss) });
        about_network(&mut about, &self.network);
        if !self.classes.is_empty() {
            about["classes"] = self.classes.clone().into();
        }
        if self.bytes {
            about["bytes"] = true.into();
        }
        if let Some(vocabulary) = &self.vocabulary {
            about["vocabulary"] = vocabulary.to_file().into();
        }
        for (name, scaling) in [("scaling", &self.scaling), ("target_scaling", &self.target_scaling)] {
            if let Some(scaling) = scaling {
                // This is no tensor, as `load_state_dict` refuses names that the network does not have.
                about[name] = scaling_to_json(scaling);
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
        views
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|error: safetensors::SafeTensorError| Error::format(path, error.to_string()))
    }
}

/// The class of an output, or its number if it has no name.
pub(crate) fn class_of(classes: &[String], outputs: usize, output: usize) -> String {
    // A single output of two classes is the second one's probability; one yes or no may have a name of its own.
    let class = if outputs == 1 && classes.len() != 1 { 1 } else { output };
    classes.get(class).cloned().unwrap_or_else(|| class.to_string())
}

/// Class names for a number of outputs: one each, or both of the two that one output tells apart. Outputs without a name get their number.
pub(crate) fn names_for(mut names: Vec<String>, outputs: usize) -> Vec<String> {
    if names.is_empty() || names.len() > outputs.max(2) {
        return Vec::new();
    }
    for output in names.len()..outputs {
        let others = (2..).map(|copy| format!("output_{output}_{copy}"));
        let mut free = [output.to_string(), format!("output_{output}")].into_iter().chain(others);
        names.extend(free.find(|name| !names.contains(name)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds two outputs of one name.
    #[test]
    fn outputs_without_a_name_get_a_free_one() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        for (own, all) in [
            (&["a", "b"][..], &["a", "b", "2", "3"][..]),
            (&["a", "3"], &["a", "3", "2", "output_3"]),
            (&["a", "3", "output_3"], &["a", "3", "output_3", "output_3_2"]),
            (&["3", "output_3", "output_3_2"], &["3", "output_3", "output_3_2", "output_3_3"]),
        ] {
            assert_eq!(names_for(names(own), 4), names(all));
        }
    }
}
