//! Graphs that are damaged, or made to take the memory: they are refused, and nothing panics.

use super::graph::{
    FLOAT, flag, int, integers, ints, last, learned, model, number, op, refused, relu, rows, same, shaped, words,
};
use super::{Proto, read, tensor};

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
