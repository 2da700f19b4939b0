//! What a model file says of itself beside its tensors: read as it is meant, and refused where it contradicts itself or the tensors.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Value, json};
use wgrad::{Activation, Dataset, Initializer, Loss, Model, Network, ReadOptions};

use crate::support::refused;

/// The metadata of a file, after a change; nothing else of it changes.
pub fn changed(from: &Path, to: &Path, change: &dyn Fn(&mut Value)) {
    rewritten(from, to, &|text| {
        let mut about: Value = serde_json::from_str(text).unwrap();
        change(&mut about);
        about.to_string()
    });
}

/// As [`changed`], by the text of the metadata.
fn rewritten(from: &Path, to: &Path, change: &dyn Fn(&str) -> String) {
    let bytes = std::fs::read(from).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let about = change(&header.metadata().as_ref().unwrap()["wgrad"]);
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let entries = HashMap::from([("wgrad".to_string(), about)]);
    std::fs::write(to, safetensors::serialize(tensors, Some(entries)).unwrap()).unwrap();
}

/// A key that is given twice is taken for its last value: within a list of layers, and of the metadata itself.
#[test]
fn keys_that_are_given_twice_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other, model) = written(folder.path(), &residual());
    for (once, twice, key) in [
        ("\"dense\":3", "\"dense\":3,\"dense\":3", "dense"),
        ("\"inputs\":8", "\"inputs\":8,\"inputs\":8", "inputs"),
        ("\"activation\":\"relu\"", "\"activation\":\"tanh\",\"activation\":\"relu\"", "activation"),
    ] {
        rewritten(&path, &other, &str::to_string);
        assert_eq!(Model::read(&other).unwrap(), model);
        rewritten(&path, &other, &|text| {
            assert!(text.contains(once), "{text}");
            text.replacen(once, twice, 1)
        });
        refused(&[&format!("the key \"{key}\" is given twice")], Model::read(&other));
    }
}

/// A file of a network, and the path of another beside it.
fn written(folder: &Path, network: &Network) -> (PathBuf, PathBuf, Model) {
    let model = Model::new(network.clone(), Initializer::Torch.weights(network, 1), Loss::default());
    let (path, other) = (folder.join("m.safetensors"), folder.join("other.safetensors"));
    model.write(&path).unwrap();
    (path, other, model)
}

/// A chain with a dropout: its tensors are numbered 0, 3 and 5.
fn chain() -> Network {
    let hidden = Network::new(8).dense(6, Activation::Relu).dropout(0.5).dense(5, Activation::Tanh);
    hidden.dense(3, Activation::Identity)
}

/// A residual is the first layer, and the body's first layer has another width.
fn residual() -> Network {
    let body = |body: Network| body.dense(6, Activation::Relu).dense(8, Activation::Identity);
    Network::new(8).residual(body).dense(3, Activation::Identity)
}

/// The width of the input is lost, or a file of before, which does not say it, is no longer read.
#[test]
fn a_list_of_layers_has_the_width_of_its_input_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other, model) = written(folder.path(), &residual());
    changed(&path, &other, &|about| assert_eq!(about["inputs"], 8));
    assert_eq!(Model::read(&other).unwrap(), model);
    changed(&path, &other, &|about| drop(about.as_object_mut().unwrap().remove("inputs").unwrap()));
    assert_eq!(Model::read(&other).unwrap(), model);
    // A chain of dense layers may say it, too.
    let (path, other, model) = written(folder.path(), &chain());
    changed(&path, &other, &|about| about["inputs"] = 8.into());
    assert_eq!(Model::read(&other).unwrap(), model);
}

/// A file whose metadata says two things is read as one of them.
#[test]
fn metadata_that_contradicts_itself_or_the_tensors_is_refused_by_key() {
    let folder = tempfile::tempdir().unwrap();
    for (network, key, value, words) in [
        (residual(), "inputs", json!(9), &["inputs is 9", "must be 8", "0.body.0.weight"][..]),
        (residual(), "inputs", json!(u64::MAX), &["inputs is 18446744073709551615", "must be 8"]),
        (residual(), "inputs", json!("8"), &["inputs is \"8\"", "whole number"]),
        (residual(), "inputs", json!(-8), &["inputs is -8", "whole number"]),
        (residual(), "inputs", json!(8.5), &["inputs is 8.5", "whole number"]),
        (residual(), "activations", json!(["relu", "relu", "identity"]), &["layers and activations", "only one"]),
        (residual(), "dropout", json!([0.0, 0.0, 0.0]), &["layers and dropout", "only one"]),
        (
            residual(),
            "layers",
            json!([{ "residual": [{ "dense": 7, "activation": "relu" }, { "dense": 8 }] }, { "dense": 3 }]),
            &["layers: 0.body.0.weight has the shape [6, 8]", "must be [7, 8]"],
        ),
        (
            residual(),
            "layers",
            json!([{ "residual": [{ "dense": 6, "activation": "relu" }, { "dense": 8 }] }, { "dense": 4 }]),
            &["layers: 1.weight has the shape [3, 8]", "must be [4, 8]"],
        ),
        (
            residual(),
            "layers",
            json!([{ "residual": [{ "dense": 6 }, { "dense": 7 }] }, { "dense": 3 }]),
            &["layers: layer 1 (residual) has 8 inputs", "7 outputs"],
        ),
        (chain(), "inputs", json!(9), &["inputs is 9", "must be 8", "0.weight"]),
        (chain(), "dropout", json!([0.5]), &["dropout has 1 rates", "3 layers", "one rate for each layer"]),
        (chain(), "dropout", json!([0.5, 0.0, 0.0, 0.0]), &["dropout has 4 rates", "3 layers", "7.weight"]),
        (chain(), "dropout", json!([0.0, 0.0, 0.0]), &["dropout has 3 rates", "1 layers", "no tensor 2.weight"]),
        (chain(), "dropout", json!([]), &["dropout has 0 rates"]),
        (chain(), "dropout", json!([0.5, "0", 0.0]), &["dropout must be a list of numbers"]),
        (chain(), "activations", json!(["relu", "tanh"]), &["activations must be a list of 3 words"]),
        (chain(), "activations", json!("relu"), &["activations must be a list of 3 words"]),
        (chain(), "activations", json!(["relu", 3, "identity"]), &["activations has 3", "words"]),
        (chain(), "layers", json!([{ "dense": 6 }, { "dense": 3 }]), &["layers and activations", "only one"]),
        (chain(), "loss", json!("mse"), &["loss is \"mse\"", "table", "kind"]),
        (chain(), "loss", json!({ "gamma": 1.0 }), &["loss is", "kind"]),
        (
            chain(),
            "loss",
            json!({ "kind": "softmax-cross-entropy", "class_weights": [1.0, "2", 1.0] }),
            &["class_weights", "list of numbers"],
        ),
        (
            chain(),
            "loss",
            json!({ "kind": "softmax-cross-entropy", "gamma": null }),
            &["gamma is null", "must be a number"],
        ),
    ] {
        let (path, other, _) = written(folder.path(), &network);
        changed(&path, &other, &|about| about[key] = value.clone());
        refused(&[words, &["other.safetensors", "its metadata"]].concat(), Model::read(&other));
    }
}

/// The dropouts of a graph, of which some are left over or missing.
#[test]
fn a_graph_has_a_dropout_for_each_layer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let (.., model) = written(folder.path(), &chain());
    model.write_onnx(&path, false).unwrap();
    assert_eq!(Model::read_onnx(&path).unwrap(), model);
    let bytes = std::fs::read(&path).unwrap();
    for (to, words) in [
        ("\"dropout\":[0.5,0.025]", &["dropout has 2 rates", "3 layers"][..]),
        ("\"dropout\":[0.5,0,0,0]", &["dropout has 4 rates", "3 layers"]),
    ] {
        let from = "\"dropout\":[0.5,0.0,0.0]";
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        // Blanks keep the length, which is in the file.
        let mut changed = bytes.clone();
        changed[at..at + from.len()].copy_from_slice(format!("{to:<width$}", width = from.len()).as_bytes());
        std::fs::write(&path, &changed).unwrap();
        refused(&[words, &["m.onnx", "its metadata"]].concat(), Model::read_onnx(&path));
    }
}

/// Finds outputs that are called by the names of other classes than the table has, or two classes of one name.
#[test]
fn classes_have_names_of_their_own_which_are_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let (table, path, other) = (folder.path().join("t.csv"), folder.path().join("m"), folder.path().join("other"));
    std::fs::write(&table, "x,kind\n1.5,a\n2.5,b\n3.5,c\n").unwrap();
    let (set, _) = Dataset::read(&table, &ReadOptions::default()).unwrap();
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    refused(&["must begin with the target's classes"], set.clone().with_class_names(names(&["c", "b", "a"])));
    let network = Network::new(1).dense(4, Activation::Identity);
    let weights = Initializer::Torch.weights(&network, 1);
    let model = Model {
        columns: set.columns().cloned(),
        classes: names(&["a", "b", "c", "3"]),
        ..Model::new(network, weights, Loss::default())
    };
    model.write(&path).unwrap();
    assert_eq!(Model::read(&path).unwrap(), model);
    for (classes, words) in [
        (json!(["a", "a", "b", "c"]), &["classes has \"a\" twice"][..]),
        (json!(["b", "a", "c", "3"]), &["columns", "\"kind\", has the classes a, b, c", "named b, a, c, 3"]),
        (json!(["3", "a", "b", "c"]), &["columns", "must begin with the target's classes"]),
    ] {
        changed(&path, &other, &|about| about["classes"] = classes.clone());
        refused(&[words, &["other", "its metadata"]].concat(), Model::read(&other));
    }
    changed(&path, &other, &|about| about["columns"]["target"]["classes"] = json!(["a", "a"]));
    refused(&["other", "columns", "classes have \"a\" twice"], Model::read(&other));
}
