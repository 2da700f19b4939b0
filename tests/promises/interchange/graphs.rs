//! The ways in which programs write a chain of dense layers: each is read as the plain one is, or refused by name.

use super::graph::{
    FLOAT, first, flag, int, integers, ints, last, model, number, op, plain, refused, relu, rows, same, shaped,
};
use super::{Proto, read, tensor};

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
        ("relu6", op("Clip", &["h", "zero", "six"], &["a"], &[]), &["node 1, Clip", "what node 0, Gemm"]),
        ("a bound far out", op("Clip", &["h", "zero", "much"], &["a"], &[]), &["what node 0, Gemm"]),
        (
            "a bound far out, as an attribute",
            op("Clip", &["h"], &["a"], &[number("min", 0.0), number("max", 1e6)]),
            &["what node 0, Gemm"],
        ),
        ("no bound", op("Clip", &["h", "", "six"], &["a"], &[]), &["what node 0, Gemm"]),
        ("Max with 1", op("Max", &["h", "one"], &["a"], &[]), &["what node 0, Gemm"]),
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
        ("sizes that are all given", all(vec![rows_of().into(), vec![joined("u", "four"), to("t")]])),
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

    // Columns before rows: the first layer's weights change places instead.
    let turned =
        vec![op("Transpose", &["x"], &["q"], &[ints("perm", &[0, 1, 3, 2])]), op("Flatten", &["q"], &["f"], &[])];
    let turned = read(&model(&all(vec![turned, layers().into()]), &more(), images(), &["y"], 17)).unwrap();
    let (own, usual) = (&turned.weights.layers[0].weight, &plain().weights.layers[0].weight);
    let expected: Vec<f32> = (0..12).map(|at| usual[at / 4 * 4 + [0, 2, 1, 3][at % 4]]).collect();
    assert_eq!((own, &turned.network), (&expected, &plain().network));

    for (what, nodes, word) in [
        ("another number of rows", vec![to("5,4")], "node 0, Reshape"),
        ("rows that are cut", vec![to("-1,2")], "node 0, Reshape"),
        ("rows that are joined", vec![to("2,-1")], "node 0, Reshape"),
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
