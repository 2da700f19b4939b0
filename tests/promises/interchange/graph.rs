//! Graphs as other programs could write them, made node by node.

use wgrad::{Activation, Model};

use super::{Proto, read, tensor, value};

pub const FLOAT: u64 = 1;
pub const INT64: u64 = 7;
pub const BOOL: u64 = 9;

/// An operator with its inputs, its outputs and its attributes.
pub fn op(name: &str, inputs: &[&str], outputs: &[&str], attributes: &[Proto]) -> Proto {
    let node = inputs.iter().fold(Proto::default(), |node, input| node.bytes(1, input));
    let node = outputs.iter().fold(node, |node, output| node.bytes(2, output));
    attributes.iter().fold(node.bytes(3, format!("the {name}")).bytes(4, name), |node, given| node.bytes(5, &given.0))
}

/// The same of ONNX' operators for machine learning.
pub fn learned(name: &str, inputs: &[&str], output: &str, attributes: &[Proto]) -> Proto {
    op(name, inputs, &[output], attributes).bytes(7, "ai.onnx.ml")
}

pub fn int(name: &str, value: i64) -> Proto {
    Proto::default().bytes(1, name).int(3, value as u64)
}

pub fn ints(name: &str, values: &[i64]) -> Proto {
    values.iter().fold(Proto::default().bytes(1, name), |proto, &value| proto.int(8, value as u64))
}

pub fn number(name: &str, value: f32) -> Proto {
    Proto::default().bytes(1, name).fixed(2, value)
}

pub fn words(name: &str, values: &[&str]) -> Proto {
    values.iter().fold(Proto::default().bytes(1, name), |proto, value| proto.bytes(9, value))
}

/// A tensor of integers, or of one of them where it has no dimension.
pub fn integers(name: &str, dims: &[u64], values: &[i64]) -> Proto {
    let proto = dims.iter().fold(Proto::default(), |proto, &dim| proto.int(1, dim));
    proto
        .int(2, INT64)
        .bytes(8, name)
        .bytes(9, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

pub fn flag(name: &str, value: bool) -> Proto {
    Proto::default().int(2, BOOL).bytes(8, name).bytes(9, [u8::from(value)])
}

/// A value of these sizes, of which 0 is any.
pub fn shaped(name: &str, kind: u64, sizes: &[u64]) -> Vec<u8> {
    let shape = sizes.iter().fold(Proto::default(), |shape, &size| {
        let any = Proto::default().bytes(2, "n");
        shape.bytes(1, if size == 0 { any } else { Proto::default().int(1, size) }.0)
    });
    let of_tensor = Proto::default().int(1, kind).bytes(2, shape.0);
    Proto::default().bytes(1, name).bytes(2, Proto::default().bytes(1, of_tensor.0).0).0
}

/// 4-3-2, in one of PyTorch's layouts, with what else a graph needs.
pub fn tensors(more: &[Proto]) -> Vec<Proto> {
    let w1: Vec<f32> = (0..12).map(|at| at as f32 / 7.0 - 0.8).collect();
    let turned: Vec<f32> = (0..12).map(|at| w1[at % 3 * 4 + at / 3]).collect();
    let w2: Vec<f32> = (0..6).map(|at| 0.6 - at as f32 / 5.0).collect();
    let plain = [
        tensor(&("w1", &[3, 4], &w1)),
        tensor(&("w1t", &[4, 3], &turned)),
        tensor(&("b1", &[3], &[0.1, -0.2, 0.3])),
        tensor(&("w2", &[2, 3], &w2)),
        tensor(&("b2", &[2], &[0.4, -0.5])),
        tensor(&("zero", &[], &[0.0])),
        tensor(&("zeros", &[1, 3], &[0.0; 3])),
        tensor(&("most", &[], &[f32::MAX])),
        tensor(&("infinite", &[], &[f32::INFINITY])),
        tensor(&("one", &[], &[1.0])),
        tensor(&("half", &[], &[0.5])),
    ];
    let copy = |proto: &Proto| Proto(proto.0.clone());
    plain.iter().chain(more).map(copy).collect()
}

/// A model that takes `x` of these sizes and gives these outputs.
pub fn model(nodes: &[Proto], more: &[Proto], x: Vec<u8>, outputs: &[&str], opset: u64) -> Vec<u8> {
    let graph = Proto::default().all(1, nodes, |node| Proto(node.0.clone()));
    let graph = graph.all(5, &tensors(more), |tensor| Proto(tensor.0.clone())).bytes(11, x);
    let graph = outputs.iter().fold(graph, |graph, output| graph.bytes(12, value(output, FLOAT, 2)));
    let opset = Proto::default().int(2, opset).0;
    Proto::default().int(1, 8).bytes(7, graph.0).bytes(8, opset).0
}

pub fn rows() -> Vec<u8> {
    shaped("x", FLOAT, &[0, 4])
}

pub fn first() -> Proto {
    op("Gemm", &["x", "w1", "b1"], &["h"], &[int("transB", 1)])
}

pub fn relu() -> Proto {
    op("Relu", &["h"], &["a"], &[])
}

pub fn last() -> Proto {
    op("Gemm", &["a", "w2", "b2"], &["y"], &[int("transB", 1)])
}

pub fn plain() -> Model {
    let model = read(&model(&[first(), relu(), last()], &[], rows(), &["y"], 17)).unwrap();
    assert_eq!(model.network, wgrad::Network::classifier(4, &[3], Activation::Relu, 2));
    model
}

#[track_caller]
pub fn same(what: &str, bytes: &[u8]) {
    let model = read(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(model == plain(), "{what}: {model:?}");
}

#[track_caller]
pub fn refused(what: &str, bytes: &[u8], words: &[&str]) {
    let error = read(bytes).expect_err(what).to_string();
    for word in words {
        assert!(error.contains(word), "{what}: no {word} in: {error}");
    }
    assert!(error.len() < 1000, "{what}: {error}");
}
