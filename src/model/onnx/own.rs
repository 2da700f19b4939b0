//! Files that were written here: their metadata lists the layers, and the graph is that of these layers if writing them again gives the same graph.

use std::collections::HashMap;
use std::path::Path;

use super::constant::Constant;
use super::features::MOST_SCALED;
use super::proto::{GraphProto, TensorProto};
use super::write;
use crate::error::Error;
use crate::loss::Loss;
use crate::model::Model;
use crate::model::metadata::{
    activation_of, broken as metadata, bytes_of, classes_of, entry, inputs_of, loss_of, target_scaling_of,
};
use crate::model::tensors::{check_values, out_of_file};
use crate::network::{Form, Network, Parameter, from_json};
use crate::preprocessing::Scaling;
use crate::weights::{LayerWeights, Weights};

/// The model whose layers the metadata lists; nothing where it lists none, or where the graph is another one, as after another program changed it.
///
/// # Errors
///
/// [`Error::Format`] for a list that is no network.
pub(super) fn model(
    path: &Path,
    graph: &GraphProto,
    about: &Option<serde_json::Value>,
    losses: &[Loss],
) -> Result<Option<Model>, Error> {
    let Some(list) = entry(about, "layers") else { return Ok(None) };
    let layers = from_json(list, &|word| activation_of(word, &[])).map_err(|reason| metadata(path, reason))?;
    let input = inputs_of(path, about)?.ok_or_else(|| metadata(path, "it has layers and no inputs"))?;
    let network = Network::of_form(input, layers);
    network.check().map_err(|error| metadata(path, format!("layers: {error}")))?;
    let tensors: HashMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let loss = loss_of(path, about, losses)?;
    loss.check(network.outputs()).and_then(|()| network.check_outputs(&loss)).map_err(|error| metadata(path, error))?;
    let classes = classes_of(path, about, network.outputs())?;
    let target_scaling = target_scaling_of(path, about, &loss, network.outputs())?;
    let Some((weights, scaling)) = weights(&tensors, &network).zip(scaling(&tensors, network.input())) else {
        return Ok(None);
    };
    let model =
        Model { classes, scaling, target_scaling, bytes: bytes_of(path, about)?, ..Model::new(network, weights, loss) };
    let is_softmax = graph.output.iter().any(|output| output.name == "probabilities");
    let again = write::model(&model, is_softmax).ok().and_then(|again| again.graph);
    Ok((again.as_ref() == Some(graph)).then_some(model))
}

/// The values of a tensor.
fn values(tensors: &HashMap<&str, &TensorProto>, name: &str) -> Option<Vec<f32>> {
    tensors.get(name).and_then(|tensor| Constant::tensor(tensor).values().ok()).map(|(_, values)| values)
}

fn weights(tensors: &HashMap<&str, &TensorProto>, network: &Network) -> Option<Weights> {
    let of = |parameter: &Parameter| {
        let [weight, bias] = parameter.tensor_names();
        let bias = if parameter.bias { values(tensors, &bias)? } else { vec![] };
        let weight = values(tensors, &weight)?;
        // The list of layers and the tensors may be of different networks.
        let is_whole = Some(weight.len()) == parameter.inputs.checked_mul(parameter.outputs);
        let weight = is_whole.then(|| out_of_file(parameter, weight))?;
        Some(LayerWeights::new(parameter.inputs, parameter.outputs, weight, bias))
    };
    let weights = Weights { layers: network.named_parameters().iter().map(of).collect::<Option<_>>()? };
    let parameters = network.named_parameters();
    // Values that the layers cannot compute with are refused where the graph is read, by their node.
    let are_right = parameters.iter().zip(&weights.layers).all(|(own, layer)| check_values(own, layer).is_ok());
    network.check_weights(&weights).ok().filter(|()| are_right).map(|()| weights)
}

/// The scaling of the features, if there is one; nothing for one that is not as it is written here.
fn scaling(tensors: &HashMap<&str, &TensorProto>, input: Form) -> Option<Option<Scaling>> {
    if !tensors.contains_key(write::SHIFT) {
        return Some(None);
    }
    let [shift, scale] = [write::SHIFT, write::SCALE].map(|name| values(tensors, name));
    // A short file may have one value for all of a large image: what is too much is refused where the graph is read.
    let room = [&shift, &scale].into_iter().flatten().map(Vec::len).sum();
    if input.values() > MOST_SCALED.max(room) {
        return None;
    }
    let shift = write::to_input(input, &shift?)?.into_iter().map(f64::from).collect();
    Some(Some(Scaling { shift, scale: write::to_input(input, &scale?)? }))
}
