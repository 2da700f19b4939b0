//! State dicts of a known network: the tensors have the names that its parameters have, after the same prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::tensor::TensorView;

use super::values;
use crate::error::Error;
use crate::loss::Loss;
use crate::model::tensors::check_values;
use crate::model::{Model, about, parse};
use crate::network::{Network, Parameter};
use crate::weights::{LayerWeights, Weights};

/// The number of minibatches that a batch norm of PyTorch saw, which changes no output.
const COUNTER: &str = ".num_batches_tracked";

impl Model {
    /// Reads a state dict of a network that is known, as one with convolutions must be: a state dict has neither strides nor pools nor activations. Its tensors
    /// have the names of [`Network::named_parameters`], those of a `torch.nn.Sequential`, or the same after one prefix, as `net.0.weight`. Values of f16, bf16
    /// and f64 become f32. The loss is taken as softmax cross-entropy, or, for one output, as mse.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a network that does not pass its check; [`Error::Io`], or [`Error::Format`] naming the first tensor that is missing, does not fit or
    /// is of no layer, and a file that says itself what its layers are.
    pub fn read_state_dict_as(path: impl AsRef<Path>, network: &Network) -> Result<Self, Error> {
        let path = path.as_ref();
        network.check()?;
        let bytes = crate::files::read_whole(path)?;
        let file = parse(path, &bytes)?;
        if about(path, &bytes)?.is_some() {
            return Err(Error::format(path, "it says itself what its layers are: import it without --config"));
        }
        let tensors: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
        let weights = weights(&tensors, network).map_err(|reason| Error::format(path, reason))?;
        let loss = if network.outputs() == 1 { Loss::MeanSquaredError } else { Loss::default() };
        Ok(Model::new(network.clone(), weights, loss))
    }
}

fn weights(tensors: &BTreeMap<String, TensorView<'_>>, network: &Network) -> Result<Weights, String> {
    let parameters = network.named_parameters();
    let prefix = prefix(tensors, &parameters);
    let mut unread: BTreeSet<&str> = tensors.keys().map(String::as_str).collect();
    let mut layers = Vec::new();
    for parameter in &parameters {
        let mut read = |name: &str, shape: &[usize]| {
            let name = format!("{prefix}{name}");
            let Parameter { location, .. } = parameter;
            let tensor = tensors.get(&name).ok_or_else(|| {
                format!("it has no tensor {name}, which {location} takes: {} ", named(tensors)).trim_end().to_string()
            })?;
            if tensor.shape() != shape {
                return Err(format!("{name} has the shape {:?}: {location} takes {shape:?}", tensor.shape()));
            }
            unread.remove(name.as_str());
            values(&name, tensor)
        };
        let [weight, bias] = parameter.tensor_names();
        let weight = read(&weight, &parameter.shape())?;
        let bias = if parameter.bias { read(&bias, &[parameter.outputs])? } else { vec![] };
        let layer = LayerWeights::new(parameter.inputs, parameter.outputs, weight, bias);
        check_values(parameter, &layer)?;
        layers.push(layer);
    }
    match unread.into_iter().find(|name| !name.ends_with(COUNTER)) {
        None => Ok(Weights { layers }),
        Some(name) => Err(format!("it has a tensor {name}, which none of the listed layers takes")),
    }
}

/// What all names begin with: of those with which the first parameter has a tensor, the one with which most have.
fn prefix(tensors: &BTreeMap<String, TensorView<'_>>, parameters: &[Parameter]) -> String {
    let Some(first) = parameters.first() else { return String::new() };
    let [first, _] = first.tensor_names();
    let found = |prefix: &&str| {
        let is_there = |own: &&Parameter| tensors.contains_key(&format!("{prefix}{}", own.tensor_names()[0]));
        parameters.iter().filter(is_there).count()
    };
    let prefixes = tensors.keys().filter_map(|name| name.strip_suffix(&first));
    let prefixes = prefixes.filter(|prefix| prefix.is_empty() || prefix.ends_with('.')).take(MOST_PREFIXES);
    prefixes.max_by_key(found).unwrap_or_default().into()
}

/// The most prefixes that are tried.
const MOST_PREFIXES: usize = 16;

/// The first names of a file, for messages.
fn named(tensors: &BTreeMap<String, TensorView<'_>>) -> String {
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    format!("its tensors are {}", super::order::listed(names.into_iter()))
}
