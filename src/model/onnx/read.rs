//! Converts a graph to a model: every node is interpreted by its effect on the tensors before it, in the file's order; then the layers
//! that the output is made of are read.

use std::path::Path;

use prost::bytes::Bytes;

use super::ending::Ending;
use super::nodes::Nodes;
use super::proto::{self, ModelProto};
use super::tree::{self, Known, Tree};
use crate::error::Error;
use crate::loss::{Loss, Task};
use crate::model::Model;
use crate::model::metadata::{METADATA, classes_of, dropouts, loss_of};
use crate::network::Network;
use crate::weights::Weights;

pub(super) fn model(path: &Path, bytes: Bytes, losses: &[Loss]) -> Result<(Model, Vec<String>), Error> {
    let broken = |reason: String| Error::format(path, reason);
    // As many values as the file could have: a tensor that is used often must not fill the memory.
    let room = bytes.len();
    let file = proto::decode(bytes).map_err(broken)?;
    let graph = file.graph.as_ref().ok_or_else(|| broken("it has no graph: it is not an ONNX model".into()))?;
    check_version(&file).map_err(broken)?;
    let mut nodes = Nodes::begin(graph, room).map_err(broken)?;
    for (at, node) in graph.node.iter().enumerate() {
        nodes.take(at, node).map_err(broken)?;
    }
    let Ending { layer, task, classes: named, mut notes } = Ending::of(graph, &nodes).map_err(broken)?;

    let about = file.metadata_props.iter().find(|entry| entry.key == METADATA);
    let about = about.map(|entry| serde_json::from_str(&entry.value)).transpose();
    let about = about.map_err(|error| broken(format!("its metadata: {error}")))?;
    // Files that are written here say what they are.
    let mut rates = dropouts(path, &about)?.into_iter();
    let known = Known { body_first: about.is_some(), dropouts: &mut rates };
    let Tree { layers, dense, features } = tree::tree(&nodes.layers, layer, known).map_err(broken)?;
    let first = dense.first().map_or(0, |dense| dense.inputs);
    let scaling = features.scaling(first).map_err(broken)?;
    let mut room = nodes.room;
    let weights = dense
        .iter()
        .enumerate()
        .map(|(at, dense)| dense.weights(&mut room).map_err(|reason| broken(format!("layer {}: {reason}", at + 1))));
    let weights = Weights { layers: weights.collect::<Result<_, _>>()? };
    let network = Network::of_layers(first, layers);

    let outputs = network.outputs();
    let loss = match (loss_of(path, &about, losses)?, task) {
        (_, Some(Task::EachOutput)) if about.is_none() => Loss::sigmoid_cross_entropy(),
        // skl2onnx' classifiers end in probabilities. Of one output, the softmax is 1.
        (_, None) if about.is_none() && (outputs == 1 || file.producer_name == "skl2onnx") => {
            notes.push(
                "the graph ends in no Softmax and no Sigmoid: its loss is mse, unless --loss says otherwise".into(),
            );
            Loss::MeanSquaredError
        }
        (loss, Some(task)) if loss.task() != task => {
            return Err(broken(format!(
                "it ends in {}, and its metadata says that the loss is {}: they must agree",
                if task == Task::Classes { "Softmax" } else { "Sigmoid" },
                loss.name()
            )));
        }
        (loss, _) => loss,
    };
    network.check().and_then(|()| network.check_weights(&weights)).map_err(|error| broken(error.to_string()))?;
    loss.check(network.outputs()).map_err(|error| broken(error.to_string()))?;
    let classes = match classes_of(path, &about, network.outputs())? {
        none if none.is_empty() => named,
        classes => classes,
    };
    Ok((Model { classes, scaling, ..Model::new(network, weights, loss) }, notes))
}

/// That the operators mean what they mean here: since opset 7, Gemm and Add broadcast by themselves.
fn check_version(file: &ModelProto) -> Result<(), String> {
    let version = file.opset_import.iter().find(|set| super::nodes::is_standard(&set.domain));
    let version = version.map_or(0, |set| set.version);
    if version < 7 {
        return Err(format!("its operators are of opset {version}: it must be 7 or later"));
    }
    Ok(())
}
