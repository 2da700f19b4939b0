//! Models that are exported and imported: ONNX, PyTorch's state dicts, and what `inspect` shows. `tests/interchange/check.py` has the same
//! models in ONNX Runtime and PyTorch.

mod damaged_graphs;
mod equal_sides;
mod faulty_nodes;
mod gpts;
mod graph;
mod graph_ends;
mod graphs;
mod images;
mod residual_names;
mod residuals;
mod state_dicts;
mod token_files;

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;
use wgrad::{Activation, Error, Initializer, Loss, Model, Network, Scaling};

use crate::bad_input::{refused, tensors};
use crate::reference::interpreter::Interpreter;
use crate::reference::network::{activate, layers};
use crate::support::{ACTIVATIONS, assert_close, bits, each_damaged, numbers, succeed};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/interchange")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.onnx"))).unwrap()
}

fn read(bytes: &[u8]) -> Result<Model, Error> {
    Model::from_onnx(Path::new("m.onnx"), bytes.to_vec(), &[])
}

/// A model with everything that a file can say.
fn full(activation: Activation, loss: Loss) -> Model {
    let network =
        Network::new(7).dense(5, activation).dropout(0.25).dense(4, activation).dense(3, Activation::Identity);
    Model {
        classes: ["zero", "one", "a \"third\" ü"].map(String::from).to_vec(),
        scaling: Some(Scaling {
            shift: (0..7).map(|at| f64::from(at as f32 / 3.0)).collect(),
            scale: (0..7).map(|at| 1.0 / (1 + at) as f32).collect(),
        }),
        ..Model::new(network.clone(), Initializer::Torch.weights(&network, 3), loss)
    }
}

/// Finds weights that are transposed or rounded, an activation that is another, and a loss, a name or a scaling that is lost on the way.
#[test]
fn a_model_comes_back_from_onnx_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let smoothed = Loss::SoftmaxCrossEntropy {
        label_smoothing: 0.1,
        class_weights: Some(vec![1.0, 0.5, 2.0]),
        ignore_index: Some(-100),
        gamma: 1.5,
    };
    for activation in ACTIVATIONS {
        for (loss, with_probabilities) in [
            (smoothed.clone(), true),
            (Loss::sigmoid_cross_entropy(), true),
            (Loss::Huber { delta: 0.5 }, false),
            (Loss::KlDivergence, true),
        ] {
            let model = full(activation, loss);
            for softmax in [false, true].into_iter().take(if with_probabilities { 2 } else { 1 }) {
                model.write_onnx(&path, softmax).unwrap();
                let back = Model::read_onnx(&path).unwrap();
                assert_eq!(back, model, "{activation}");
                assert_eq!(bits(&back.weights), bits(&model.weights));
            }
            assert_eq!(model.write_onnx(&path, true).is_ok(), with_probabilities, "{}", model.loss.name());
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let plain = Network::classifier(2, &[], Activation::Relu, 1);
    let plain = Model::new(plain.clone(), Initializer::Torch.weights(&plain, 1), Loss::MeanSquaredError);
    plain.write_onnx(&path, false).unwrap();
    assert_eq!(Model::read_onnx(&path).unwrap(), plain);
}

/// Finds a graph that is read otherwise than other programs mean it: a transposed weight, a forgotten factor, the wrong GELU, a scaling that is the
/// inverse. The files are from PyTorch's two exporters, Keras', and ONNX' own helper; the outputs are ONNX Runtime's.
#[test]
fn other_programs_models_give_the_outputs_they_gave_there() {
    let expected = std::fs::read(folder().join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let values = |name: &str| numbers(&expected, name);
    let x = values("x");
    let mut names = expected.names();
    names.retain(|name| *name != "x");
    assert_eq!(names.len(), 26);
    for name in names {
        let model = Model::read_onnx(folder().join(format!("{name}.onnx"))).unwrap_or_else(|error| panic!("{error}"));
        if let Some((_, activation)) = name.split_once('_').filter(|(tool, _)| tool.starts_with("torch"))
            && let Ok(activation) = activation.parse::<Activation>()
        {
            assert!(model.network.layers()[..2].iter().all(|layer| layer.activation() == activation), "{name}");
        }
        let logits = logits(&model, &x);
        let outputs = match name {
            "gemm_alpha_beta" | "keras_rescaling_flatten" | "torch_scaled_flatten_softmax" => softmax(&logits, 3),
            "matmul_add" => {
                assert_eq!(model.loss, Loss::sigmoid_cross_entropy());
                logits.into_iter().map(|z| activate(Activation::Sigmoid, z)).collect()
            }
            _ => logits,
        };
        assert_close(name, &outputs, &values(name), 1e-6);
    }
}

/// The softmax of each row.
pub fn softmax(logits: &[f64], classes: usize) -> Vec<f64> {
    let row = |z: &[f64]| {
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        z.iter().map(|z| z.exp() / sum).collect::<Vec<f64>>()
    };
    logits.chunks_exact(classes).flat_map(row).collect()
}

/// What a model makes of rows, in f64.
pub fn logits(model: &Model, x: &[f64]) -> Vec<f64> {
    let width = model.network.inputs();
    let scaled = |(at, &x): (usize, &f64)| match &model.scaling {
        Some(Scaling { shift, scale }) => (x - shift[at % width]) * f64::from(scale[at % width]),
        None => x,
    };
    let x: Vec<f64> = x.iter().enumerate().map(scaled).collect();
    Interpreter::evaluating(&model.network).logits(&layers(&model.weights), &x)
}

/// A message of protobuf, field by field: nothing here comes from the reader.
#[derive(Default)]
struct Proto(Vec<u8>);

impl Proto {
    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn int(self, tag: u64, value: u64) -> Self {
        self.varint(tag << 3).varint(value)
    }

    fn bytes(self, tag: u64, value: impl AsRef<[u8]>) -> Self {
        let mut with = self.varint(tag << 3 | 2).varint(value.as_ref().len() as u64);
        with.0.extend_from_slice(value.as_ref());
        with
    }

    fn fixed(self, tag: u64, value: f32) -> Self {
        let mut with = self.varint(tag << 3 | 5);
        with.0.extend_from_slice(&value.to_le_bytes());
        with
    }

    fn all<T>(self, tag: u64, values: &[T], message: impl Fn(&T) -> Proto) -> Self {
        values.iter().fold(self, |proto, value| proto.bytes(tag, message(value).0))
    }
}

/// An operator, its inputs and its output.
type Node<'a> = (&'a str, &'a [&'a str], &'a str);
/// A name, a shape and the values.
type Tensor<'a> = (&'a str, &'a [u64], &'a [f32]);

fn node(&(op, inputs, output): &Node<'_>) -> Proto {
    let proto = inputs.iter().fold(Proto::default(), |proto, input| proto.bytes(1, input));
    proto.bytes(2, output).bytes(3, format!("the {op}")).bytes(4, op)
}

fn tensor(&(name, dims, values): &Tensor<'_>) -> Proto {
    let proto = dims.iter().fold(Proto::default(), |proto, &dim| proto.int(1, dim));
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    proto.int(2, 1).bytes(8, name).bytes(9, raw)
}

/// A tensor with these dimensions, which may have any size.
fn value(name: &str, kind: u64, dims: usize) -> Vec<u8> {
    let shape = (0..dims).fold(Proto::default(), |shape, _| shape.bytes(1, Proto::default().bytes(2, "n").0));
    let of_tensor = Proto::default().int(1, kind).bytes(2, shape.0);
    Proto::default().bytes(1, name).bytes(2, Proto::default().bytes(1, of_tensor.0).0).0
}

/// A model that takes rows `x` and gives `y`.
fn onnx(nodes: &[Node<'_>], tensors: &[Tensor<'_>]) -> Vec<u8> {
    with_graph(Proto::default().all(1, nodes, node).all(5, tensors, tensor).bytes(11, value("x", 1, 2)))
}

fn with_graph(graph: Proto) -> Vec<u8> {
    let opset = Proto::default().int(2, 17).0;
    Proto::default().int(1, 8).bytes(7, graph.bytes(12, value("y", 1, 2)).0).bytes(8, opset).0
}

const W: Tensor<'_> = ("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
const B: Tensor<'_> = ("b", &[2], &[5.0, 6.0]);

/// Finds a graph that means something else than what is read of it: branches, unknown functions, values in the wrong place.
#[test]
fn what_is_no_chain_of_dense_layers_is_refused_by_name() {
    // Gemm's default: [in, out].
    let model = read(&onnx(&[("Gemm", &["x", "w", "b"], "y")], &[W, B])).unwrap();
    assert_eq!(model.weights.layers[0].weight, [1.0, 3.0, 2.0, 4.0]);

    let gemm: Node<'_> = ("Gemm", &["x", "w", "b"], "h");
    let number: Tensor<'_> = ("c", &[], &[2.0]);
    for (nodes, words) in [
        (&[("Conv", &["x", "w"][..], "y")][..], &["node 0", "Conv \"the Conv\"", "chain of Gemm"][..]),
        (
            &[gemm, ("Relu", &["h"], "r"), ("BatchNormalization", &["r", "b", "b"], "y")],
            &["node 2, BatchNormalization"],
        ),
        (
            &[gemm, ("Gemm", &["h", "w", "b"], "g"), ("Add", &["h", "g"], "y")],
            &["node 2, Add", "node 0, Gemm", "node 1, Gemm"],
        ),
        (&[gemm, ("Gemm", &["w", "h"], "y")], &["node 1, Gemm"]),
        (&[gemm, ("Relu", &["h"], "y")], &["ends in relu", "Softmax"]),
        (&[gemm, ("Exp", &["h"], "e"), ("Gemm", &["e", "w"], "y")], &["node 1, Exp", "what node 0, Gemm", "softplus"]),
        (&[gemm, ("Mul", &["h", "c"], "y")], &["what node 0, Gemm"]),
        (&[gemm, ("Softmax", &["h"], "s"), ("Gemm", &["s", "w"], "y")], &["node 2, Gemm"]),
        (&[gemm, ("Mul", &["h", "b"], "y")], &["node 1, Mul"]),
        (&[("MatMul", &["x", "w"], "h"), ("Add", &["h", "b"], "i"), ("Add", &["h", "i"], "y")], &["node 2", "\"h\""]),
        (&[("MatMul", &["w", "x"], "y")], &["node 0, MatMul"]),
        (
            &[("Sub", &["x", "c"], "a"), ("Sub", &["a", "c"], "d"), ("Gemm", &["d", "w"], "y")],
            &["node 1, Sub", "scaled once"],
        ),
        (&[("Div", &["c", "x"], "a"), ("Gemm", &["a", "w"], "y")], &["node 0, Div"]),
        (&[("Gemm", &["x", "w", "x"], "y")], &["node 0", "bias"]),
        (&[("Gemm", &["x", "b"], "y")], &["node 0", "[2]", "two dimensions"]),
        (&[("Gemm", &["x", "w", "w"], "y")], &["bias", "[2, 2]", "[2]"]),
        // Cycles and gaps.
        (&[("Add", &["x", "y"], "h"), ("Relu", &["h"], "y")], &["node 0", "\"y\"", "no node before it"]),
        (&[("Relu", &["y"], "y")], &["node 0", "\"y\""]),
        (&[("Gemm", &["x", "missing"], "y")], &["node 0", "\"missing\""]),
        (&[gemm, ("Relu", &["h"], "h")], &["node 1", "which already exists"]),
        (&[gemm], &["\"y\""]),
        (&[], &["\"y\""]),
        (&[("Identity", &["x"], "y")], &["\"y\""]),
        (&[("Gemm", &[], "y")], &["node 0"]),
    ] {
        let error = read(&onnx(nodes, &[W, B, number])).unwrap_err();
        for word in words {
            assert!(error.to_string().contains(word), "{nodes:?}: no {word} in: {error}");
        }
    }
}

/// Finds a file that fills the memory, takes forever, has another file opened, or ends the program.
#[test]
fn hostile_onnx_files_are_refused() {
    let one: [Node<'_>; 1] = [("Gemm", &["x", "w"], "y")];
    let with_weight =
        |weight: Proto| with_graph(Proto::default().all(1, &one, node).bytes(5, weight.0).bytes(11, value("x", 1, 2)));
    let external = tensor(&("w", &[2, 2], &[])).int(14, 1);
    let place = Proto::default().bytes(1, "location").bytes(2, "/etc/passwd").0;
    // A weight that every layer has once more: a thousand times what the file has.
    let names: Vec<String> = (0..=1000).map(|at| if at == 1000 { "y".into() } else { format!("x{at}") }).collect();
    let inputs: Vec<[&str; 2]> = (0..=1000).map(|at| [if at == 0 { "x" } else { &names[at - 1] }, "w"]).collect();
    let again: Vec<Node<'_>> =
        inputs.iter().zip(&names).map(|(inputs, name)| ("Gemm", &inputs[..], &name[..])).collect();
    let wide = vec![0.5; 100 * 100];
    let metadata = |text: &str| {
        let entry = Proto::default().bytes(1, "wgrad").bytes(2, text).0;
        [onnx(&one, &[W]), Proto::default().bytes(14, entry).0].concat()
    };
    let graph = |input: Vec<u8>| with_graph(Proto::default().all(1, &one, node).all(5, &[W], tensor).bytes(11, input));
    for (what, bytes, words) in [
        ("nothing", vec![], &["no graph"][..]),
        ("text", b"hello, this is a text".to_vec(), &["not a whole ONNX file"]),
        ("a state dict", tensors(&[("0.weight", &[1, 1], &[1.0])], None), &["not a whole ONNX file"]),
        ("2^120 values", onnx(&one, &[("w", &[1 << 60, 1 << 60], &[1.0])]), &["\"w\"", "no tensor in memory"]),
        ("2^60 values", onnx(&one, &[("w", &[1 << 59, 2], &[1.0])]), &["\"w\"", "4 bytes"]),
        ("no values of 2^40", onnx(&one, &[("w", &[0, 1 << 40], &[])]), &["no values"]),
        ("a negative size", onnx(&one, &[("w", &[u64::MAX, 2], &[1.0])]), &["[-1, 2]"]),
        ("a value too few", onnx(&one, &[("w", &[2, 2], &[1.0; 3])]), &["12 bytes", "4 values"]),
        ("no number", onnx(&one, &[("w", &[2, 2], &[f32::NAN; 4])]), &["node 0, Gemm", "its weight holds NaN"]),
        ("another file's values", with_weight(external.bytes(13, place)), &["another file", "external_data=False"]),
        ("integers", with_weight(Proto::default().int(1, 1).int(1, 1).int(2, 7).bytes(8, "w")), &["Int64", "Float"]),
        ("two tensors of a name", onnx(&one, &[W, W]), &["two tensors \"w\""]),
        ("a million nodes", onnx(&vec![("", &[][..], ""); 1 << 20], &[]), &["fields"]),
        ("a million sizes", with_weight(Proto::default().bytes(1, vec![1; 1 << 20])), &["fields"]),
        ("one weight a thousand times", onnx(&again, &[("w", &[100, 100], &wide)]), &["its own"]),
        ("rows of integers", graph(value("x", 7, 2)), &["Int64", "Float"]),
        ("no rows", graph(value("x", 1, 1)), &["1 dimensions", "[batch, features]"]),
        ("images, not flattened", graph(value("x", 1, 4)), &["Flatten"]),
        ("no input", graph(value("w", 1, 2)), &["0 inputs"]),
        (
            "an old opset",
            onnx(&one, &[W]).iter().map(|&byte| if byte == 17 { 6 } else { byte }).collect(),
            &["opset 6"],
        ),
        ("metadata that is none", metadata("{"), &["metadata"]),
        ("a loss that is none", metadata(r#"{"loss": {"kind": "x.wgsl"}}"#), &["metadata", "x.wgsl"]),
        ("a class too few", metadata(r#"{"classes": ["a"]}"#), &["metadata", "2 names"]),
        ("a group", Proto::default().varint(7 << 3 | 3).varint(7 << 3 | 4).0, &["group"]),
    ] {
        let error = read(&bytes).expect_err(what).to_string();
        for word in words {
            assert!(error.contains(word), "{what}: no {word} in: {error}");
        }
        assert!(error.starts_with("m.onnx: ") && error.len() < 1000, "{what}: {error}");
    }
    crate::support::refused(&["no such file: No such file"], Model::read_onnx("no such file"));
    crate::support::refused(&["it is a folder"], Model::read_onnx(folder()));
}

/// Finds a panic on a file that is cut short or damaged at any byte.
#[test]
fn damaged_onnx_files_never_panic() {
    let good = fixture("scaled");
    read(&good).unwrap();
    for end in 0..good.len() {
        assert!(read(&good[..end]).is_err(), "cut after {end} bytes");
    }
    for name in ["scaled", "matmul_add", "torch_softplus", "keras_rescaling_flatten"] {
        each_damaged(fixture(name), |bytes| drop(read(bytes)));
    }
}

/// Finds a state dict whose layers are read in another order than they have, or with an activation that was not given.
#[test]
fn state_dicts_are_read_under_the_names_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let read = |names: [&str; 3], activation| {
        let layers: Vec<(String, [usize; 2])> =
            [[4, 3], [5, 4], [2, 5]].into_iter().zip(names).map(|(shape, name)| (name.into(), shape)).collect();
        let values: Vec<f32> = (0..20).map(|at| at as f32).collect();
        let [weights, biases] =
            ["weight", "bias"].map(|part| layers.iter().map(|(name, _)| format!("{name}.{part}")).collect::<Vec<_>>());
        let mut entries: Vec<(&str, &[usize], &[f32])> = Vec::new();
        for ((weight, bias), (_, shape)) in weights.iter().zip(&biases).zip(&layers) {
            entries.push((weight, shape, &values[..shape[0] * shape[1]]));
            entries.push((bias, &shape[..1], &values[..shape[0]]));
        }
        std::fs::write(&path, tensors(&entries, None)).unwrap();
        Model::read_state_dict(&path, activation)
    };
    let relu = read(["0", "2", "4"], None).unwrap();
    assert_eq!(relu, Model::read(&path).unwrap());
    let tanh = read(["0", "2", "4"], Some(Activation::Tanh)).unwrap();
    assert_eq!(tanh.network, Network::classifier(3, &[4, 5], Activation::Tanh, 2));
    // Ten comes after nine; a prefix; layers with something between them.
    for names in [["net.layers.8", "net.layers.9", "net.layers.10"], ["fc1", "fc2", "fc3"], ["0", "3", "6"]] {
        let error = read(names, None).unwrap_err().to_string();
        assert!(error.contains(names[0]) && error.contains(names[1]) && error.contains("activation"), "{error}");
        assert_eq!(read(names, Some(Activation::Tanh)).unwrap(), tanh);
    }
    // Names that say no order, and shapes that leave one.
    for names in [["fc1", "fc2", "out"], ["a1", "b1", "c1"], ["z", "head", "a"]] {
        assert_eq!(read(names, Some(Activation::Tanh)).unwrap(), tanh, "{names:?}");
        let error = read(names, None).unwrap_err().to_string();
        assert!(error.contains(names[0]) && error.contains("activation"), "{error}");
    }
    // In the wrong order.
    let error = read(["2", "0", "4"], None).unwrap_err().to_string();
    assert!(error.contains("2.weight takes 3 inputs") && error.contains("5 outputs"), "{error}");
}

/// Finds a layer that is left out in silence, or an error that does not say which.
#[test]
fn state_dicts_that_do_not_fit_are_refused_by_tensor() {
    let dense: (&str, &[usize], &[f32]) = ("fc1.weight", &[2, 2], &[0.0; 4]);
    for (entries, words) in [
        (&[("conv1.weight", &[2, 1, 2, 2][..], &[0.0; 8][..]), dense][..], &["conv1.weight", "convolution"][..]),
        (&[("fc0.weight", &[2], &[0.0; 2]), dense], &["fc0.weight", "normalization"]),
        (&[("bn1.running_mean", &[2], &[0.0; 2]), dense], &["bn1.running_mean", "batch normalization"]),
        (&[("fc1.weight_g", &[2, 1], &[0.0; 2]), dense], &["fc1.weight_g", "neither"]),
        (&[("fc2.bias", &[2], &[0.0; 2]), dense], &["fc2.bias", "no weight"]),
        (&[("fc1.bias", &[3], &[0.0; 3]), dense], &["fc1.bias", "[3]", "[2]"]),
        (&[("fc1.weight", &[1 << 40, 0], &[])], &["fc1.weight", "no values"]),
        (&[("fc1.weight", &[1, 1], &[f32::INFINITY])], &["layer 1 holds inf"]),
        (&[], &["no tensors"]),
    ] {
        let words = [words, &["in.safetensors"]].concat();
        refused(
            &[("in.safetensors", tensors(entries, None))],
            &["import", "in.safetensors", "out.safetensors"],
            &words,
        );
    }
    let good = [("in.safetensors", tensors(&[dense], None)), ("m.onnx", fixture("torch_relu"))];
    for (arguments, words) in [
        (&["import", "in.safetensors", "out.onnx"][..], &["out.onnx", ".safetensors"][..]),
        (&["import", "net.pt", "out.safetensors"], &["net.pt", "save_file"]),
        (
            &["import", "m.onnx", "out.safetensors", "--activation", "tanh"],
            &["--activation", "contains its activations"],
        ),
        // Neither of these sends to the other.
        (
            &["import", "m.onnx", "out.safetensors", "--inputs", "4"],
            &["--inputs", "contains its inputs", "without --inputs"],
        ),
        (
            &["import", "m.onnx", "out.safetensors", "--config", "run.toml"],
            &["--config", "contains its layers", "without --config"],
        ),
        (
            &["import", "in.safetensors", "out.safetensors", "--inputs", "4"],
            &["--inputs", "no --config", "give both, or neither"],
        ),
        (&["import", "in.safetensors", "out.safetensors", "--loss", "hinge"], &["hinge", "mse"]),
        (&["export", "in.safetensors", "out.safetensors"], &["out.safetensors", ".onnx"]),
        (&["export", "m.onnx", "out.onnx"], &["m.onnx", "safetensors"]),
        (&["inspect", "missing"], &["missing"]),
        (&["inspect", "."], &["."]),
    ] {
        refused(&good, arguments, words);
    }
}

/// A model that is exported and imported again is the same file, and `inspect` shows what is in it.
#[test]
fn export_import_and_inspect_tell_what_is_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let model = full(
        Activation::Gelu,
        Loss::SoftmaxCrossEntropy { label_smoothing: 0.1, class_weights: None, ignore_index: None, gamma: 0.0 },
    );
    model.write(at("m.safetensors")).unwrap();
    succeed(folder.path(), &["export", "m.safetensors", "m.onnx", "--softmax"]);
    succeed(folder.path(), &["import", "m.onnx", "back.safetensors"]);
    assert!(std::fs::read(at("m.safetensors")).unwrap() == std::fs::read(at("back.safetensors")).unwrap());

    for file in ["m.safetensors", "m.onnx"] {
        let line: Value = serde_json::from_str(&succeed(folder.path(), &["inspect", file, "--json"])).unwrap();
        assert_eq!(line["parameters"], 7 * 5 + 5 + 5 * 4 + 4 + 4 * 3 + 3);
        let widths: Vec<_> =
            line["layers"].as_array().unwrap().iter().map(|layer| (&layer["inputs"], &layer["outputs"])).collect();
        assert_eq!(widths, [(&7.into(), &5.into()), (&5.into(), &4.into()), (&4.into(), &Value::from(3))]);
        assert_eq!((&line["layers"][0]["activation"], &line["layers"][0]["dropout"]), (&"gelu".into(), &0.25.into()));
        assert_eq!(
            (&line["loss"]["kind"], &line["loss"]["label_smoothing"]),
            (&"softmax-cross-entropy".into(), &0.1.into())
        );
        assert_eq!(line["classes"][2], "a \"third\" ü");
        assert_eq!(line["scaling"]["scale"][1], 0.5);
        let text = succeed(folder.path(), &["inspect", file]);
        for words in ["gelu", "0.25", "79 parameters", "label_smoothing", "zero, one"] {
            assert!(text.contains(words), "no {words} in {text}");
        }
    }

    // Other contents of a file are shown, too: a checkpoint's tensors and configuration.
    let values = [0.0f32; 4];
    let bytes: &[u8] = bytemuck::cast_slice(&values);
    let view =
        |shape: &[usize]| safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), bytes).unwrap();
    let entries = [
        ("0.weight", view(&[4, 1])),
        ("0.bias", view(&[4])),
        ("optimizer.0.m", view(&[2, 2])),
        ("state.step", view(&[4])),
    ];
    let metadata = [("run".to_string(), r#"{"epochs": 3}"#.to_string()), ("note".into(), "by hand".into())];
    std::fs::write(at("c.safetensors"), safetensors::serialize(entries, Some(metadata.into())).unwrap()).unwrap();
    let text = succeed(folder.path(), &["inspect", "c.safetensors"]);
    for words in ["8 parameters", "optimizer.0.m F32 [2, 2]", "state.step F32 [4]", "\"epochs\":3", "by hand"] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    let line: Value = serde_json::from_str(&succeed(folder.path(), &["inspect", "c.safetensors", "--json"])).unwrap();
    assert_eq!((line["tensors"].as_array().unwrap().len(), &line["metadata"]["run"]["epochs"]), (4, &3.into()));
}

/// Finds an activation of the user's own that becomes another in silence.
#[test]
fn the_users_own_activations_are_not_exported() {
    let own = Activation::custom(
        "softsign",
        "fn activate(z: f32) -> f32 { return z / (1.0 + abs(z)); }
         fn derivative(z: f32) -> f32 { return 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z))); }",
    );
    let folder = tempfile::tempdir().unwrap();
    let error = full(own.unwrap(), Loss::default()).write_onnx(folder.path().join("m.onnx"), false).unwrap_err();
    assert!(error.to_string().contains("softsign"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
