//! Networks of tokens in files. `tests/interchange/check.py` has their graphs in ONNX Runtime.

use wgrad::{Activation, Initializer, Loss, Model, Network, Scaling, Vocabulary};

use super::read;
use crate::residual::without_metadata;
use crate::support::{bits, each_damaged, refused, succeed};
use crate::tokens::networks;

fn model(network: Network) -> Model {
    let weights = Initializer::Torch.weights(&network, 5);
    Model::new(network, weights, Loss::default())
}

/// Finds a layer of tokens that a reader or a writer of files does not know, a table that is transposed, an option or a vocabulary that is lost.
#[test]
fn networks_of_tokens_come_back_from_every_kind_of_file() {
    let folder = tempfile::tempdir().unwrap();
    let [own, onnx] = ["m.safetensors", "m.onnx"].map(|name| folder.path().join(name));
    for (what, network) in networks() {
        let model = model(network);
        let same = |read: Result<Model, wgrad::Error>| {
            let read = read.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(read, model, "{what}");
            assert_eq!(bits(&read.weights), bits(&model.weights), "{what}");
        };
        model.write(&own).unwrap();
        same(Model::read(&own));
        without_metadata(&own);
        same(Model::read_state_dict_as(&own, &model.network));
        for softmax in [false, true] {
            model.write_onnx(&onnx, softmax).unwrap();
            same(Model::read_onnx(&onnx));
        }
    }
    let vocabulary = Some(Vocabulary::of("Bär \n"));
    let with_text = Model { vocabulary, ..model(Network::tokens(3).embedding(4, 5).dense(5, Activation::Identity)) };
    with_text.write_onnx(&onnx, false).unwrap();
    assert_eq!(Model::read_onnx(&onnx).unwrap(), with_text);
    with_text.write(&own).unwrap();
    let said = succeed(folder.path(), &["export", "m.safetensors", "m.onnx"]);
    assert!(said.contains("x is tokens, [batch, 3]") && said.contains("the vocabulary is in"), "{said}");
    let said = succeed(folder.path(), &["inspect", "m.onnx"]);
    assert!(said.contains("inputs are 3 tokens"), "{said}");
}

/// Finds a graph of tokens that is read as something else where its list of layers is gone or is another's, and a panic on one that is damaged.
#[test]
fn graphs_of_tokens_are_read_only_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let network = Network::tokens(2).embedding(2, 3).positions(3).attention(1).dense(2, Activation::Identity);
    let small = model(network);
    small.write_onnx(&path, false).unwrap();
    let good = std::fs::read(&path).unwrap();
    let with = |from: &str, to: &str| {
        let mut bytes = good.clone();
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    for bytes in [
        with("\"layers\"", "\"unread\""),
        with("\"attention\":1", "\"attention\":2"),
        with("\"vocabulary\":3", "\"vocabulary\":9"),
        with("Softmax", "Sigmoid"),
    ] {
        refused(&["node 0, Gather", "as wgrad wrote it", "state dict"], read(&bytes));
    }
    each_damaged(good, |bytes| drop(read(bytes)));
    let scaling = Some(Scaling { shift: vec![0.0; 2], scale: vec![1.0; 2] });
    refused(&["tokens", "no quantities"], Model { scaling, ..small }.write_onnx(&path, false));
}
