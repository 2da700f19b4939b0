//! Graphs of images in which one node does not fit: that node is named, with what is wrong with it, and not one that takes what it gives. And pads that a graph
//! computes from constants.

use super::Proto;
use super::graph::{int, integers, ints, number, op, refused};
use super::images::{flat, graph, image, reads};
use super::read;

/// A convolution, these nodes, which make `a`, and a dense layer.
fn between(nodes: Vec<Proto>) -> Vec<u8> {
    let begin = op("Conv", &["x", "k", "kb"], &["h"], &[]);
    let all: Vec<Proto> = std::iter::once(begin).chain(nodes).chain(flat()).collect();
    graph(&all, image())
}

/// Finds a message about the node that takes a function of units, where the one that makes the function is not read.
#[test]
fn a_function_that_is_no_activation_is_refused_by_the_node_that_makes_it() {
    let pool = || op("GlobalAveragePool", &["m"], &["g"], &[]);
    let convolved = || op("Conv", &["m", "k1"], &["a"], &[]);
    let cases: [(&str, Vec<Proto>, &[&str]); 6] = [
        (
            "a slope",
            vec![op("LeakyRelu", &["h"], &["m"], &[number("alpha", 0.2)])],
            &["m.onnx: node 1, LeakyRelu \"the LeakyRelu\" with a slope of 0.2: ", "node 0, Conv", "slope of 0.01"],
        ),
        (
            "a slope of a tensor",
            vec![op("PRelu", &["h", "eps"], &["m"], &[])],
            &["m.onnx: node 1, PRelu \"the PRelu\" with a slope of 0.25: ", "node 0, Conv"],
        ),
        (
            "a range",
            vec![op("Clip", &["h", "zero", "one"], &["m"], &[])],
            &["m.onnx: node 1, Clip \"the Clip\" from 0 to 1: ", "node 0, Conv"],
        ),
        (
            "an upper bound",
            vec![op("Clip", &["h", "", "one"], &["m"], &[])],
            &["m.onnx: node 1, Clip \"the Clip\" to 1: "],
        ),
        (
            "a sum of two activations",
            vec![
                op("Relu", &["h"], &["i"], &[]),
                op("Sigmoid", &["h"], &["j"], &[]),
                op("Add", &["i", "j"], &["m"], &[]),
            ],
            &["m.onnx: node 3, Add", "the nodes from node 1, Relu", "node 0, Conv"],
        ),
        (
            "an activation of an activation",
            vec![op("Sigmoid", &["h"], &["i"], &[]), op("Tanh", &["i"], &["m"], &[])],
            &["m.onnx: node 2, Tanh", "the nodes from node 1, Sigmoid", "node 0, Conv"],
        ),
    ];
    for (what, nodes, words) in cases {
        let copy = |nodes: &[Proto]| nodes.iter().map(|node| Proto(node.0.clone())).collect::<Vec<Proto>>();
        for after in [convolved(), pool()] {
            let mut nodes = copy(&nodes);
            let is_pool = after.0 == pool().0;
            nodes.push(after);
            if is_pool {
                nodes.push(op("Conv", &["g", "k1"], &["a"], &[]));
            }
            refused(what, &between(nodes), words);
        }
    }
    // What is wrong with the node that takes it is its own fault.
    let nodes = vec![
        op("LeakyRelu", &["h"], &["m"], &[number("alpha", 0.2)]),
        op("MaxPool", &["h"], &["a"], &[ints("kernel_shape", &[9, 9])]),
    ];
    refused("another node", &between(nodes), &["m.onnx: node 2, MaxPool"]);
}

/// Finds a constant, a product or a mean that is refused without a word of what it is.
#[test]
fn what_a_node_joins_is_said() {
    let cases: [(&str, Vec<Proto>, &[&str]); 5] = [
        (
            "a constant for each pixel",
            vec![op("Add", &["h", "each"], &["a"], &[])],
            &["node 1, Add", "adds a constant for each pixel", "[1, 1, 4, 3]", "one for each channel"],
        ),
        (
            "a constant for each column",
            vec![op("Mul", &["h", "three"], &["a"], &[])],
            &["node 1, Mul", "multiplies by a constant for each row or column", "[3]"],
        ),
        (
            "a slope for each channel",
            vec![op("PRelu", &["h", "c1"], &["a"], &[])],
            &["node 1, PRelu", "has a slope for each channel", "[4, 1, 1]"],
        ),
        (
            "squeeze and excitation",
            vec![
                op("ReduceMean", &["h"], &["g"], &[ints("axes", &[2, 3]), int("keepdims", 1)]),
                op("Conv", &["g", "k1"], &["i"], &[]),
                op("Sigmoid", &["i"], &["s"], &[]),
                op("Mul", &["h", "s"], &["a"], &[]),
            ],
            &["node 2, Conv", "node 1, ReduceMean", "1×1 pixels", "no product (Mul) of two tensors"],
        ),
        (
            "features, which are no image",
            vec![
                op("GlobalAveragePool", &["h"], &["g"], &[]),
                op("Flatten", &["g"], &["i"], &[]),
                op("Conv", &["i", "k1"], &["a"], &[]),
            ],
            &["node 3, Conv", "it takes an image", "gives 4 features"],
        ),
    ];
    for (what, nodes, words) in cases {
        refused(what, &between(nodes), words);
    }
}

/// The nodes with which PyTorch's exporter computes the pads of `ZeroPad2d`, in the order left, right, top, bottom, and a Pad and a convolution.
fn computed(pads: [i64; 4], attributes: &[Proto], strides: [i64; 2]) -> Vec<Proto> {
    let constant = |name: &str, dims: &[u64], values: &[i64]| {
        let tensor = integers("", dims, values);
        op("Constant", &[], &[name], &[Proto::default().bytes(1, "value").bytes(5, tensor.0)])
    };
    let filled = Proto::default().bytes(1, "value").bytes(5, integers("", &[1], &[0]).0);
    vec![
        constant("count", &[1], &[4]),
        constant("own", &[4], &pads),
        op("ConstantOfShape", &["count"], &["none"], &[filled]),
        op("Concat", &["own", "none"], &["pairs"], &[int("axis", 0)]),
        constant("by two", &[2], &[-1, 2]),
        op("Reshape", &["pairs", "by two"], &["table"], &[int("allowzero", 0)]),
        constant("axis", &[1], &[0]),
        constant("last", &[1], &[-1]),
        constant("end", &[1], &[-i64::MAX]),
        op("Slice", &["table", "last", "end", "axis", "last"], &["turned"], &[]),
        op("Transpose", &["turned"], &["columns"], &[ints("perm", &[1, 0])]),
        op("Reshape", &["columns", "last"], &["list"], &[int("allowzero", 0)]),
        op("Cast", &["list"], &["pads"], &[int("to", 7)]),
        op("Pad", &["x", "pads"], &["p"], attributes),
        op("Conv", &["p", "k", "kb"], &["a"], &[ints("strides", &strides)]),
        op("GlobalAveragePool", &["a"], &["g"], &[]),
        op("Flatten", &["g"], &["f"], &[]),
        op("MatMul", &["f", "w4"], &["y"], &[]),
    ]
}

/// Finds pads that are refused because nodes compute them, or that are computed wrongly: on another side, or of another dimension.
#[test]
fn pads_that_a_graph_computes_from_constants_are_read() {
    let end = || {
        let pool = op("GlobalAveragePool", &["a"], &["g"], &[]);
        [pool, op("Flatten", &["g"], &["f"], &[]), op("MatMul", &["f", "w4"], &["y"], &[])]
    };
    // Left, right, top, bottom; the convolution's own pads are top, left, bottom, right.
    for (pads, own, strides) in [
        ([1, 1, 2, 2], [2, 1, 2, 1], [1, 1]),
        ([1, 1, 0, 1], [0, 1, 1, 1], [2, 1]),
        ([2, 2, 1, 1], [1, 2, 1, 2], [1, 1]),
    ] {
        let given = [ints("pads", &own), ints("strides", &strides)];
        let direct = op("Conv", &["x", "k", "kb"], &["a"], &given);
        let direct: Vec<Proto> = std::iter::once(direct).chain(end()).collect();
        let what = format!("{pads:?}");
        assert_eq!(reads(&what, &computed(pads, &[], strides)), reads(&what, &direct), "{what}");
    }
    let mode = Proto::default().bytes(1, "mode").bytes(4, "reflect");
    let reflected = graph(&computed([1; 4], &[mode], [1, 1]), image());
    refused("reflected", &reflected, &["node 13, Pad", "its mode is reflect"]);
    let uneven = graph(&computed([0, 1, 0, 0], &[], [1, 1]), image());
    refused("one side alone", &uneven, &["node 14, Conv", "[0, 0, 0, 1]", "no window reaches"]);
    let outside = graph(&computed([-1, 0, 0, 0], &[], [1, 1]), image());
    refused("a negative pad", &outside, &["node 13, Pad", "at least 0"]);

    let pad = |given: &[&str]| vec![op("Pad", given, &["p"], &[]), op("Conv", &["p", "k", "kb"], &["a"], &[])];
    for (what, given, words) in [
        ("ones around", &["x", "around", "one"][..], &["node 0, Pad", "pads with 1:"][..]),
        ("axes", &["x", "around", "zero", "groups"], &["node 0, Pad", "axes"]),
    ] {
        let nodes: Vec<Proto> = pad(given).into_iter().chain(flat()).collect();
        refused(what, &graph(&nodes, image()), words);
    }
}

/// Finds padding by SAME_LOWER, or of two different sides, that is refused where it changes nothing that a window reaches, as the guide says.
#[test]
fn padding_before_the_image_alone_is_read_where_no_window_reaches_the_other_side() {
    let of = |attributes: &[Proto]| {
        let nodes = [
            op("Conv", &["x", "k", "kb"], &["a"], attributes),
            op("GlobalAveragePool", &["a"], &["g"], &[]),
            op("Flatten", &["g"], &["f"], &[]),
            op("MatMul", &["f", "w4"], &["y"], &[]),
        ];
        read(&graph(&nodes, image())).unwrap()
    };
    let strides = || ints("strides", &[2, 1]);
    let even = of(&[strides(), ints("pads", &[1, 1, 1, 1])]);
    assert_eq!(of(&[strides(), ints("pads", &[1, 1, 0, 1])]), even);
    assert_eq!(of(&[strides(), Proto::default().bytes(1, "auto_pad").bytes(4, "SAME_LOWER")]), even);
}
