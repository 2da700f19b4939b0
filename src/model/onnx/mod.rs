//! Models in ONNX files, to and from other runtimes: layers and residual sums, with the scaling of the features before them and a softmax or sigmoid after
//! them.

mod constant;
mod elementwise;
mod ending;
mod features;
mod folding;
mod forks;
mod images;
mod layers;
mod layout;
mod limits;
mod made;
mod moments;
mod nodes;
mod norms;
mod own;
mod products;
mod proto;
mod read;
mod reshapes;
mod shape;
mod sums;
mod tree;
mod value;
mod write;

use std::path::Path;

use prost::Message;

use self::limits::LONGEST;
use super::Model;
use crate::error::Error;
use crate::loss::Loss;

impl Model {
    /// Writes the model as ONNX, for ONNX Runtime and others: opset 17, IR version 8, an input `x` f32 and an output `logits` (`outputs` under a regression loss), or with `softmax` the result of [`Trainer::predict`](crate::Trainer::predict),
    /// `probabilities`: the softmax, or under sigmoid cross-entropy the sigmoid. The input is `[batch, features]`; of a network of images
    /// `[batch, channels, height, width]`, as PyTorch's exporter has it: channels first, though everywhere else here they come last; of a network of tokens
    /// i64, `[batch, places]`, and an output that is not flattened before is `[batch, places, outputs]`. The features' scaling is part of the graph; a model that
    /// was trained on u8 features takes them here as floats in `[0, 1]`, divided by 255. A scaling of the targets is part of the last layer's
    /// weights, or comes after it, so that the outputs are in the targets' own units. The loss, the class names, the vocabulary and the dropout are in the file's metadata
    /// under `wgrad`, as JSON; of other networks than dense layers and sums of them, the list of layers is too, by which the network comes back as it was.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for an activation of the user's own, for `softmax` under a regression loss, for a scaling of tokens, and for a model of over 2 GiB;
    /// [`Error::Io`].
    pub fn write_onnx(&self, path: impl AsRef<Path>, softmax: bool) -> Result<(), Error> {
        crate::files::write_whole(path.as_ref(), &write::model(self, softmax)?.encode_to_vec())
    }

    /// Reads a model from ONNX: a chain of Gemm, or MatMul and Add, with activations in between, written with any operators that compute them. An Add of
    /// two tensors that layers make is a residual sum: the longer way from the tensor where both begin is its body, the other one its shortcut. Convolutions,
    /// pools and norms of images are read as PyTorch's and Keras' exporters write them, channels first or last in the file; here they come last, in the
    /// images that the model takes. An image's sides must be known. A network of tokens is read only as it was written here.
    /// Dropout, and nodes that change only a shape or a type, have no effect. A shift and a scale before the first layer become the model's
    /// scaling; a softmax or a sigmoid at the end determines the loss, unless the metadata does. Of several outputs, the one with the
    /// probabilities or the logits is read; class names in the graph, as in scikit-learn's, are kept. Weights of
    /// f16 and f64 become f32.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Format`] naming the first node that does not fit, and what would fit, or the outputs where more than one is a
    /// model. Weights in external files are refused, as only this file is opened.
    pub fn read_onnx(path: impl AsRef<Path>) -> Result<Self, Error> {
        Model::read_onnx_with(path, &[])
    }

    /// As [`read_onnx`](Self::read_onnx), for a model that was trained with one of `losses`, the user's own: a file has only the loss' name.
    ///
    /// # Errors
    ///
    /// As [`read_onnx`](Self::read_onnx).
    pub fn read_onnx_with(path: impl AsRef<Path>, losses: &[Loss]) -> Result<Self, Error> {
        Model::read_onnx_noted(path, losses).map(|(model, _)| model)
    }

    /// As [`read_onnx_with`](Self::read_onnx_with), with notes: a sentence for each decision that the file left open,
    /// and for each part that the model does not keep, such as the graph's other outputs.
    ///
    /// # Errors
    ///
    /// As [`read_onnx`](Self::read_onnx).
    pub fn read_onnx_noted(path: impl AsRef<Path>, losses: &[Loss]) -> Result<(Self, Vec<String>), Error> {
        let path = path.as_ref();
        let bytes = crate::files::read_whole(path)?;
        if bytes.len() as u64 > LONGEST {
            return Err(Error::format(path, "it is longer than 2 GiB, which no ONNX file is"));
        }
        read::model(path, bytes.into(), losses)
    }

    /// As [`read_onnx_with`](Self::read_onnx_with), from a file's bytes, for fuzzing. The path is for messages.
    #[doc(hidden)]
    pub fn from_onnx(path: &Path, bytes: Vec<u8>, losses: &[Loss]) -> Result<Self, Error> {
        read::model(path, bytes.into(), losses).map(|(model, _)| model)
    }
}
