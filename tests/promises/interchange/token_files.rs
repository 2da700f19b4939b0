//! Networks of tokens in files: ours, ONNX, and PyTorch's state dicts with the names of `torch.nn.MultiheadAttention`. `tests/interchange/check.py` has their graphs
//! in ONNX Runtime.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;
use wgrad::{Activation, Form, Initializer, Layer, Loss, Model, Network, Scaling, Vocabulary};

use super::{logits, read};
use crate::residual::without_metadata;
use crate::support::{assert_close, bits, each_damaged, numbers, refused, succeed};
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

/// The weights that PyTorch trained, as its state dict has them under a prefix; its network, its rows, and its outputs for them.
struct Trained {
    bytes: Vec<u8>,
    network: Network,
    rows: Vec<f64>,
    outputs: Vec<f64>,
}

fn trained(name: &str, tied: &[(&str, &str)]) -> Trained {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-nets").join(format!("{name}.safetensors"));
    let bytes = std::fs::read(&path).unwrap();
    let (file, (_, header)) = (SafeTensors::deserialize(&bytes).unwrap(), SafeTensors::read_metadata(&bytes).unwrap());
    let case: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["case"]).unwrap();
    let x = file.tensor("x").unwrap();
    let rows = x.data().chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as f64).collect();
    let layers = Layer::list_from_json(&case["layers"].to_string()).unwrap();
    let network = Network::of_form(Form::Tokens(x.shape()[1]), layers);
    let final_tensors = file
        .tensors()
        .into_iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("final.")?.to_string(), tensor)));
    let mut tensors: Vec<(String, TensorView<'_>)> = final_tensors.collect();
    for (own, of) in tied {
        let tensor = tensors.iter().find(|(name, _)| name == of).unwrap().1.clone();
        tensors.push((own.to_string(), tensor));
    }
    let tensors = tensors.into_iter().map(|(name, tensor)| (format!("net.{name}"), tensor));
    Trained { bytes: safetensors::serialize(tensors, None).unwrap(), network, rows, outputs: numbers(&file, "eval") }
}

/// Finds queries that are read as keys, a table that is transposed, tied weights that are left over, places in another order.
#[test]
fn state_dicts_of_tokens_give_the_outputs_that_pytorch_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    // PyTorch has tied weights under both names.
    for (name, tied) in [
        ("embedding", &[][..]),
        ("embedding_mean", &[]),
        ("attention", &[]),
        ("gpt", &[]),
        ("gpt_tied", &[]),
        ("gpt_tied", &[("5.weight", "0.weight")]),
    ] {
        let Trained { bytes, network, rows, outputs } = trained(name, tied);
        std::fs::write(&path, bytes).unwrap();
        let model = Model::read_state_dict_as(&path, &network).unwrap();
        assert_close(name, &logits(&model, &rows), &outputs, 1e-5);
        if name == "attention" {
            refused(&["in_proj_bias", "attention", "--config"], Model::read_state_dict(&path, None));
        }
    }
    // The last file again, by the program: its rows are as long as there are positions, or as they are said to be.
    let Trained { network, .. } = trained("gpt_tied", &[]);
    let block = "{ residual = [{ layer_norm = true }, { attention = 3, causal = true }] },
                 { residual = [{ layer_norm = true }, { dense = 48, activation = \"gelu\" }, { dense = 12 }] }";
    let toml = format!(
        "[model]\nlayers = [{{ embedding = 12, vocabulary = 15 }}, {{ positions = 7 }}, {block}, {{ layer_norm = true }}, \
         {{ dense = 15, tied = true, bias = false }}]\n"
    );
    std::fs::write(folder.path().join("run.toml"), toml).unwrap();
    let import = ["import", "net.safetensors", "m.safetensors", "--config", "run.toml"];
    succeed(folder.path(), &import);
    assert_eq!(Model::read(folder.path().join("m.safetensors")).unwrap().network, network);
    let said = succeed(folder.path(), &[&import[..], &["--inputs", "2"]].concat());
    assert!(said.contains("arrays of tokens, 2 a row"), "{said}");
    assert_eq!(Model::read(folder.path().join("m.safetensors")).unwrap().network.input(), Form::Tokens(2));
    // A last layer whose weights are its own.
    let Trained { bytes, .. } = trained("gpt_tied", &[("5.weight", "1.weight")]);
    std::fs::write(&path, bytes).unwrap();
    refused(
        &["net.5.weight has other values than net.0.weight", "layer 6 is tied"],
        Model::read_state_dict_as(&path, &network),
    );
}
