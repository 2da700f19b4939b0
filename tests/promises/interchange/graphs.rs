//! The ways in which programs write a chain of dense layers: each is read as the plain one is, or refused by name.

use wgrad::{Activation, Loss, Model};

use super::{Proto, read, tensor, value};

const FLOAT: u64 = 1;
const INT64: u64 = 7;
const BOOL: u64 = 9;

/// An operator with its inputs, its outputs and its attributes.
fn op(name: &str, inputs: &[&str], outputs: &[&str], attributes: &[Proto]) -> Proto {
    let node = inputs.iter().fold(Proto::default(), |node, input| node.bytes(1, input));
    let node = outputs.iter().fold(node, |node, output| node.bytes(2, output));
    attributes.iter().fold(node.bytes(3, format!("the {name}")).bytes(4, name), |node, given| node.bytes(5, &given.0))
}

/// The same of ONNX' operators for machine learning.
fn learned(name: &str, inputs: &[&str], output: &str, attributes: &[Proto]) -> Proto {
    op(name, inputs, &[output], attributes).bytes(7, "ai.onnx.ml")
}

fn int(name: &str, value: i64) -> Proto {
    Proto::default().bytes(1, name).int(3, value as u64)
}

fn ints(name: &str, values: &[i64]) -> Proto {
    values.iter().fold(Proto::default().bytes(1, name), |proto, &value| proto.int(8, value as u64))
}

fn number(name: &str, value: f32) -> Proto {
    Proto::default().bytes(1, name).fixed(2, value)
}

fn words(name: &str, values: &[&str]) -> Proto {
    values.iter().fold(Proto::default().bytes(1, name), |proto, value| proto.bytes(9, value))
}

/// A tensor of integers, or of one of them where it has no dimension.
fn integers(name: &str, dims: &[u64], values: &[i64]) -> Proto {
    let proto = dims.iter().fold(Proto::default(), |proto, &dim| proto.int(1, dim));
    proto
        .int(2, INT64)
        .bytes(8, name)
        .bytes(9, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

fn flag(name: &str, value: bool) -> Proto {
    Proto::default().int(2, BOOL).bytes(8, name).bytes(9, [u8::from(value)])
}

/// A value of these sizes, of which 0 is any.
fn shaped(name: &str, kind: u64, sizes: &[u64]) -> Vec<u8> {
    let shape = sizes.iter().fold(Proto::default(), |shape, &size| {
        let any = Proto::default().bytes(2, "n");
        shape.bytes(1, if size == 0 { any } else { Proto::default().int(1, size) }.0)
    });
    let of_tensor = Proto::default().int(1, kind).bytes(2, shape.0);
    Proto::default().bytes(1, name).bytes(2, Proto::default().bytes(1, of_tensor.0).0).0
}

/// 4-3-2, in one of PyTorch's layouts, with what else a graph needs.
fn tensors(more: &[Proto]) -> Vec<Proto> {
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
fn model(nodes: &[Proto], more: &[Proto], x: Vec<u8>, outputs: &[&str], opset: u64) -> Vec<u8> {
    let graph = Proto::default().all(1, nodes, |node| Proto(node.0.clone()));
    let graph = graph.all(5, &tensors(more), |tensor| Proto(tensor.0.clone())).bytes(11, x);
    let graph = outputs.iter().fold(graph, |graph, output| graph.bytes(12, value(output, FLOAT, 2)));
    let opset = Proto::default().int(2, opset).0;
    Proto::default().int(1, 8).bytes(7, graph.0).bytes(8, opset).0
}

fn rows() -> Vec<u8> {
    shaped("x", FLOAT, &[0, 4])
}

fn first() -> Proto {
    op("Gemm", &["x", "w1", "b1"], &["h"], &[int("transB", 1)])
}

fn relu() -> Proto {
    op("Relu", &["h"], &["a"], &[])
}

fn last() -> Proto {
    op("Gemm", &["a", "w2", "b2"], &["y"], &[int("transB", 1)])
}

fn plain() -> Model {
    let model = read(&model(&[first(), relu(), last()], &[], rows(), &["y"], 17)).unwrap();
    assert_eq!(model.network, wgrad::Network::classifier(4, &[3], Activation::Relu, 2));
    model
}

#[track_caller]
fn same(what: &str, bytes: &[u8]) {
    let model = read(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(model == plain(), "{what}: {model:?}");
}

#[track_caller]
fn refused(what: &str, bytes: &[u8], words: &[&str]) {
    let error = read(bytes).expect_err(what).to_string();
    for word in words {
        assert!(error.contains(word), "{what}: no {word} in: {error}");
    }
    assert!(error.len() < 1000, "{what}: {error}");
}

/// Finds a relu that is taken for another function because it is a Max or a Clip, a bound that is taken for none, a Cast that is refused.
#[test]
fn what_stands_between_layers_is_known_by_what_it_computes() {
    let cast = |from: &str, to: &str, kind| op("Cast", &[from], &[to], &[int("to", kind)]);
    let between: Vec<(&str, Vec<Proto>, u64)> = vec![
        ("Max, the number right", vec![op("Max", &["h", "zero"], &["a"], &[])], 17),
        ("Max, the number left", vec![op("Max", &["zero", "h"], &["a"], &[])], 17),
        ("Max of a row", vec![op("Max", &["h", "zeros"], &["a"], &[])], 17),
        ("Clip without a bound above", vec![op("Clip", &["h", "zero"], &["a"], &[])], 17),
        ("Clip with an empty bound above", vec![op("Clip", &["h", "zero", ""], &["a"], &[])], 17),
        ("Clip to the largest f32", vec![op("Clip", &["h", "zero", "most"], &["a"], &[])], 17),
        ("Clip to infinity", vec![op("Clip", &["h", "zero", "infinite"], &["a"], &[])], 17),
        ("Clip with an attribute", vec![op("Clip", &["h"], &["a"], &[number("min", 0.0)])], 10),
        (
            "Clip with both attributes",
            vec![op("Clip", &["h"], &["a"], &[number("min", 0.0), number("max", f32::MAX)])],
            7,
        ),
        ("Where", vec![op("Greater", &["h", "zero"], &["c"], &[]), op("Where", &["c", "h", "zero"], &["a"], &[])], 17),
        (
            "a comparison as a factor",
            vec![op("Less", &["zero", "h"], &["c"], &[]), cast("c", "d", 1), op("Mul", &["h", "d"], &["a"], &[])],
            17,
        ),
        (
            "zeros of the same shape",
            vec![
                op("Shape", &["h"], &["s"], &[]),
                op("ConstantOfShape", &["s"], &["z"], &[]),
                op("Max", &["z", "h"], &["a"], &[]),
            ],
            17,
        ),
        ("f64 and back", vec![cast("h", "c", 11), cast("c", "d", 1), op("Relu", &["d"], &["a"], &[])], 17),
        ("Dropout", vec![relu_to("r"), op("Dropout", &["r"], &["a"], &[])], 17),
        ("Dropout of opset 10", vec![relu_to("r"), op("Dropout", &["r"], &["a", "m"], &[number("ratio", 0.5)])], 10),
        ("Dropout, not in training", vec![relu_to("r"), op("Dropout", &["r", "half", "no"], &["a", "m"], &[])], 13),
        ("Dropout without a ratio", vec![relu_to("r"), op("Dropout", &["r", "", "no"], &["a"], &[])], 13),
        ("what nothing takes", vec![relu(), op("Conv", &["h"], &["other"], &[])], 17),
    ];
    for (what, nodes, opset) in between {
        let nodes: Vec<Proto> = std::iter::once(first()).chain(nodes).chain([last()]).collect();
        same(what, &model(&nodes, &[flag("no", false)], rows(), &["y"], opset));
    }

    let number_of = |name: &'static str, value: f32| tensor(&(name, &[], &[value]));
    let more =
        [number_of("six", 6.0), number_of("much", 5000.0), flag("yes", true), tensor(&("row", &[3], &[0.0, 1.0, 0.0]))];
    let bounded: &[(&str, Proto, &[&str])] = &[
        ("relu6", op("Clip", &["h", "zero", "six"], &["a"], &[]), &["node 2, Gemm", "follows layer 1"]),
        ("a bound far out", op("Clip", &["h", "zero", "much"], &["a"], &[]), &["follows layer 1"]),
        (
            "a bound far out, as an attribute",
            op("Clip", &["h"], &["a"], &[number("min", 0.0), number("max", 1e6)]),
            &["follows layer 1"],
        ),
        ("no bound", op("Clip", &["h", "", "six"], &["a"], &[]), &["follows layer 1"]),
        ("Max with 1", op("Max", &["h", "one"], &["a"], &[]), &["follows layer 1"]),
        ("Max with other numbers", op("Max", &["h", "row"], &["a"], &[]), &["node 1, Max"]),
        (
            "Dropout in training",
            op("Dropout", &["h", "half", "yes"], &["a"], &[]),
            &["node 1, Dropout", "training_mode is true", "eval"],
        ),
        ("Dropout, who knows when", op("Dropout", &["h", "half", "h"], &["a"], &[]), &["training_mode"]),
        ("whole numbers", op("Cast", &["h"], &["a"], &[int("to", 7)]), &["node 1, Cast", "Int64"]),
        ("no type", op("Cast", &["h"], &["a"], &[int("to", -9)]), &["node 1, Cast", "Undefined"]),
        ("a mask", op("Dropout", &["h"], &["d", "a"], &[]), &["node 1, Dropout", "second output"]),
    ];
    for (what, node, words) in bounded {
        let nodes = [first(), Proto(node.0.clone()), last()];
        refused(what, &model(&nodes, &more, rows(), &["y"], 17), words);
    }
}

fn relu_to(output: &str) -> Proto {
    op("Relu", &["h"], &[output], &[])
}

/// Finds weights that are transposed twice or not at all on the way from the file to their layer.
#[test]
fn weights_come_through_what_changes_their_shape() {
    let (to, perm) = (|kind| int("to", kind), |order: &[i64]| ints("perm", order));
    let gemm = |weight: &str, bias: &str, is_out_in: i64| {
        op("Gemm", &["x", weight, bias], &["h"], &[int("transB", is_out_in)])
    };
    let w1: Vec<f32> = (0..12).map(|at| at as f32 / 7.0 - 0.8).collect();
    let more = [
        integers("axis0", &[1], &[0]),
        integers("shape", &[2], &[3, -1]),
        integers("kept", &[2], &[0, 4]),
        tensor(&("long", &[12], &w1)),
        tensor(&("deep", &[3, 2, 2], &w1)),
        tensor(&("row", &[1, 3, 1], &[0.1, -0.2, 0.3])),
    ];
    let graphs: Vec<(&str, Vec<Proto>, u64)> = vec![
        ("Transpose, Gemm", vec![op("Transpose", &["w1"], &["w"], &[perm(&[1, 0])]), gemm("w", "b1", 0)], 17),
        ("Transpose without an order", vec![op("Transpose", &["w1"], &["w"], &[]), gemm("w", "b1", 0)], 17),
        (
            "Transpose that changes nothing",
            vec![op("Transpose", &["w1"], &["w"], &[perm(&[0, 1])]), gemm("w", "b1", 1)],
            17,
        ),
        (
            "Transpose, MatMul",
            vec![
                op("Transpose", &["w1"], &["w"], &[perm(&[-1, 0])]),
                op("MatMul", &["x", "w"], &["p"], &[]),
                op("Add", &["b1", "p"], &["h"], &[]),
            ],
            17,
        ),
        (
            "Transpose twice",
            vec![op("Transpose", &["w1"], &["v"], &[]), op("Transpose", &["v"], &["w"], &[]), gemm("w", "b1", 1)],
            17,
        ),
        (
            "Transpose of three dimensions",
            vec![
                op("Transpose", &["deep"], &["v"], &[perm(&[1, 2, 0])]),
                op("Reshape", &["v", "four"], &["w"], &[]),
                gemm("w", "b1", 0),
            ],
            17,
        ),
        ("Identity", vec![op("Identity", &["w1"], &["w"], &[]), gemm("w", "b1", 1)], 17),
        ("Reshape", vec![op("Reshape", &["long", "shape"], &["w"], &[]), gemm("w", "b1", 1)], 17),
        ("Reshape with a 0", vec![op("Reshape", &["deep", "kept"], &["w"], &[]), gemm("w", "b1", 1)], 17),
        ("Flatten", vec![op("Flatten", &["deep"], &["w"], &[]), gemm("w", "b1", 1)], 17),
        (
            "f64 and back",
            vec![op("Cast", &["w1"], &["v"], &[to(11)]), op("Cast", &["v"], &["w"], &[to(1)]), gemm("w", "b1", 1)],
            17,
        ),
        ("Unsqueeze", vec![op("Unsqueeze", &["b1", "axis0"], &["b"], &[]), gemm("w1", "b", 1)], 13),
        (
            "Unsqueeze of opset 11",
            vec![op("Unsqueeze", &["b1"], &["b"], &[ints("axes", &[0])]), gemm("w1", "b", 1)],
            11,
        ),
        ("Squeeze", vec![op("Squeeze", &["row"], &["b"], &[]), gemm("w1", "b", 1)], 17),
        ("Squeeze of opset 11", vec![op("Squeeze", &["row"], &["b"], &[ints("axes", &[-1])]), gemm("w1", "b", 1)], 11),
    ];
    let more: Vec<Proto> = more.into_iter().chain([integers("four", &[2], &[4, 3])]).collect();
    for (what, nodes, opset) in graphs {
        let nodes: Vec<Proto> = nodes.into_iter().chain([relu(), last()]).collect();
        same(what, &model(&nodes, &more, rows(), &["y"], opset));
    }
    for (what, node, words) in [
        (
            "an order that is none",
            op("Transpose", &["w1"], &["w"], &[perm(&[0, 0])]),
            &["node 0, Transpose", "perm"][..],
        ),
        ("an order of three", op("Transpose", &["w1"], &["w"], &[perm(&[0, 1, 2])]), &["perm"]),
        ("too few values", op("Reshape", &["long", "kept"], &["w"], &[]), &["node 0, Reshape"]),
        ("a shape that is x", op("Reshape", &["long", "x"], &["w"], &[]), &["node 0, Reshape", "second input"]),
        ("sizes that overflow", op("Reshape", &["long", "huge"], &["w"], &[]), &["node 0, Reshape"]),
        ("negative sizes", op("Reshape", &["long", "negative"], &["w"], &[]), &["node 0, Reshape"]),
        ("two sizes that are left", op("Reshape", &["long", "two"], &["w"], &[]), &["node 0, Reshape"]),
        ("an axis that is none", op("Unsqueeze", &["w1", "huge"], &["w"], &[]), &["node 0, Unsqueeze"]),
        (
            "no values, and more than there can be",
            op("Transpose", &["none"], &["w"], &[]),
            &["node 0, Transpose", "no values"],
        ),
        ("a dimension of 3", op("Squeeze", &["w1", "axis0"], &["w"], &[]), &["node 0, Squeeze"]),
        ("an axis far out", op("Flatten", &["w1"], &["w"], &[int("axis", i64::MIN)]), &["node 0, Flatten"]),
        ("a weight of its own", op("Identity", &["w"], &["w"], &[]), &["node 0, Identity", "\"w\""]),
    ] {
        let more = [
            tensor(&("long", &[12], &w1)),
            integers("kept", &[2], &[0, 4]),
            integers("axis0", &[1], &[0]),
            integers("huge", &[2], &[i64::MAX, i64::MAX]),
            integers("negative", &[2], &[-3, -4]),
            integers("two", &[2], &[-1, -1]),
            tensor(&("none", &[0, 1 << 40, 1 << 40], &[])),
        ];
        refused(what, &model(&[node, gemm("w", "b1", 1), relu(), last()], &more, rows(), &["y"], 17), words);
    }
}

/// Finds `x.view(x.size(0), -1)` that is refused, or a flattening that puts other values in a row.
#[test]
fn rows_are_flattened_by_their_own_shape() {
    let images = || shaped("x", FLOAT, &[0, 1, 2, 2]);
    let more = || {
        vec![
            integers("i0", &[], &[0]),
            integers("i2", &[], &[2]),
            integers("i3", &[], &[-1]),
            integers("0", &[1], &[0]),
            integers("1", &[1], &[1]),
            integers("end", &[1], &[i64::MAX]),
            integers("left", &[1], &[-1]),
            integers("four", &[1], &[4]),
            integers("0,-1", &[2], &[0, -1]),
            integers("-1,4", &[2], &[-1, 4]),
            integers("5,4", &[2], &[5, 4]),
            integers("-1,2", &[2], &[-1, 2]),
            integers("2,-1", &[2], &[2, -1]),
        ]
    };
    let shape = || op("Shape", &["x"], &["s"], &[]);
    let rows_of = || [shape(), op("Gather", &["s", "i0"], &["n"], &[]), op("Unsqueeze", &["n", "0"], &["u"], &[])];
    let joined = |a: &str, b: &str| op("Concat", &[a, b], &["t"], &[int("axis", 0)]);
    let to = |shape: &str| op("Reshape", &["x", shape], &["f"], &[]);
    let all = |parts: Vec<Vec<Proto>>| parts.into_iter().flatten().collect::<Vec<Proto>>();
    let graphs: Vec<(&str, Vec<Proto>)> = vec![
        ("what is left", all(vec![rows_of().into(), vec![joined("u", "left"), to("t")]])),
        ("so many", all(vec![rows_of().into(), vec![joined("u", "four"), to("t")]])),
        ("a slice", vec![shape(), op("Slice", &["s", "0", "1", "0"], &["u"], &[]), joined("u", "left"), to("t")]),
        (
            "the product of the rest",
            vec![
                shape(),
                op("Slice", &["s", "1", "end"], &["r"], &[]),
                op("ReduceProd", &["r"], &["p"], &[]),
                joined("left", "p"),
                to("t"),
            ],
        ),
        (
            "height by width",
            all(vec![
                rows_of().into(),
                vec![
                    op("Gather", &["s", "i2"], &["a1"], &[]),
                    op("Gather", &["s", "i3"], &["a2"], &[]),
                    op("Mul", &["a1", "a2"], &["m"], &[]),
                    op("Unsqueeze", &["m", "0"], &["v"], &[]),
                    joined("u", "v"),
                    to("t"),
                ],
            ]),
        ),
        (
            "a part of the shape",
            vec![op("Shape", &["x"], &["u"], &[int("start", 0), int("end", 1)]), joined("u", "left"), to("t")],
        ),
        (
            "by way of Int32",
            vec![
                shape(),
                op("Cast", &["s"], &["s32"], &[int("to", 6)]),
                op("Slice", &["s32", "0", "1", "0"], &["u"], &[]),
                joined("u", "left"),
                to("t"),
            ],
        ),
        (
            "constants in nodes",
            vec![
                shape(),
                op("Constant", &[], &["c0"], &[int("value_int", 0)]),
                op("Constant", &[], &["c1"], &[ints("value_ints", &[-1])]),
                op("Gather", &["s", "c0"], &["n"], &[]),
                op("Unsqueeze", &["n", "0"], &["u"], &[]),
                joined("u", "c1"),
                to("t"),
            ],
        ),
        ("0 and -1", vec![to("0,-1")]),
        ("-1 and 4", vec![to("-1,4")]),
        ("Squeeze, Flatten", vec![op("Squeeze", &["x", "1"], &["q"], &[]), op("Flatten", &["q"], &["f"], &[])]),
        (
            "channels last, of one",
            vec![op("Transpose", &["x"], &["q"], &[ints("perm", &[0, 2, 3, 1])]), op("Flatten", &["q"], &["f"], &[])],
        ),
    ];
    let layers = || [op("Gemm", &["f", "w1", "b1"], &["h"], &[int("transB", 1)]), relu(), last()];
    for (what, nodes) in graphs {
        same(what, &model(&all(vec![nodes, layers().into()]), &more(), images(), &["y"], 17));
    }
    let fixed = shaped("x", FLOAT, &[5, 1, 2, 2]);
    same("five rows", &model(&all(vec![vec![to("5,4")], layers().into()]), &more(), fixed, &["y"], 17));

    for (what, nodes, word) in [
        ("another number of rows", vec![to("5,4")], "node 0, Reshape"),
        ("rows that are cut", vec![to("-1,2")], "node 0, Reshape"),
        ("rows that are joined", vec![to("2,-1")], "node 0, Reshape"),
        (
            "columns before rows",
            vec![op("Transpose", &["x"], &["q"], &[ints("perm", &[0, 1, 3, 2])]), op("Flatten", &["q"], &["f"], &[])],
            "node 0, Transpose",
        ),
        ("all in one row", vec![op("Flatten", &["x"], &["f"], &[int("axis", 0)])], "node 0, Flatten"),
        ("no flattening", vec![op("Identity", &["x"], &["f"], &[])], "put a Flatten before it"),
        (
            "a size that there is not",
            vec![shape(), op("Gather", &["s", "four"], &["u"], &[]), joined("u", "left"), to("t")],
            "node 1, Gather",
        ),
        ("a shape of itself", vec![op("Concat", &["t", "left"], &["t"], &[int("axis", 0)]), to("t")], "\"t\""),
    ] {
        refused(what, &model(&all(vec![nodes, layers().into()]), &more(), images(), &["y"], 17), &[word]);
    }
}

/// Finds an end of a graph that is read as another, and outputs of which the wrong one is read, or one is read without a note.
#[test]
fn the_output_that_is_the_model_is_read_and_named() {
    let to = |output: &str| op("Gemm", &["a", "w2", "b2"], &[output], &[int("transB", 1)]);
    let base = || vec![first(), relu(), to("z")];
    let with = |more: Vec<Proto>, outputs: &[&str], opset| {
        model(&base().into_iter().chain(more).collect::<Vec<_>>(), &[], rows(), outputs, opset)
    };
    let softmax = |from: &str, to: &str| op("Softmax", &[from], &[to], &[int("axis", 1)]);
    same("LogSoftmax", &with(vec![op("LogSoftmax", &["z"], &["y"], &[int("axis", -1)])], &["y"], 17));
    same("LogSoftmax of opset 11", &with(vec![op("LogSoftmax", &["z"], &["y"], &[])], &["y"], 11));
    same("Softmax and Log", &with(vec![softmax("z", "p"), op("Log", &["p"], &["y"], &[])], &["y"], 17));
    same("Softmax and a Cast", &with(vec![softmax("z", "p"), op("Cast", &["p"], &["y"], &[int("to", 1)])], &["y"], 17));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let noted = |bytes: Vec<u8>| {
        std::fs::write(&path, bytes).unwrap();
        Model::read_onnx_noted(&path, &[]).unwrap()
    };
    for (outputs, read) in
        [(["z", "p"], "p"), (["p", "z"], "p"), (["a", "z"], "z"), (["z", "h"], "z"), (["l", "z"], "z")]
    {
        let nodes = vec![softmax("z", "p"), op("ArgMax", &["z"], &["l"], &[int("axis", 1)])];
        let (model, notes) = noted(with(nodes, &outputs, 17));
        assert_eq!(model, plain(), "{outputs:?}");
        let [note] = notes.as_slice() else { panic!("{notes:?}") };
        for word in [outputs[0], outputs[1], &format!("\"{read}\" is read")] {
            assert!(note.contains(word), "no {word} in {note}");
        }
    }
    assert!(noted(with(vec![softmax("z", "y")], &["y"], 17)).1.is_empty());
    // Of one output, the softmax is 1: it is no class' probability.
    let one = |more: Vec<Proto>| {
        let nodes = [first(), relu(), op("Gemm", &["a", "zeros", "zero"], &["z"], &[int("transB", 1)])];
        noted(model(&nodes.into_iter().chain(more).collect::<Vec<_>>(), &[], rows(), &["y"], 17))
    };
    let (number, notes) = one(vec![op("Squeeze", &["z"], &["y"], &[])]);
    assert_eq!(number.loss, Loss::MeanSquaredError);
    assert!(notes[0].contains("mse") && notes[0].contains("--loss"), "{notes:?}");
    let (yes, notes) = one(vec![op("Sigmoid", &["z"], &["y"], &[])]);
    assert_eq!((yes.loss, notes.len()), (Loss::sigmoid_cross_entropy(), 0));

    for (what, more, outputs, words) in [
        ("two heads", vec![to("z2")], &["z", "z2"][..], &["2 outputs", "\"z\" and \"z2\"", "extract_model"][..]),
        ("two losses", vec![softmax("z", "p"), op("Sigmoid", &["z"], &["q"], &[])], &["p", "q"], &["\"p\"", "\"q\""]),
        (
            "no model among them",
            vec![op("Conv", &["x"], &["c"], &[])],
            &["a", "c"],
            &["2 outputs", "\"a\" and \"c\"", "none", "relu"],
        ),
        ("an output that is not there", vec![], &["w"], &["\"w\""]),
        (
            "LogSoftmax over the rows",
            vec![op("LogSoftmax", &["z"], &["y"], &[int("axis", 0)])],
            &["y"],
            &["node 3, LogSoftmax"],
        ),
        ("no output", vec![], &[], &["no output"]),
        ("very many", vec![], &["z"; 100], &["100 outputs", "64"]),
    ] {
        refused(what, &with(more, outputs, 17), words);
    }
}

/// Finds classes whose names get lost, or that change places.
#[test]
fn names_of_classes_come_from_the_graph() {
    let to = |output: &str| op("Gemm", &["a", "w2", "b2"], &[output], &[int("transB", 1)]);
    let softmax = op("Softmax", &["z"], &["p"], &[int("axis", 1)]);
    let zip = |names: Proto| learned("ZipMap", &["p"], "m", &[names]);
    let read_with = |names: Proto| {
        let nodes = [first(), relu(), to("z"), Proto(softmax.0.clone()), op("ArgMax", &["p"], &["l"], &[]), zip(names)];
        read(&model(&nodes, &[], rows(), &["l", "m"], 17)).unwrap()
    };
    let named = read_with(words("classlabels_strings", &["dog", "cat"]));
    assert_eq!((named.classes.as_slice(), &named.weights), (&["dog".to_string(), "cat".into()][..], &plain().weights));
    assert_eq!(read_with(ints("classlabels_int64s", &[7, -3])).classes, ["7", "-3"]);
    // Names that cannot be theirs are no names.
    assert!(read_with(words("classlabels_strings", &["a", "b", "c"])).classes.is_empty());
    assert!(read_with(words("classlabels_strings", &["a", "a"])).classes.is_empty());

    // One unit, whose sigmoid is the probability of the second class.
    let nodes = |no: &str, yes: &str| {
        [
            first(),
            relu(),
            op("Gemm", &["a", "zeros", "zero"], &["z"], &[int("transB", 1)]),
            op("Sigmoid", &["z"], &["yes"], &[]),
            op("Sub", &["one", "yes"], &["no"], &[]),
            op("Concat", &[no, yes], &["p"], &[int("axis", 1)]),
            op("ArgMax", &["p"], &["l"], &[int("axis", 1)]),
            learned("ArrayFeatureExtractor", &["names", "l"], "label", &[]),
        ]
    };
    let names = || [integers("names", &[2], &[10, 20])];
    let both = read(&model(&nodes("no", "yes"), &names(), rows(), &["label", "p"], 17)).unwrap();
    assert_eq!((both.loss, both.classes), (Loss::sigmoid_cross_entropy(), vec!["10".into(), "20".into()]));
    for (no, yes) in [("yes", "no"), ("yes", "yes")] {
        refused(
            "classes the other way round",
            &model(&nodes(no, yes), &names(), rows(), &["label", "p"], 17),
            &["Concat"],
        );
    }
}

/// Finds a graph that takes the memory, the stack or forever: long chains of constants, of shapes and of errors, names without end.
#[test]
fn hostile_graphs_stay_small() {
    let names: Vec<String> = (0..30_000).map(|at| format!("v{at}")).collect();
    let chain = |name: &str, start: &str, others: &[&str]| -> Vec<Proto> {
        let nodes = names.iter().enumerate().map(|(at, output)| {
            let input = if at == 0 { start } else { &names[at - 1] };
            op(name, &[&[input], others].concat(), &[output], &[])
        });
        nodes
            .chain([op("Gemm", &["x", names.last().unwrap(), "b1"], &["h"], &[int("transB", 1)]), relu(), last()])
            .collect()
    };
    same("Identity without end", &model(&chain("Identity", "w1", &[]), &[], rows(), &["y"], 17));
    for (what, bytes, words) in [
        (
            "turned without end",
            model(
                &chain("Transpose", "big", &[]),
                &[tensor(&("big", &[100, 100], &[0.5; 10_000]))],
                rows(),
                &["y"],
                17,
            ),
            &["Transpose", "room"][..],
        ),
        ("nothing, from the start on", model(&chain("Conv", "w1", &[]), &[], rows(), &["y"], 17), &["node 0, Conv"]),
        (
            "longer names",
            model(&chain(&"Q".repeat(100_000), "w1", &[])[..50], &[], rows(), &["v49"], 17),
            &["node 0, QQQ"],
        ),
        (
            "ever more sizes",
            {
                let mut nodes = vec![op("Shape", &["x"], &["s0"], &[])];
                nodes.extend((0..60).map(|at| {
                    let (from, to) = (format!("s{at}"), format!("s{}", at + 1));
                    op("Concat", &[&from, &from], &[&to], &[int("axis", 0)])
                }));
                nodes.push(op("Reshape", &["x", "s60"], &["y"], &[]));
                model(&nodes, &[], rows(), &["y"], 17)
            },
            &["Concat"],
        ),
        (
            "ever more dimensions",
            model(&chain("Unsqueeze", "w1", &["zero"])[..60], &[integers("at", &[1], &[0])], rows(), &["v59"], 17),
            &["node 0, Unsqueeze"],
        ),
    ] {
        refused(what, &bytes, words);
    }
}

/// Finds a panic on a graph that is damaged in any operator.
#[test]
fn damaged_graphs_never_panic() {
    let to = |output: &str| op("Gemm", &["a", "w", "b2"], &[output], &[int("transB", 1)]);
    let nodes = [
        op("Shape", &["x"], &["s"], &[]),
        op("Gather", &["s", "i0"], &["n"], &[int("axis", 0)]),
        op("Unsqueeze", &["n", "left"], &["u"], &[]),
        op("Slice", &["s", "i0", "left"], &["v"], &[]),
        op("ReduceProd", &["v"], &["p"], &[int("keepdims", 1)]),
        op("Concat", &["u", "left"], &["t"], &[int("axis", 0)]),
        op("Reshape", &["x", "t"], &["f"], &[int("allowzero", 0)]),
        learned("Scaler", &["f"], "g", &[number("offset", 0.0), number("scale", 1.0)]),
        op("Gemm", &["g", "w1", "b1"], &["h"], &[int("transB", 1)]),
        op("ConstantOfShape", &["s"], &["z"], &[]),
        op("Clip", &["h", "zero", "most"], &["c"], &[]),
        op("Dropout", &["c", "half", "no"], &["a", "m"], &[]),
        op("Transpose", &["w2"], &["w3"], &[ints("perm", &[1, 0])]),
        op("Transpose", &["w3"], &["w"], &[ints("perm", &[1, 0])]),
        to("z2"),
        op("Softmax", &["z2"], &["q"], &[int("axis", -1)]),
        op("ArgMax", &["q"], &["l"], &[int("axis", 1)]),
        learned("ArrayFeatureExtractor", &["names", "l"], "label", &[]),
        learned("ZipMap", &["q"], "y", &[words("classlabels_strings", &["no", "yes"])]),
    ];
    let more =
        [integers("i0", &[], &[0]), integers("left", &[1], &[-1]), integers("names", &[2], &[3, 4]), flag("no", false)];
    let mut bytes = model(&nodes, &more, shaped("x", FLOAT, &[0, 1, 2, 2]), &["label", "y"], 13);
    let whole = read(&bytes).map(|model| model.classes);
    for at in 0..bytes.len() {
        for flip in [0x01, 0x02, 0x04, 0x10, 0x40, 0x80, 0xff] {
            bytes[at] ^= flip;
            drop(read(&bytes));
            bytes[at] ^= flip;
        }
    }
    assert_eq!(read(&bytes).map(|model| model.classes).unwrap(), whole.unwrap());
}
