//! Graphs of images, node by node: what exporters write for them, and what does not fit, which is refused by the node's name.

use wgrad::{Activation, ConvLayer, LayerKind, Model, Network, Padding};

use super::graph::{FLOAT, int, integers, ints, model, number, op, refused, shaped};
use super::{Proto, read, tensor};
use crate::support::{Random, each_damaged};

/// An image of two channels, 6 pixels down and 5 across.
pub fn image() -> Vec<u8> {
    shaped("x", FLOAT, &[0, 2, 6, 5])
}

pub fn values(name: &str, dims: &[u64]) -> Proto {
    let count: u64 = dims.iter().product();
    let values: Vec<f32> = Random(count).values(count as usize).iter().map(|&value| value as f32).collect();
    tensor(&(name, dims, &values))
}

/// Tensors for the graphs below.
fn all() -> Vec<Proto> {
    vec![
        values("k", &[4, 2, 3, 3]),
        values("kb", &[4]),
        values("deep", &[4, 2, 3, 3, 3]),
        values("k1", &[4, 4, 1, 1]),
        values("c", &[4]),
        tensor(&("v", &[4], &[0.5, 1.0, 1.5, 2.0])),
        values("c1", &[4, 1, 1]),
        values("c2", &[1, 4, 1, 1]),
        values("each", &[1, 1, 4, 3]),
        values("three", &[3]),
        values("w4", &[4, 3]),
        values("w48", &[48, 3]),
        values("w60", &[60, 3]),
        integers("around", &[8], &[0, 0, 1, 1, 0, 0, 1, 1]),
        integers("behind", &[8], &[0, 1, 0, 0, 0, 0, 0, 0]),
        integers("flat", &[2], &[-1, 48]),
        integers("groups", &[3], &[0, 2, -1]),
        integers("whole", &[4], &[0, 4, 4, 3]),
        integers("sides", &[2], &[2, 3]),
        tensor(&("eps", &[], &[0.25])),
        tensor(&("ones", &[2], &[1.0, 1.0])),
        tensor(&("zeros2", &[2], &[0.0, 0.0])),
    ]
}

fn conv(attributes: &[Proto]) -> Proto {
    op("Conv", &["x", "k", "kb"], &["h"], attributes)
}

/// The ends of a graph whose `a` is `[batch, 4, 4, 3]`.
pub fn flat() -> [Proto; 2] {
    [op("Flatten", &["a"], &["f"], &[]), op("MatMul", &["f", "w48"], &["y"], &[])]
}

pub fn graph(nodes: &[Proto], x: Vec<u8>) -> Vec<u8> {
    model(nodes, &all(), x, &["y"], 17)
}

pub fn reads(what: &str, nodes: &[Proto]) -> Model {
    read(&graph(nodes, image())).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Finds an attribute that is taken for another one.
#[test]
fn convolutions_and_pools_are_read_as_they_are_described() {
    let end = |nodes: Vec<Proto>| {
        let gap = op("GlobalAveragePool", &["a"], &["g"], &[]);
        nodes.into_iter().chain([gap, op("Flatten", &["g"], &["f"], &[]), op("MatMul", &["f", "w4"], &["y"], &[])])
    };
    let of = |what: &str, attributes: &[Proto]| {
        let nodes: Vec<Proto> = end(vec![conv(attributes), op("Relu", &["h"], &["a"], &[])]).collect();
        let model = reads(what, &nodes);
        assert_eq!(model.network.layers()[0].activation(), Activation::Relu);
        match model.network.layers()[0].kind() {
            LayerKind::Conv(conv) => conv.clone(),
            other => panic!("{what}: {other:?}"),
        }
    };
    let plain = ConvLayer::new(4, 3);
    assert_eq!(of("plain", &[]), plain);
    assert_eq!(of("strides", &[ints("strides", &[2, 1])]), plain.clone().stride([2, 1]));
    assert_eq!(of("dilations", &[ints("dilations", &[2, 1])]), plain.clone().dilation([2, 1]));
    assert_eq!(of("pads", &[ints("pads", &[2, 1, 2, 1])]), plain.clone().padding([2, 1]));
    // Of six rows and a stride of 2, one row of padding is below and none above.
    let same = [ints("strides", &[2, 1]), ints("pads", &[0, 1, 1, 1])];
    assert_eq!(of("pads of same", &same).padding, Padding::Same);
    let auto = [ints("strides", &[2, 1]), Proto::default().bytes(1, "auto_pad").bytes(4, "SAME_UPPER")];
    assert_eq!(of("auto_pad", &auto).padding, Padding::Same);
    // A row that no window reaches.
    assert_eq!(
        of("unused padding", &[ints("strides", &[3, 1]), ints("pads", &[0, 0, 1, 0])]),
        plain.clone().stride([3, 1])
    );

    let pooled = |what: &str, pool: Proto| {
        let nodes: Vec<Proto> = end(vec![op("Conv", &["x", "k", "kb"], &["h"], &[]), pool]).collect();
        reads(what, &nodes).network
    };
    let begun = || Network::image(6, 5, 2).conv(4, 3, Activation::Identity);
    let ended = |network: Network| network.global_avg_pool().dense(3, Activation::Identity);
    for (what, pool, expected) in [
        (
            "max",
            op("MaxPool", &["h"], &["a"], &[ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]),
            begun().max_pool(2),
        ),
        (
            "a mean that would count its padding, and has none",
            op(
                "AveragePool",
                &["h"],
                &["a"],
                &[
                    ints("kernel_shape", &[2, 3]),
                    ints("strides", &[2, 3]),
                    int("count_include_pad", 1),
                    int("ceil_mode", 1),
                ],
            ),
            begun().avg_pool([2, 3]),
        ),
    ] {
        assert_eq!(pooled(what, pool), ended(expected), "{what}");
    }
    // A stride of 1 where none is said.
    let pool = pooled("no strides", op("MaxPool", &["h"], &["a"], &[ints("kernel_shape", &[2, 2])]));
    assert_eq!(pool, ended(begun().with(wgrad::MaxPoolLayer::new(2).stride(1).into())));
}

/// Finds a norm that is put together wrongly, a shift that is lost, a dense layer whose inputs are in another order.
#[test]
fn norms_and_orders_are_read_as_exporters_write_them() {
    let with = |nodes: Vec<Proto>| {
        let begin = op("Conv", &["x", "k", "kb"], &["h"], &[]);
        std::iter::once(begin).chain(nodes).chain(flat()).collect::<Vec<Proto>>()
    };
    let words = |model: &Model| model.network.layers().iter().map(|layer| layer.word()).collect::<Vec<_>>();
    // The norm of groups as PyTorch writes it.
    let groups = reads(
        "a group norm",
        &with(vec![
            op("Reshape", &["h", "groups"], &["i"], &[]),
            op("InstanceNormalization", &["i", "ones", "zeros2"], &["j"], &[number("epsilon", 1e-3)]),
            op("Reshape", &["j", "whole"], &["l"], &[]),
            op("Mul", &["l", "c1"], &["m"], &[]),
            op("Add", &["m", "c2"], &["a"], &[]),
        ]),
    );
    assert_eq!(words(&groups), ["conv", "group_norm", "flatten", "dense"]);
    let LayerKind::GroupNorm(norm) = groups.network.layers()[1].kind() else { panic!() };
    assert_eq!((norm.groups, norm.eps), (2, 1e-3));
    let drawn = |count: u64| Random(count).values(count as usize).iter().map(|&value| value as f32).collect::<Vec<_>>();
    assert_eq!((&groups.weights.layers[1].weight, &groups.weights.layers[1].bias), (&drawn(4), &drawn(4)));

    // A batch norm, and one that was folded to a scale and a shift after an activation.
    let norm = op("BatchNormalization", &["h", "c", "kb", "c", "v"], &["a"], &[number("momentum", 0.97)]);
    let norm = reads("a batch norm", &with(vec![norm]));
    assert_eq!(words(&norm), ["conv", "batch_norm", "flatten", "dense"]);
    let LayerKind::BatchNorm(read) = norm.network.layers()[1].kind() else { panic!() };
    assert_eq!((read.momentum, read.eps), (0.03, 1e-5));
    assert_eq!(norm.weights.layers[2].bias, [0.5, 1.0, 1.5, 2.0]);
    let folded = reads(
        "a folded one",
        &with(vec![
            op("Relu", &["h"], &["r"], &[]),
            op("Mul", &["r", "c1"], &["m"], &[]),
            op("Add", &["c2", "m"], &["a"], &[]),
        ]),
    );
    assert_eq!(words(&folded), ["conv", "batch_norm", "flatten", "dense"]);
    assert_eq!(folded.weights.layers[1].weight, drawn(4));

    // Channels last, and flattened so: the dense layer's inputs change places.
    let last = [
        op("Conv", &["x", "k", "kb"], &["h"], &[]),
        op("Transpose", &["h"], &["t"], &[ints("perm", &[0, 2, 3, 1])]),
        op("Reshape", &["t", "flat"], &["f"], &[]),
        op("MatMul", &["f", "w48"], &["y"], &[]),
    ];
    let first = reads("channels first", &with(vec![op("Identity", &["h"], &["a"], &[])]));
    let last = reads("channels last", &last);
    assert_eq!(first.network, last.network);
    // Value (channel 1, row 2, column 0) is the 18th of one order and the 25th of the other.
    let (one, other) = (&first.weights.layers[1].weight, &last.weights.layers[1].weight);
    assert_eq!(other[12 + 2 * 3], one[2 * 3 * 4 + 1]);
    assert_ne!(other, one);

    // Padding by a node of its own, and a bias that is added.
    let padded = [
        op("Pad", &["x", "around"], &["p"], &[]),
        op("Conv", &["p", "k"], &["h"], &[]),
        op("Add", &["h", "c1"], &["s"], &[]),
        op("ReduceMean", &["s"], &["g"], &[ints("axes", &[-1, 2]), int("keepdims", 0)]),
        op("MatMul", &["g", "w4"], &["y"], &[]),
    ];
    let padded = reads("a Pad", &padded);
    assert_eq!(
        padded.network,
        Network::image(6, 5, 2)
            .with(ConvLayer::new(4, 3).padding(1).into())
            .global_avg_pool()
            .dense(3, Activation::Identity)
    );
    assert_eq!(padded.weights.layers[0].bias, drawn(4));
}

/// The norm of each pixel's channels as Keras writes it, its nodes by their outputs, of which some are others.
fn moments(others: &[(&str, Proto)]) -> Vec<Proto> {
    let across = || ints("axes", &[1]);
    let nodes = [
        ("h", op("Conv", &["x", "k", "kb"], &["h"], &[])),
        ("i", op("Conv", &["h", "k1"], &["i"], &[])),
        ("m", op("ReduceMean", &["h"], &["m"], &[across()])),
        ("n", op("Neg", &["m"], &["n"], &[])),
        ("d", op("Sub", &["h", "m"], &["d"], &[])),
        ("q", op("Mul", &["d", "d"], &["q"], &[])),
        ("s", op("ReduceMean", &["q"], &["s"], &[across()])),
        ("e", op("Add", &["s", "eps"], &["e"], &[])),
        ("r", op("Sqrt", &["e"], &["r"], &[])),
        ("o", op("Reciprocal", &["r"], &["o"], &[])),
        ("g", op("Mul", &["o", "c1"], &["g"], &[])),
        ("l", op("Mul", &["h", "g"], &["l"], &[])),
        ("t", op("Mul", &["n", "g"], &["t"], &[])),
        ("u", op("Add", &["t", "c2"], &["u"], &[])),
        ("a", op("Add", &["l", "u"], &["a"], &[])),
    ];
    let one = |(name, node): (&str, Proto)| match others.iter().find(|(other, _)| *other == name) {
        Some((_, other)) => Proto(other.0.clone()),
        None => node,
    };
    nodes.into_iter().map(one).chain(flat()).collect()
}

/// Finds statistics that are taken for those of another tensor, of other dimensions, or for a norm that they are not.
#[test]
fn norms_in_nodes_of_their_own_are_put_together_again() {
    let read = reads("a norm", &moments(&[]));
    let words: Vec<&str> = read.network.layers().iter().map(|layer| layer.word()).collect();
    assert_eq!(words, ["conv", "layer_norm", "flatten", "dense"]);
    let LayerKind::LayerNorm(norm) = read.network.layers()[1].kind() else { panic!() };
    assert_eq!(norm.eps, 0.25);
    let divided = op("Div", &["d", "r"], &["a"], &[]);
    let divided = reads("deviations divided by the root", &moments(&[("a", divided)]));
    assert_eq!(divided.weights.layers[1].weight, [1.0; 4]);
    for (what, node, word) in [
        ("nothing that is added", ("e", op("Identity", &["s"], &["e"], &[])), "node 14, Add"),
        ("an eps for each channel", ("e", op("Add", &["s", "c1"], &["e"], &[])), "node 7, Add"),
        ("the mean of another tensor", ("m", op("ReduceMean", &["i"], &["m"], &[ints("axes", &[1])])), "node 4, Sub"),
        ("a mean over pixels", ("m", op("ReduceMean", &["h"], &["m"], &[ints("axes", &[2, 3])])), "node"),
        (
            "squares over other dimensions",
            ("s", op("ReduceMean", &["q"], &["s"], &[ints("axes", &[2])])),
            "node 6, ReduceMean",
        ),
        ("a mean that is added", ("n", op("Identity", &["m"], &["n"], &[])), "node 13, Add"),
        ("a mean with another scale", ("t", op("Mul", &["n", "o"], &["t"], &[])), "node 14, Add"),
        ("a root in place of its inverse", ("o", op("Identity", &["r"], &["o"], &[])), "node 10, Mul"),
        ("another tensor that is scaled", ("l", op("Mul", &["i", "g"], &["l"], &[])), "node 11, Mul"),
        ("a cube", ("q", op("Mul", &["d", "h"], &["q"], &[])), "node 5, Mul"),
        ("a mean that is lost", ("a", op("Add", &["l", "c2"], &["a"], &[])), "node 14, Add"),
    ] {
        refused(what, &graph(&moments(&[node]), image()), &[word]);
    }
}

/// Finds a graph that is read as what it does not compute.
#[test]
fn what_does_not_fit_is_refused_by_the_node() {
    let begin = || op("Conv", &["x", "k", "kb"], &["h"], &[]);
    let after = |node: Proto| std::iter::once(begin()).chain([node]).chain(flat()).collect::<Vec<Proto>>();
    let kernel = |size: i64| ints("kernel_shape", &[size, size]);
    for (what, nodes, words) in [
        (
            "pads of one side",
            vec![conv(&[ints("pads", &[1, 0, 0, 0])])],
            &["node 0, Conv \"the Conv\"", "[1, 0, 0, 0]", "both sides"][..],
        ),
        ("three dimensions", vec![op("Conv", &["x", "deep"], &["h"], &[])], &["node 0, Conv", "[4, 2, 3, 3, 3]"]),
        ("groups", vec![conv(&[int("group", 2)])], &["node 0, Conv", "2 groups", "2 channels"]),
        ("no groups", vec![conv(&[int("group", 0)])], &["node 0, Conv", "group is 0"]),
        ("another kernel", vec![conv(&[kernel(2)])], &["node 0, Conv", "kernel_shape"]),
        ("one stride", vec![conv(&[ints("strides", &[1])])], &["node 0, Conv", "strides", "two numbers"]),
        ("a stride of 0", vec![conv(&[ints("strides", &[0, 1])])], &["node 0, Conv", "strides is 0"]),
        ("too large", vec![conv(&[ints("dilations", &[3, 3])])], &["node 0, Conv", "must fit into the image"]),
        ("negative pads", vec![conv(&[ints("pads", &[-1, 0, -1, 0])])], &["node 0, Conv", "pads", "from 0"]),
        (
            "an unknown auto_pad",
            vec![conv(&[Proto::default().bytes(1, "auto_pad").bytes(4, "SAME")])],
            &["node 0, Conv", "auto_pad"],
        ),
        (
            "windows over the end",
            after(op("MaxPool", &["h"], &["a"], &[kernel(3), ints("strides", &[2, 2]), int("ceil_mode", 1)])),
            &["node 1, MaxPool", "ceil_mode"],
        ),
        (
            "a pool with dilations",
            after(op("MaxPool", &["h"], &["a"], &[kernel(2), ints("dilations", &[2, 1])])),
            &["node 1, MaxPool", "dilations"],
        ),
        (
            "counted padding",
            after(op("AveragePool", &["h"], &["a"], &[kernel(2), ints("pads", &[1; 4]), int("count_include_pad", 1)])),
            &["node 1, AveragePool", "count_include_pad"],
        ),
        (
            "a pool without a window",
            after(op("AveragePool", &["h"], &["a"], &[])),
            &["node 1, AveragePool", "kernel_shape"],
        ),
        (
            "a mean of channels",
            after(op("ReduceMean", &["h"], &["a"], &[ints("axes", &[1])])),
            &["node 2, Flatten", "pools and norms"],
        ),
        (
            "a mean of a side",
            after(op("ReduceMean", &["h"], &["a"], &[ints("axes", &[2])])),
            &["node 1, ReduceMean", "all pixels"],
        ),
        ("no axis", after(op("ReduceMean", &["h"], &["a"], &[ints("axes", &[9])])), &["node 1, ReduceMean"]),
        (
            "a norm of an axis of pixels",
            after(op("LayerNormalization", &["h", "c", "c"], &["a"], &[])),
            &["node 1, LayerNormalization", "channels last"],
        ),
        (
            "statistics of too many",
            after(op("BatchNormalization", &["h", "three", "c", "c", "v"], &["a"], &[])),
            &["node 1, BatchNormalization", "3 values", "4"],
        ),
        (
            "statistics of a minibatch",
            after(op("BatchNormalization", &["h", "c", "c", "c", "v"], &["a"], &[int("training_mode", 1)])),
            &["node 1, BatchNormalization", "net.eval()"],
        ),
        (
            "an eps of 0",
            after(op("BatchNormalization", &["h", "c", "c", "c", "v"], &["a"], &[number("epsilon", 0.0)])),
            &["node 1, BatchNormalization", "eps"],
        ),
        (
            "three groups",
            after(op("GroupNormalization", &["h", "c", "c"], &["a"], &[int("num_groups", 3)])),
            &["node 1, GroupNormalization", "3 groups"],
        ),
        (
            "padding of channels",
            vec![op("Pad", &["x", "behind"], &["p"], &[]), op("Conv", &["p", "k"], &["h"], &[])],
            &["node 0, Pad", "height and width"],
        ),
        (
            "reflected",
            vec![
                op("Pad", &["x", "around"], &["p"], &[Proto::default().bytes(1, "mode").bytes(4, "reflect")]),
                op("Conv", &["p", "k"], &["h"], &[]),
            ],
            &["node 0, Pad", "its mode is reflect", "zeros"],
        ),
        (
            "a pool of padding",
            vec![begin(), op("Pad", &["h", "around"], &["p"], &[]), op("MaxPool", &["p"], &["a"], &[kernel(2)])],
            &["node 2, MaxPool", "Pad"],
        ),
        (
            "channels last",
            vec![op("Transpose", &["x"], &["t"], &[ints("perm", &[0, 2, 3, 1])]), op("Conv", &["t", "k"], &["h"], &[])],
            &["node 1, Conv", "6 channels"],
        ),
        (
            "not flattened",
            vec![begin(), op("MatMul", &["h", "w48"], &["y"], &[])],
            &["node 1, MatMul", "[batch, 4, 4, 3]", "Flatten"],
        ),
        (
            "a sum with another order",
            vec![
                begin(),
                op("Conv", &["h", "k1"], &["i"], &[]),
                op("Transpose", &["i"], &["t"], &[ints("perm", &[0, 1, 3, 2])]),
                op("Add", &["h", "t"], &["a"], &[]),
            ],
            &["node 3, Add", "different orders"],
        ),
        (
            "a product of two images",
            vec![begin(), op("Conv", &["h", "k1"], &["i"], &[]), op("Mul", &["h", "i"], &["a"], &[])],
            &["node 2, Mul", "by Add alone"],
        ),
        ("a transposed convolution", vec![op("ConvTranspose", &["x", "k"], &["h"], &[])], &["node 0, ConvTranspose"]),
        ("no dense layer at its end", vec![op("Conv", &["x", "k"], &["y"], &[])], &["node 0, Conv", "dense"]),
    ] {
        let mut nodes = nodes;
        // What is wrong is needed for the output.
        let given = |nodes: &[Proto], name: &str| {
            nodes.iter().any(|node| {
                node.0.windows(name.len() + 2).any(|window| {
                    window[0] == 0x12 && window[1] as usize == name.len() && &window[2..] == name.as_bytes()
                })
            })
        };
        if !given(&nodes, "y") {
            if !given(&nodes, "a") {
                nodes.push(op("Relu", &["h"], &["a"], &[]));
            }
            nodes.extend(flat());
        }
        refused(what, &graph(&nodes, image()), words);
    }
    let nodes: Vec<Proto> = [begin(), op("Relu", &["h"], &["a"], &[])].into_iter().chain(flat()).collect();
    let unknown = shaped("x", FLOAT, &[0, 2, 0, 5]);
    refused("sides that are not known", &graph(&nodes, unknown), &["node 0, Conv", "must be known"]);
    let huge = shaped("x", FLOAT, &[0, 2, 1 << 40, 1 << 40]);
    refused("a huge image", &graph(&nodes, huge), &["node 0, Conv"]);
    let huge = shaped("x", FLOAT, &[0, 2, 1 << 12, 1 << 12]);
    refused("a large image", &graph(&nodes, huge), &["node 0, Conv", "16777216"]);
}

/// A panic on a graph of images that is damaged, wherever that is.
#[test]
fn damaged_graphs_of_images_never_panic() {
    for name in ["torch_resnet", "torchscript_norms", "keras_convnet", "keras_norms"] {
        let bytes = super::fixture(&format!("images/{name}"));
        read(&bytes).unwrap();
        each_damaged(bytes, |bytes| drop(read(bytes)));
    }
}
