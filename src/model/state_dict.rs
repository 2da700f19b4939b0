//! Reads state dicts of other programs: dense layers under any names, in the order that follows from the names or the shapes, and residuals of them; and any
//! layers that are listed; and GPTs.

mod gpt;
mod listed;
mod order;
mod residuals;
mod structure;

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use self::order::{Layer, NAMES, Name};
use self::structure::{Structure, chain};
use super::tensors::{LISTED, transposed, values};
use super::{Model, about, check_sums, parse};
use crate::activation::Activation;
use crate::error::Error;
use crate::loss::Loss;
use crate::network::Network;
use crate::weights::{LayerWeights, Weights};

impl Model {
    /// Reads a state dict of dense layers from a safetensors file: a `torch.nn.Sequential`'s (`0.weight`, `2.weight`, …), with
    /// any prefix, layers of one name with their numbers (`fc1.weight`, `fc2.weight`, …; `layers.0.linear.weight`, …), and other layers whose
    /// shapes allow only one order (`fc1.weight`, `out.weight`). A `kernel` is `[in, out]`, as Keras and Flax have it, and is transposed.
    /// Values of f16, bf16 and f64 become f32; a layer without a bias gets a bias of 0. The hidden layers' activation is taken as ReLU
    /// where one number is free between layers, as [`read`](Self::read) does; for other names it has to be given.
    ///
    /// Names as `2.body.0.weight` and `2.shortcut.0.weight` are layers of a residual. Where a file has any, all numbers say what is between layers: one
    /// that is left out is an activation, none is none, and more are refused unless the activation is given. The last layer of a body or a shortcut is
    /// taken as without an activation.
    ///
    /// The loss is taken as softmax cross-entropy, or, for one output, as mse. A file that wgrad wrote contains all this, and is
    /// read as by [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Format`] naming the first tensor that does not fit, and what would fit, or two possible orders of the layers.
    pub fn read_state_dict(path: impl AsRef<Path>, activation: Option<Activation>) -> Result<Self, Error> {
        Model::read_state_dict_noted(path, activation).map(|(model, _)| model)
    }

    /// As [`read_state_dict`](Self::read_state_dict), with notes: a sentence for each decision that the file left open.
    ///
    /// # Errors
    ///
    /// As [`read_state_dict`](Self::read_state_dict).
    pub fn read_state_dict_noted(
        path: impl AsRef<Path>,
        activation: Option<Activation>,
    ) -> Result<(Self, Vec<String>), Error> {
        let path = path.as_ref();
        let bytes = crate::files::read_whole(path)?;
        check_sums(path, &parse(path, &bytes)?, about(path, &bytes)?.as_ref())?;
        of_bytes(path, &bytes, activation)
    }

    /// As [`read_state_dict`](Self::read_state_dict), from a file's bytes without checking their checksums, for fuzzing. The path is for messages.
    #[doc(hidden)]
    pub fn from_state_dict(path: &Path, bytes: &[u8], activation: Option<Activation>) -> Result<Self, Error> {
        of_bytes(path, bytes, activation).map(|(model, _)| model)
    }
}

fn of_bytes(path: &Path, bytes: &[u8], activation: Option<Activation>) -> Result<(Model, Vec<String>), Error> {
    let file = parse(path, bytes)?;
    if about(path, bytes)?.is_some() {
        return match activation {
            None => Model::from_bytes(path, bytes, &[], &[]).map(|model| (model, Vec::new())),
            Some(_) => Err(Error::format(path, "it says itself what its activations are: none can be given")),
        };
    }
    read(&file, activation).map_err(|reason| Error::format(path, reason))
}

fn read(file: &SafeTensors<'_>, activation: Option<Activation>) -> Result<(Model, Vec<String>), String> {
    let mut all = file.tensors();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    if gpt::prefix(all.iter().map(|(name, _)| name.as_str())).is_some() {
        return Err("it is the state dict of a GPT, and no tensor says its number of heads: give it, as --heads 12, or in a program to \
                    Model::read_gpt"
            .into());
    }
    let found = layers(&all)?;
    let structure = match residuals::of(&found, activation)? {
        Some(structure) => structure,
        None => chain(&found, activation)?,
    };
    let Structure { layers: described, order, notes: mut said } = structure;

    let mut layers: Vec<LayerWeights> = Vec::new();
    for &at in &order {
        let Layer { weight, is_kernel, bias, inputs, outputs, .. } = found[at];
        let mut values_of_weight = values(weight.0, weight.1)?;
        if is_kernel {
            values_of_weight = transposed(&values_of_weight, outputs, inputs);
        }
        let bias = bias.map_or_else(|| Ok(vec![0.0; outputs]), |(whole, bias)| values(whole, bias))?;
        layers.push(LayerWeights { inputs, outputs, weight: values_of_weight, bias });
    }

    let inputs = layers.first().map_or(0, |layer| layer.inputs);
    let network = Network::of_layers(inputs, described);
    let weights = Weights { layers };
    network.check().and_then(|()| network.check_weights(&weights)).map_err(|error| error.to_string())?;
    if found.iter().any(|layer| layer.is_kernel) {
        said.push("its kernels are [in, out], and are transposed".into());
    }
    let loss = match network.outputs() {
        // The softmax of one output is always 1.
        1 => {
            said.push(
                "a state dict does not say what its one output means: its loss is mse, unless --loss says otherwise"
                    .into(),
            );
            Loss::MeanSquaredError
        }
        _ => Loss::default(),
    };
    Ok((Model::new(network, weights, loss), said))
}

/// Groups a file's tensors into dense layers by their names.
fn layers<'a>(all: &'a [(String, TensorView<'a>)]) -> Result<Vec<Layer<'a>>, String> {
    let mut tensors: Vec<(Name<'a>, &'a str, &'a str, &'a TensorView<'a>)> = Vec::new();
    for (whole, tensor) in all {
        let (layer, part) = order::layer_and_part(whole);
        check(part, tensor.shape()).map_err(|reason| format!("{whole} {reason}: {NAMES}"))?;
        tensors.push((Name::of(layer), part, whole, tensor));
    }
    if tensors.is_empty() {
        return Err(format!("it has no tensors: {NAMES}"));
    }
    tensors.sort_by(|(a, part, ..), (b, other, ..)| (a, part).cmp(&(b, other)));

    let mut layers = Vec::new();
    for of_layer in tensors.chunk_by(|(a, ..), (b, ..)| a == b) {
        // The parts are in alphabetical order.
        let (bias, (name, part, whole, weight)) = match of_layer {
            [weight] if weight.1 != "bias" => (None, weight),
            [bias, weight] if bias.1 == "bias" && weight.1 != "bias" => (Some((bias.2, bias.3)), weight),
            [(_, "bias", whole, _)] => return Err(format!("{whole} has no weight beside it: {NAMES}")),
            [(.., one, _), (.., other, _), ..] => return Err(format!("{one} and {other} are of one layer: {NAMES}")),
            [(.., whole, _)] => return Err(format!("{whole} is no weight: {NAMES}")),
            // There is no such chunk.
            [] => return Err(format!("a layer has no tensors: {NAMES}")),
        };
        let is_kernel = *part == "kernel";
        let (outputs, inputs) = match *weight.shape() {
            [inputs, outputs] if is_kernel => (outputs, inputs),
            [outputs, inputs] => (outputs, inputs),
            _ => return Err(format!("{whole} is no matrix")),
        };
        if inputs == 0 || outputs == 0 {
            return Err(format!("{whole} has the shape {:?}, with no values", weight.shape()));
        }
        if let Some((of_bias, bias)) = bias
            && bias.shape() != [outputs]
        {
            let hint = match (is_kernel, bias.shape() == [inputs]) {
                (false, true) => format!(", or {whole} is [in, out] and to be transposed, or named kernel"),
                (true, true) => format!(", or {whole} is [out, in] and to be named weight"),
                _ => String::new(),
            };
            return Err(format!("{of_bias} has the shape {:?}: it must be [{outputs}]{hint}", bias.shape()));
        }
        layers.push(Layer { name: name.clone(), weight: (whole, weight), is_kernel, bias, inputs, outputs });
    }
    Ok(layers)
}

/// Checks that a tensor can be part of a dense layer.
fn check(part: &str, shape: &[usize]) -> Result<(), String> {
    match (part, shape.len()) {
        ("weight" | "kernel", 2) | ("bias", 1) => Ok(()),
        ("weight" | "gamma" | "beta" | "scale", 1) => Err(format!(
            "has the shape {shape:?}, as a normalization's, and there are dense layers only unless they are listed, {LISTED}"
        )),
        ("weight" | "kernel", 3..=5) => Err(format!(
            "has the shape {shape:?}, as a convolution's, and there are dense layers only unless they are listed, {LISTED}"
        )),
        ("running_mean" | "running_var" | "num_batches_tracked" | "moving_mean" | "moving_variance", _) => {
            Err(format!("is a batch normalization's, and there are dense layers only unless they are listed, {LISTED}"))
        }
        ("in_proj_weight" | "in_proj_bias", _) => {
            Err(format!("is an attention's, and there are dense layers only unless they are listed, {LISTED}"))
        }
        _ => Err(format!(
            "has the shape {shape:?}, and is neither a weight [out, in], a kernel [in, out] nor a bias [out]"
        )),
    }
}
