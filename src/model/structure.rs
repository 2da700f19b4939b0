//! The network of a model file: the list of layers in its metadata, or a chain of dense layers, which its tensors' names and shapes say.

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use super::metadata::{activation_of, activations_of, broken, dropouts, entry, inputs_of};
use super::tensors::LISTED;
use crate::activation::Activation;
use crate::error::Error;
use crate::network::{Form, Network, Parameter, ParameterKind, from_json};

/// The network, and the prefix of its tensors' names.
pub(super) fn network(
    path: &Path,
    file: &SafeTensors<'_>,
    about: &Option<Value>,
    own: &[Activation],
) -> Result<(Network, &'static str), Error> {
    let network = match entry(about, "layers") {
        Some(list) => (listed(path, file, about, list, own)?, ""),
        None => {
            let begins_initial = file.tensor("0.weight").is_err() && file.tensor("init.0.weight").is_ok();
            let prefix = if begins_initial { "init." } else { "" };
            let is_within = |name: &&str| layer_of(name, prefix).is_some_and(|(layer, _)| layer.contains('.'));
            if let Some(name) = file.names().into_iter().filter(is_within).min() {
                let reason = match about {
                    Some(_) => "its metadata must have one under layers",
                    None => {
                        "a file of another program has to be converted first: wgrad import FILE OUT.safetensors --activation relu"
                    }
                };
                return Err(Error::format(
                    path,
                    format!("it has a tensor {name}, which is of a residual, and no list of its layers: {reason}"),
                ));
            }
            let network = chain(path, file, prefix, about, own)?;
            network.check().map_err(|error| Error::format(path, error.to_string()))?;
            (network, prefix)
        }
    };
    check_all_read(path, file, network.1, &network.0)?;
    Ok(network)
}

/// A network of listed layers. A file that does not say its inputs has as many as its first weights take: it was written by a version whose layers all
/// were dense ones, or sums of such.
fn listed(
    path: &Path,
    file: &SafeTensors<'_>,
    about: &Option<Value>,
    list: &Value,
    own: &[Activation],
) -> Result<Network, Error> {
    if let Some(key) = ["activations", "dropout"].into_iter().find(|key| entry(about, key).is_some()) {
        let reason =
            format!("it has layers and {key}: layers says the {key} too, so only one of the two keys may be there");
        return Err(broken(path, reason));
    }
    let layers = from_json(list, &|word| activation_of(word, own)).map_err(|reason| broken(path, reason))?;
    let of = |inputs: usize| Network::of_layers(inputs, layers.clone());
    let network = match inputs_of(path, about)? {
        Some(input) => Network::of_listed(input, layers.clone()),
        None => of(inputs_of_first(path, file, &of(1))?),
    };
    let check = || network.check().map_err(|error| broken(path, format!("layers: {error}")));
    if matches!(network.input(), Form::Image(_)) {
        check()?;
    }
    if let Some((Parameter { name, .. }, shape)) = mismatch(file, &network)
        && let (Form::Features(_), [_, taken]) = (network.input(), &shape[..])
        && let &taken = taken
        // Where another number of inputs makes all layers fit their tensors, it is this number that is wrong.
        && taken != network.inputs()
        && mismatch(file, &of(taken)).is_none()
    {
        let reason = format!(
            "inputs is {}: it must be {taken}, as {name}.weight has the shape {shape:?} and takes {taken} values",
            network.inputs()
        );
        return Err(broken(path, reason));
    }
    check()?;
    if let Some((parameter, shape)) = mismatch(file, &network) {
        let ([name, _], right) = (parameter.tensor_names(), parameter.shape());
        let Parameter { location, .. } = parameter;
        let reason = format!(
            "layers: {name} has the shape {shape:?}, and {location}, which it is of, is listed so that it must be {right:?}"
        );
        return Err(broken(path, reason));
    }
    Ok(network)
}

/// How many inputs the first weights of a network take.
fn inputs_of_first(path: &Path, file: &SafeTensors<'_>, network: &Network) -> Result<usize, Error> {
    // The names do not depend on the inputs.
    let named = network.named_parameters();
    let first = named.first().ok_or_else(|| broken(path, "its layers have no weights"))?;
    let name = format!("{}.weight", first.name);
    match file.tensor(&name) {
        Ok(tensor) if tensor.shape().len() == 2 => Ok(tensor.shape()[1]),
        Ok(tensor) => Err(shape_of_no_matrix(path, &name, tensor.shape(), LISTED_THERE)),
        Err(_) => Err(Error::format(path, format!("it has no tensor {name}"))),
    }
}

/// The first weights of a network whose tensor has another shape. Those whose tensor is missing are found where tensors are read.
fn mismatch(file: &SafeTensors<'_>, network: &Network) -> Option<(Parameter, Vec<usize>)> {
    network.named_parameters().into_iter().find_map(|parameter| {
        let [name, _] = parameter.tensor_names();
        let shape = file.tensor(&name).ok()?.shape().to_vec();
        (shape != parameter.shape()).then_some((parameter, shape))
    })
}

/// How a file says its layers that has metadata: it is its own word that counts.
const LISTED_THERE: &str = "in its metadata, with the inputs of the first";

fn shape_of_no_matrix(path: &Path, name: &str, shape: &[usize], how: &str) -> Error {
    let hint = match shape.len() {
        1 | 4 => format!(", or the layers must be listed, {how}"),
        _ => String::new(),
    };
    Error::format(path, format!("{name} has the shape {shape:?}: it must be [out, in]{hint}"))
}

/// A chain of dense layers, which are numbered as in a `torch.nn.Sequential` with an activation after each, and some dropouts.
pub(crate) fn chain(
    path: &Path,
    file: &SafeTensors<'_>,
    prefix: &str,
    about: &Option<Value>,
    own: &[Activation],
) -> Result<Network, Error> {
    let dropouts = dropouts(path, about)?;
    let rates = dropouts.iter().flatten().copied().chain(std::iter::repeat(0.0));
    let (mut shapes, mut number) = (Vec::<[usize; 2]>::new(), 0);
    let mut kept = Vec::new();
    for rate in rates {
        let name = format!("{prefix}{number}.weight");
        let Ok(weight) = file.tensor(&name) else { break };
        let &[outputs, inputs] = weight.shape() else {
            let how = if about.is_some() { LISTED_THERE } else { LISTED };
            return Err(shape_of_no_matrix(path, &name, weight.shape(), how));
        };
        if let Some([_, before]) = shapes.last().filter(|[_, before]| *before != inputs) {
            let reason = format!("{name} takes {inputs} inputs, and the layer before it has {before} outputs");
            return Err(Error::format(path, reason));
        }
        let bias = format!("{prefix}{number}.bias");
        if file.tensor(&bias).is_err() {
            return Err(Error::format(path, format!("it has {name} and no {bias}")));
        }
        shapes.push([inputs, outputs]);
        kept.push(rate);
        number += if rate > 0.0 { 3 } else { 2 };
    }
    let Some(&[inputs, _]) = shapes.first() else {
        let reason = "it has no tensor 0.weight: a model's layers are named 0.weight, 0.bias, 2.weight, …";
        return Err(Error::format(path, reason));
    };
    if let Some(said) = inputs_of(path, about)?.filter(|&said| said != Form::Features(inputs)) {
        let reason = format!("inputs is {said}: it must be {inputs}, as {prefix}0.weight takes {inputs} values");
        return Err(broken(path, reason));
    }
    if let Some(count) = dropouts.map(|rates| rates.len()).filter(|&count| count != shapes.len()) {
        let reason = format!(
            "dropout has {count} rates, and with them the file has {} layers, as there is no tensor {prefix}{number}.weight: it must have one rate for \
             each layer",
            shapes.len()
        );
        return Err(broken(path, reason));
    }
    let activations = activations_of(path, about, shapes.len(), own)?;
    let layers = activations.into_iter().zip(shapes).zip(kept);
    Ok(layers.fold(Network::new(inputs), |network, ((activation, [_, outputs]), rate)| {
        network.dense(outputs, activation).dropout(rate)
    }))
}

/// That no layer was left over: a network with a layer in between that has no weights (dropout, a second activation) numbers
/// the rest differently, and would be read as another, shorter one.
fn check_all_read(path: &Path, file: &SafeTensors<'_>, prefix: &str, network: &Network) -> Result<(), Error> {
    let known = network.named_parameters();
    for name in file.names() {
        let Some((layer, part)) = layer_of(name, prefix) else { continue };
        let own: Vec<&Parameter> = known.iter().filter(|known| known.name == layer).collect();
        let is_read = |own: &&Parameter| {
            let [first, second] = own.kind.tensors();
            // PyTorch counts minibatches, and computes nothing by their number where there is a momentum.
            part == first || part == second && own.bias || part == COUNTER && own.kind == ParameterKind::Statistics
        };
        if own.iter().any(is_read) {
            continue;
        }
        let reason = match (own.first(), network.is_chain()) {
            (Some(Parameter { location, .. }), _) => {
                format!("it has a tensor {name}, and {location} is one that has no {part}")
            }
            (None, true) => format!(
                "it has a tensor {name}, and no tensor {}.weight before it: dense layers are numbered 0, 2, 4, … with one activation after each",
                next_number(network)
            ),
            (None, false) => format!("it has a tensor {name}, and its list of layers has none of this name"),
        };
        return Err(Error::format(path, reason));
    }
    Ok(())
}

/// A tensor of PyTorch's batch norms: the number of minibatches that they saw in training.
const COUNTER: &str = "num_batches_tracked";

/// The layer that a tensor is of, and which of its tensors it is.
fn layer_of<'n>(name: &'n str, prefix: &str) -> Option<(&'n str, &'n str)> {
    let (layer, part) = name.strip_prefix(prefix)?.rsplit_once('.')?;
    (["weight", "bias", "running_mean", "running_var", COUNTER].contains(&part) && is_layer(layer))
        .then_some((layer, part))
}

/// Whether a name begins with a number, as a layer's does: `2`, `2.body.0`, and `1.0` of a module within a module.
fn is_layer(name: &str) -> bool {
    name.split('.').next().is_some_and(|word| word.parse::<usize>().is_ok())
}

/// The number that a dense layer after the last would have.
fn next_number(network: &Network) -> String {
    let longer = network.clone().dense(1, Activation::Identity).named_parameters();
    longer.last().map_or_else(String::new, |last| last.name.clone())
}
