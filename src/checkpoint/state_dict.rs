//! State dicts of other programs: dense layers under whatever names they have, as far as the names say their order.

use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{about, check_sums, parse};
use crate::{Activation, Error, LayerWeights, Loss, Model, Network, Weights};

/// What the names of a state dict must be like.
const NAMES: &str = "dense layers are numbered in their order, under one name, as 0.weight, 0.bias, 2.weight, … or fc1.weight, fc1.bias, \
                     fc2.weight, …";

impl Model {
    /// Reads a PyTorch state dict of dense layers from a safetensors file: a `torch.nn.Sequential`'s (`0.weight`, `2.weight`, …), with
    /// any prefix, or layers of one name with their numbers (`fc1.weight`, `fc2.weight`, …). Values of f16, bf16 and f64 become f32; a
    /// layer without a bias gets one of 0. The hidden layers' activation is taken as ReLU where there is one number between
    /// layers, as [`read`](Self::read) does; other numbers say nothing of it, and it has to be given. The loss is taken as softmax
    /// cross-entropy. A file that was written here says all this itself, and is read as [`read`](Self::read) does.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Format`] naming the first tensor that does not fit, and what would.
    pub fn read_state_dict(path: impl AsRef<Path>, activation: Option<Activation>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = crate::files::read_whole(path)?;
        check_sums(path, &parse(path, &bytes)?, about(path, &bytes)?.as_ref())?;
        Model::from_state_dict(path, &bytes, activation)
    }

    /// [`read_state_dict`](Self::read_state_dict) from a file's bytes, whatever their checksums; the path is for messages. For fuzzing.
    #[doc(hidden)]
    pub fn from_state_dict(path: &Path, bytes: &[u8], activation: Option<Activation>) -> Result<Self, Error> {
        let file = parse(path, bytes)?;
        if about(path, bytes)?.is_some() {
            return match activation {
                None => Model::from_bytes(path, bytes, &[], &[]),
                Some(_) => Err(Error::format(path, "it says itself what its activations are: none can be given")),
            };
        }
        read(&file, activation).map_err(|reason| Error::format(path, reason))
    }
}

/// A tensor's name, as `net.fc1.weight`: the name of its layers (`net.fc`), the layer's number, and `weight`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Name<'a> {
    layers: &'a str,
    number: Option<u64>,
    part: &'a str,
}

impl<'a> Name<'a> {
    fn of(whole: &'a str) -> Self {
        let (layer, part) = whole.rsplit_once('.').unwrap_or(("", whole));
        let layers = layer.trim_end_matches(|c: char| c.is_ascii_digit());
        Name { layers, number: layer[layers.len()..].parse().ok(), part }
    }
}

fn read(file: &SafeTensors<'_>, activation: Option<Activation>) -> Result<Model, String> {
    let all = file.tensors();
    let mut tensors: Vec<(Name<'_>, &str, &TensorView<'_>)> =
        all.iter().map(|(whole, tensor)| (Name::of(whole), whole.as_str(), tensor)).collect();
    tensors.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    for (name, whole, tensor) in &tensors {
        check(name, tensor.shape()).map_err(|reason| format!("{whole} {reason}: {NAMES}"))?;
    }
    let Some((first, first_whole, _)) = tensors.first() else { return Err(format!("it has no tensors: {NAMES}")) };
    if let Some((_, whole, _)) = tensors.iter().find(|(name, ..)| name.layers != first.layers) {
        return Err(format!(
            "{first_whole} and {whole} have different names, which say nothing of their order: {NAMES}"
        ));
    }

    let mut layers: Vec<LayerWeights> = Vec::new();
    let mut numbers: Vec<u64> = Vec::new();
    for of_layer in tensors.chunk_by(|(a, ..), (b, ..)| a.number == b.number) {
        // In the order of the alphabet.
        let (bias, weight) = match of_layer {
            [weight] if weight.0.part == "weight" => (None, weight),
            [bias, weight] => (Some(bias), weight),
            [(_, whole, _), ..] => return Err(format!("{whole} has no weight beside it: {NAMES}")),
            [] => continue,
        };
        let &[outputs, inputs] = weight.2.shape() else { return Err(format!("{} is no matrix", weight.1)) };
        if inputs == 0 || outputs == 0 {
            return Err(format!("{} has the shape [{outputs}, {inputs}], with no values", weight.1));
        }
        if let Some(before) = layers.last().filter(|before| before.outputs != inputs) {
            let (whole, before) = (weight.1, before.outputs);
            return Err(format!("{whole} takes {inputs} inputs, and the layer before it has {before} outputs"));
        }
        let bias = match bias {
            Some((_, whole, bias)) if bias.shape() != [outputs] => {
                return Err(format!("{whole} has the shape {:?}: it must be [{outputs}]", bias.shape()));
            }
            Some((_, whole, bias)) => values(whole, bias)?,
            None => vec![0.0; outputs],
        };
        layers.push(LayerWeights { inputs, outputs, weight: values(weight.1, weight.2)?, bias });
        numbers.extend(weight.0.number);
    }

    let between = |pair: &[u64]| pair[1] - pair[0] != 2;
    let activation = match (activation, numbers.windows(2).find(|pair| between(pair))) {
        (Some(activation), _) => activation,
        (None, None) => Activation::Relu,
        (None, Some(pair)) => {
            return Err(format!(
                "its layers {}{} and {0}{} do not say what is between them: give the activation of the hidden layers",
                first.layers, pair[0], pair[1]
            ));
        }
    };
    let inputs = layers.first().map_or(0, |layer| layer.inputs);
    let last = layers.len() - 1;
    let network = layers.iter().enumerate().fold(Network::new(inputs), |network, (at, layer)| {
        network.dense(layer.outputs, if at == last { Activation::Identity } else { activation })
    });
    let weights = Weights { layers };
    network.check().and_then(|()| network.check_weights(&weights)).map_err(|error| error.to_string())?;
    Ok(Model::new(network, weights, Loss::default()))
}

/// That a tensor can be a dense layer's.
fn check(name: &Name<'_>, shape: &[usize]) -> Result<(), String> {
    match (name.part, shape.len()) {
        ("weight", 2) | ("bias", 1) if name.number.is_some() => Ok(()),
        ("weight", 2) | ("bias", 1) => Err("has no number".into()),
        ("weight", 1) => Err(format!("has the shape {shape:?}, as a normalization's, and there are dense layers only")),
        ("weight", 3..=5) => {
            Err(format!("has the shape {shape:?}, as a convolution's, and there are dense layers only"))
        }
        ("running_mean" | "running_var" | "num_batches_tracked", _) => {
            Err("is a batch normalization's, and there are dense layers only".into())
        }
        _ => Err(format!("has the shape {shape:?}, and is neither a weight [out, in] nor a bias [out]")),
    }
}

fn values(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let data = tensor.data();
    let halves = |value: fn([u8; 2]) -> f32| data.chunks_exact(2).map(|bytes| value([bytes[0], bytes[1]])).collect();
    match tensor.dtype() {
        Dtype::F32 => Ok(bytemuck::pod_collect_to_vec(data)),
        Dtype::F64 => Ok(bytemuck::pod_collect_to_vec::<u8, f64>(data).into_iter().map(|value| value as f32).collect()),
        Dtype::F16 => Ok(halves(|bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => Ok(halves(|bytes| bf16::from_le_bytes(bytes).to_f32())),
        other => Err(format!("{name} is {other:?}: it must be F32, F64, F16 or BF16")),
    }
}
