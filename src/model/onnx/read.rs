//! Converts a graph to a model: every node is interpreted by its effect on the tensors before it, in the file's order; then the layers
//! that the output is made of are read.

use std::path::Path;

use prost::bytes::Bytes;
use serde_json::Value;

use super::ending::Ending;
use super::layers::Layer;
use super::nodes::Nodes;
use super::own;
use super::proto::{self, ModelProto};
use super::tree::{self, Known, Tree};
use crate::error::Error;
use crate::loss::{Loss, Task};
use crate::model::Model;
use crate::model::metadata::{METADATA, broken as metadata, bytes_of, classes_of, dropouts, entry, loss_of};
use crate::model::tensors::wrong_value;
use crate::network::Network;
use crate::weights::Weights;

/// The note on a graph that shows no loss.
const MSE_IS_ASSUMED: &str =
    "the graph ends in neither Softmax nor Sigmoid: its loss is mse, unless --loss sets another";

pub(super) fn model(path: &Path, bytes: Bytes, losses: &[Loss]) -> Result<(Model, Vec<String>), Error> {
    let broken = |reason: String| Error::format(path, reason);
    // As many values as the file could have: a tensor that is used often must not fill the memory.
    let room = bytes.len();
    let file = proto::decode(bytes).map_err(broken)?;
    let graph = file.graph.as_ref().ok_or_else(|| broken("it has no graph: it is not an ONNX model".into()))?;
    check_version(&file).map_err(broken)?;
    let about = own_words(path, &file)?;
    if let Some(model) = own::model(path, graph, &about, losses)? {
        return Ok((model, Vec::new()));
    }
    let mut nodes = Nodes::begin(graph, room).map_err(broken)?;
    for (at, node) in graph.node.iter().enumerate() {
        nodes.take(at, node).map_err(broken)?;
    }
    let Ending { layer, task, classes: named, mut notes } = Ending::of(graph, &nodes).map_err(broken)?;

    if entry(&about, "layers").is_some() {
        notes.push("its graph is not that of the layers in its metadata: the graph is read".into());
    }
    let said = dropouts(path, &about)?;
    let mut rates = said.iter().flatten().copied();
    // wgrad writes a body before its shortcut.
    let known = Known { body_first: about.is_some(), dropouts: &mut rates };
    let Tree { layers, weighted, input, features } = tree::tree(&nodes.layers, layer, known).map_err(broken)?;
    let scaling = features.scaling(input.values(), room).map_err(broken)?;
    if features.is_turned() {
        notes.push(format!("its images have their channels first, and here they come last, in images of {input}"));
    }
    let network = Network::of_form(input, layers);
    let weights = weights(&weighted, &network, nodes.room).map_err(broken)?;
    if let Some(rates) = said.filter(|rates| rates.len() != network.activations().len()) {
        let (rates, layers) = (rates.len(), network.activations().len());
        let reason = format!("dropout has {rates} rates, and the graph has {layers} layers: it must have one for each");
        return Err(metadata(path, reason));
    }

    let assumed = match (&about, task) {
        (None, Some(Task::EachOutput)) => Some(Loss::sigmoid_cross_entropy()),
        // skl2onnx' classifiers end in probabilities, so an end without them is a regression; a softmax of one output would always be 1.
        (None, None) if network.outputs() == 1 || file.producer_name == "skl2onnx" => {
            notes.push(MSE_IS_ASSUMED.into());
            Some(Loss::MeanSquaredError)
        }
        _ => None,
    };
    let loss = assumed.map_or_else(|| loss_of(path, &about, losses), Ok)?;
    check_end(task, &loss).map_err(broken)?;
    network.check().and_then(|()| network.check_weights(&weights)).map_err(|error| broken(error.to_string()))?;
    loss.check(network.outputs()).map_err(|error| broken(error.to_string()))?;
    let classes = match classes_of(path, &about, network.outputs())? {
        none if none.is_empty() => named,
        classes => classes,
    };
    Ok((Model { classes, scaling, bytes: bytes_of(path, &about)?, ..Model::new(network, weights, loss) }, notes))
}

/// The weights of these layers, which may have as many values as there is room for, and only those with which the network can compute.
fn weights(weighted: &[&Layer<'_>], network: &Network, mut room: usize) -> Result<Weights, String> {
    let mut layers = Vec::new();
    let mut parameters = network.named_parameters().into_iter();
    for layer in weighted {
        let say = |reason: String| layer.place().say(&reason);
        let own = match layer {
            Layer::Made(made) => made.weights(&mut room),
            Layer::Dense(dense) => dense.weights(&mut room).map(|own| vec![own]),
            Layer::Sum(_) => Ok(vec![]),
        };
        for own in own.map_err(say)? {
            if let Some((tensor, reason)) = parameters.next().and_then(|parameter| wrong_value(parameter.kind, &own)) {
                return Err(say(format!("its {tensor} {reason}")));
            }
            layers.push(own);
        }
    }
    Ok(Weights { layers })
}

/// The metadata that wgrad wrote, where it wrote the file.
fn own_words(path: &Path, file: &ModelProto) -> Result<Option<Value>, Error> {
    let own = file.metadata_props.iter().find(|entry| entry.key == METADATA);
    let own = own.map(|entry| crate::files::json::from_str(&entry.value)).transpose();
    own.map_err(|error| metadata(path, error))
}

/// Checks that the graph's end is that of the loss.
fn check_end(task: Option<Task>, loss: &Loss) -> Result<(), String> {
    match task.filter(|&task| task != loss.task()) {
        None => Ok(()),
        Some(task) => {
            let end = if task == Task::Classes { "Softmax" } else { "Sigmoid" };
            let loss = loss.name();
            Err(format!("it ends in {end}, and its metadata says that the loss is {loss}: they must agree"))
        }
    }
}

/// Checks that operators have the meaning that is assumed here: Gemm and Add broadcast by themselves since opset 7.
fn check_version(file: &ModelProto) -> Result<(), String> {
    let version = file.opset_import.iter().find(|set| super::nodes::is_standard(&set.domain));
    let version = version.map_or(0, |set| set.version);
    if version < 7 {
        return Err(format!("its operators are of opset {version}: it must be 7 or later"));
    }
    Ok(())
}
