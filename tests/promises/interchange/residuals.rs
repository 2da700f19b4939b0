//! Residual sums in ONNX: what leaves comes back, what other programs write is read as they mean it, and what no network here computes is refused.

use std::collections::HashMap;

use wgrad::{Activation, Initializer, Layer, LayerKind, Loss, Model, Network, ResidualLayer, Scaling};

use super::{B, Node, Tensor, W, logits, onnx, read};
use crate::support::{Random, assert_close, bits, each_damaged};

/// Sums with and without a shortcut, of the features, in each other, and one whose body is shorter than its shortcut.
fn networks() -> Vec<Network> {
    use Activation::{Elu, Gelu, GeluTanh, Identity, Relu, Silu, Softplus, Tanh};
    let begun = || Network::new(7).dense(5, Gelu);
    let inner = |body: Network| body.residual(|inner| inner.dense(6, Silu).dense(5, Tanh)).activation(Relu);
    let short = |body: Network| body.dense(4, Relu);
    vec![
        begun().residual(|body| body.dense(9, Relu).dropout(0.25).dense(5, Identity)).activation(GeluTanh).dropout(0.5),
        begun().residual(|body| body.dense(5, Silu)),
        Network::new(7).residual(|body| body.dense(7, Tanh)).activation(Elu).residual(|body| body.dense(7, Identity)),
        begun().residual_with_shortcut(short, |x| x.dense(8, Softplus).dense(4, Identity)),
        begun().residual_with_shortcut(short, |x| x.dense(4, Identity)).activation(Silu),
        begun().residual(|body| inner(body).dense(5, Identity)).activation(Tanh),
        begun().residual(|body| inner(body.dense(5, Relu))).residual(inner),
        begun().residual_with_shortcut(inner, |x| inner(x).dropout(0.1)).dropout(0.2),
        begun().residual(|body| body.residual(|body| body.residual(|body| body.dense(5, Relu)))),
    ]
    .into_iter()
    .map(|network| network.dense(3, Identity))
    .collect()
}

/// A body that comes back as a shortcut, weights of another layer, a dropout that is lost or at another place.
#[test]
fn a_network_with_sums_comes_back_from_onnx_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    for (at, network) in networks().into_iter().enumerate() {
        let scaling = (at % 2 == 0).then(|| Scaling { shift: vec![0.5; 7], scale: vec![2.0; 7] });
        let plain = Model::new(network.clone(), Initializer::Torch.weights(&network, at as u64), Loss::default());
        let model = Model { scaling, ..plain };
        for softmax in [false, true] {
            model.write_onnx(&path, softmax).unwrap();
            let back = Model::read_onnx(&path).unwrap();
            assert_eq!(back, model);
            assert_eq!(bits(&back.weights), bits(&model.weights));
        }
    }
}

/// A matrix that no other is like.
fn weight<'a>(name: &'a str, shape: &'a [u64; 2], random: &mut Random) -> (&'a str, &'a [u64], Vec<f32>) {
    let values = random.values((shape[0] * shape[1]) as usize).into_iter().map(|value| value as f32).collect();
    (name, shape, values)
}

/// The value of every row of a tensor.
type Rows = Vec<Vec<f64>>;

/// What a graph computes, node by node, in f64. Nothing where the widths on the way do not fit each other.
fn run(nodes: &[Node<'_>], tensors: &[Tensor<'_>], x: &Rows) -> Option<Vec<f64>> {
    let mut known: HashMap<&str, Option<Rows>> = HashMap::from([("x", Some(x.clone()))]);
    for (name, dims, values) in tensors {
        let row = values.iter().map(|&value| value.into()).collect();
        known.insert(name, Some(if dims.len() == 2 { matrix(dims[1] as usize, row) } else { vec![row; x.len()] }));
    }
    for &(op, inputs, output) in nodes {
        let given: Option<Vec<&Rows>> = inputs.iter().map(|name| known[name].as_ref()).collect();
        let made = given.and_then(|given| apply(op, &given));
        known.insert(output, made);
    }
    known["y"].as_ref().map(|rows| rows.concat())
}

fn matrix(width: usize, values: Vec<f64>) -> Rows {
    values.chunks(width).map(<[f64]>::to_vec).collect()
}

fn apply(op: &str, given: &[&Rows]) -> Option<Rows> {
    let each = |function: fn(f64) -> f64| {
        Some(given[0].iter().map(|row| row.iter().map(|&z| function(z)).collect()).collect())
    };
    // A row of one value is there for every other.
    let join = |a: &Rows, b: &Rows, function: fn(f64, f64) -> f64| {
        let row = |(a, b): (&Vec<f64>, &Vec<f64>)| {
            let width = a.len().max(b.len());
            let fits = [a, b].iter().all(|row| [1, width].contains(&row.len()));
            fits.then(|| (0..width).map(|at| function(a[at % a.len()], b[at % b.len()])).collect::<Vec<f64>>())
        };
        a.iter().zip(b).map(row).collect::<Option<Rows>>()
    };
    match op {
        "Relu" => each(|z| z.max(0.0)),
        "Tanh" => each(f64::tanh),
        "Add" => join(given[0], given[1], |a, b| a + b),
        "Sub" => join(given[0], given[1], |a, b| a - b),
        "Mul" => join(given[0], given[1], |a, b| a * b),
        _ => {
            let weight = given[1];
            let unit = |row: &[f64], unit: usize| row.iter().zip(weight).map(|(x, weights)| x * weights[unit]).sum();
            let product = |row: &Vec<f64>| (0..weight[0].len()).map(|at| unit(row, at)).collect();
            let fits = given[0].iter().all(|row| row.len() == weight.len());
            let products: Rows = fits.then(|| given[0].iter().map(product).collect())?;
            given.get(2).map_or(Some(products.clone()), |bias| join(&products, bias, |a, b| a + b))
        }
    }
}

fn rows(width: usize) -> Rows {
    let random = &mut Random(3);
    (0..4).map(|_| random.values(width)).collect()
}

/// That a graph is read, and computes what its nodes say.
#[track_caller]
fn same(nodes: &[Node<'_>], tensors: &[Tensor<'_>]) -> Network {
    let model = read(&onnx(nodes, tensors)).unwrap_or_else(|error| panic!("{nodes:?}: {error}"));
    let x = rows(model.network.inputs());
    let expected = run(nodes, tensors, &x).expect("widths that fit");
    assert_close(&format!("{nodes:?}"), &logits(&model, &x.concat()), &expected, 1e-6);
    model.network
}

/// Finds a path that is taken for the other, weights that change places, and a bias that becomes a sum, or a sum a bias, in any order of the terms.
#[test]
fn sums_are_read_as_what_they_compute() {
    let random = &mut Random(5);
    let made: Vec<(&str, &[u64], Vec<f32>)> = ["w", "v", "u", "t"].map(|name| weight(name, &[2, 2], random)).into();
    let bias = [("b", &[2][..], vec![0.5f32, -0.25]), ("c", &[2], vec![-1.5, 0.75]), ("s", &[1], vec![1.5])];
    let tensors: Vec<Tensor<'_>> =
        made.iter().chain(&bias).map(|(name, dims, values)| (*name, *dims, &values[..])).collect();
    let dense = |outputs, activation| Network::new(2).dense(outputs, activation).layers()[0].clone();
    let [plain, relu, tanh] = [Activation::Identity, Activation::Relu, Activation::Tanh].map(|of| dense(2, of));
    let sum = |body: &[&Layer], shortcut: &[&Layer], activation| -> Layer {
        let [body, shortcut] = [body, shortcut].map(|layers| layers.iter().map(|&layer| layer.clone()).collect());
        Layer::new(ResidualLayer::new(body).with_shortcut(shortcut)).with_activation(activation)
    };
    let first: Node<'_> = ("Gemm", &["x", "w", "b"], "h");
    let last: Node<'_> = ("Gemm", &["z", "t"], "y");
    let is = |nodes: &[Node<'_>], layers: &[&Layer]| {
        let network = same(nodes, &tensors);
        assert_eq!(network.layers().iter().collect::<Vec<_>>(), layers, "{nodes:?}");
    };
    let residual = sum(&[&relu, &plain], &[], Activation::Tanh);
    for sides in [&["h", "g"][..], &["g", "h"]] {
        let body: [Node<'_>; 3] = [("Gemm", &["h", "v"], "f"), ("Relu", &["f"], "r"), ("Gemm", &["r", "u", "c"], "g")];
        let end: [Node<'_>; 3] = [("Add", sides, "k"), ("Tanh", &["k"], "z"), last];
        is(&[&[first][..], &body, &end].concat(), &[&plain, &residual, &plain]);
    }
    // The fork is an activation of units, and of the ways the longer one is the body.
    let projected = sum(&[&tanh, &plain], &[&relu], Activation::Identity);
    for sides in [&["g", "i"][..], &["i", "g"]] {
        is(
            &[
                first,
                ("Relu", &["h"], "r"),
                ("Gemm", &["r", "v"], "f"),
                ("Tanh", &["f"], "k"),
                ("Gemm", &["k", "u", "c"], "g"),
                ("MatMul", &["r", "w"], "p"),
                ("Relu", &["p"], "i"),
                ("Add", sides, "z"),
                last,
            ],
            &[&relu, &projected, &plain],
        );
    }
    // Of ways of the same length, the first is the body.
    for (sides, body, shortcut) in [(&["g", "i"][..], &tanh, &relu), (&["i", "g"], &relu, &tanh)] {
        is(
            &[
                ("MatMul", &["x", "v"], "e"),
                ("Add", &["c", "e"], "f"),
                ("Tanh", &["f"], "g"),
                ("MatMul", &["x", "w"], "p"),
                ("Relu", &["p"], "i"),
                ("Add", sides, "z"),
                last,
            ],
            &[&sum(&[body], &[shortcut], Activation::Identity), &plain],
        );
    }
    // A product without a bias is added to what it was made of, with a bias on the way in one case and a scaling before.
    let direct = sum(&[&plain], &[], Activation::Identity);
    is(&[("MatMul", &["x", "w"], "p"), ("Add", &["p", "x"], "z"), last], &[&direct, &plain]);
    is(&[("MatMul", &["x", "w"], "p"), ("Add", &["b", "p"], "q"), ("Add", &["x", "q"], "z"), last], &[&direct, &plain]);
    is(
        &[
            ("Sub", &["x", "c"], "a"),
            ("Mul", &["a", "s"], "d"),
            ("Gemm", &["d", "w"], "p"),
            ("Add", &["d", "p"], "z"),
            last,
        ],
        &[&direct, &plain],
    );
    // Three tensors, and sums of sums.
    let both = sum(&[&sum(&[&relu], &[], Activation::Identity)], &[&plain], Activation::Identity);
    let three: [Node<'_>; 4] = [first, ("Gemm", &["h", "v"], "f"), ("Relu", &["f"], "r"), ("Gemm", &["h", "u"], "g")];
    is(&[&three[..], &[("Add", &["r", "h"], "k"), ("Add", &["k", "g"], "z"), last]].concat(), &[&plain, &both, &plain]);
    let twice = sum(&[&direct], &[], Activation::Identity);
    is(
        &[first, ("Gemm", &["h", "v"], "f"), ("Add", &["f", "h"], "k"), ("Add", &["k", "h"], "z"), last],
        &[&plain, &twice, &plain],
    );
}

/// An operator, its inputs and its output.
type OwnNode = (&'static str, Vec<String>, String);

/// A random graph of dense layers, activations and sums, each of tensors at random, whose widths need not fit.
fn random_graph(random: &mut Random) -> (Vec<OwnNode>, Vec<(String, [u64; 2])>) {
    let (mut nodes, mut weights) = (Vec::new(), Vec::new());
    let mut tensors: Vec<(String, u64)> = vec![("x".into(), 2)];
    let steps = 3 + random.below(8);
    for step in 0..steps {
        let recent =
            |random: &mut Random| tensors.len() - 1 - random.below(tensors.len()).min(random.below(tensors.len()));
        let at = if step + 1 == steps { tensors.len() - 1 } else { recent(random) };
        let (from, width) = tensors[at].clone();
        let output = if step + 1 == steps { "y".to_string() } else { format!("t{step}") };
        let kind = if step + 1 == steps { 0 } else { random.below(10) };
        match kind {
            0..=3 => {
                let outputs = if random.below(4) == 0 { [1, 3][random.below(2)] } else { 2 };
                let weight = format!("w{step}");
                nodes.push(("Gemm", vec![from, weight.clone()], output.clone()));
                weights.push((weight, [width, outputs]));
                tensors.push((output, outputs));
            }
            4 | 5 if at > 0 => {
                nodes.push((["Relu", "Tanh"][kind - 4], vec![from], output.clone()));
                tensors.push((output, width));
            }
            6 if at == 0 => {
                nodes.push(("Mul", vec![from, "s".into()], output.clone()));
                tensors.push((output, width));
            }
            _ => {
                let (other, of_other) = tensors[recent(random)].clone();
                nodes.push(("Add", vec![from, other], output.clone()));
                tensors.push((output, width.max(of_other)));
            }
        }
    }
    (nodes, weights)
}

/// A model that is another than the graph: of thousands of random graphs, each is read as what it computes, or refused.
#[test]
fn random_graphs_are_read_right_or_refused() {
    let random = &mut Random(8);
    let (mut with_sums, mut nested, mut refused) = (0, 0, 0);
    for _ in 0..12_000 {
        let (nodes, weights) = random_graph(random);
        let inputs: Vec<Vec<&str>> =
            nodes.iter().map(|(_, inputs, _)| inputs.iter().map(String::as_str).collect()).collect();
        let nodes: Vec<Node<'_>> =
            nodes.iter().zip(&inputs).map(|((op, _, output), inputs)| (*op, &inputs[..], &output[..])).collect();
        let weights: Vec<_> = weights.iter().map(|(name, shape)| weight(name, shape, random)).collect();
        let mut tensors: Vec<Tensor<'_>> =
            weights.iter().map(|(name, dims, values)| (*name, *dims, &values[..])).collect();
        tensors.push(("s", &[1], &[0.5]));
        match read(&onnx(&nodes, &tensors)) {
            Err(_) => refused += 1,
            Ok(_) => {
                let network = same(&nodes, &tensors);
                let parts = |layer: &Layer| layer.parts().into_iter().flat_map(|(_, part)| part.to_vec()).collect();
                let inner: Vec<Layer> =
                    network.layers().iter().flat_map(|layer| -> Vec<Layer> { parts(layer) }).collect();
                with_sums += usize::from(!inner.is_empty());
                nested += usize::from(inner.iter().any(|layer| matches!(layer.kind(), LayerKind::Residual(_))));
            }
        }
    }
    assert!(with_sums > 300 && nested > 30 && refused > 300, "{with_sums} {nested} {refused}");
}

/// A sum that no network computes, taken for one that it does: each is refused, with its node and what is wrong.
#[test]
fn sums_that_are_no_residual_are_refused_by_name() {
    let first: Node<'_> = ("Gemm", &["x", "w", "b"], "h");
    let last: Node<'_> = ("Gemm", &["z", "w"], "y");
    let wide: Tensor<'_> = ("wide", &[2, 3], &[1.0; 6]);
    let one: Tensor<'_> = ("one", &[2, 1], &[1.0; 2]);
    let (relu, to_g): (Node<'_>, Node<'_>) = (("Relu", &["h"], "r"), ("Gemm", &["h", "w"], "g"));
    for (nodes, words) in [
        (&[first, relu, ("Add", &["r", "h"], "z"), last][..], &["node 2, Add", "what node 0, Gemm"][..]),
        (&[("Add", &["x", "x"], "z"), last], &["node 0, Add"]),
        (&[first, to_g, ("Sum", &["h", "h", "g"], "z"), last], &["node 2, Sum", "same tensor"]),
        // A layer on both ways.
        (
            &[first, to_g, ("Add", &["h", "g"], "k"), ("Add", &["k", "g"], "z"), last],
            &["node 3, Add", "node 2, Add \"the Add\" and node 1, Gemm \"the Gemm\"", "part of both ways"],
        ),
        // Rows of one value, which ONNX would repeat, and of others.
        (
            &[first, ("Gemm", &["h", "one"], "g"), ("Add", &["h", "g"], "z"), last],
            &["node 2, Add", "node 0, Gemm", "node 1, Gemm", "2 and 1 values"],
        ),
        (&[first, ("Gemm", &["h", "wide"], "g"), ("Add", &["g", "h"], "z"), last], &["node 2, Add", "3 and 2 values"]),
        (
            &[("Gemm", &["x", "wide"], "g"), ("Add", &["g", "x"], "z"), ("Gemm", &["z", "back"], "y")],
            &["2 inputs", "3 outputs"],
        ),
        // Features with a scaling, and without.
        (
            &[("Mul", &["x", "c"], "a"), ("Gemm", &["a", "w"], "g"), ("Add", &["g", "x"], "z"), last],
            &["node 1, Gemm \"the Gemm\" and node 2, Add \"the Add\"", "different shifts and scales"],
        ),
        // What is added is no layer's units, or is not added.
        (&[first, ("Softmax", &["h"], "s"), to_g, ("Add", &["s", "g"], "z"), last], &["node 3, Add", "node 0, Gemm"]),
        (&[first, ("Exp", &["h"], "e"), to_g, ("Add", &["e", "g"], "z"), last], &["node 1, Exp", "what node 0, Gemm"]),
        (&[first, to_g, ("Mul", &["h", "g"], "z"), last], &["node 2, Mul", "node 1, Gemm"]),
        (&[first, to_g, ("Sub", &["h", "g"], "z"), last], &["node 2, Sub", "node 1, Gemm"]),
        (&[first, to_g, ("Add", &["h", "g"], "k"), ("Add", &["k", "b"], "z"), last], &["node 3, Add"]),
        (&[first, to_g, ("Add", &["h", "g"], "k"), ("Exp", &["k"], "z"), last], &["node 3, Exp", "what node 2, Add"]),
        // The end.
        (&[first, to_g, ("Add", &["h", "g"], "y")], &["node 2, Add", "node 1, Gemm", "ends in this sum", "dense"]),
    ] {
        let tensors = [W, B, ("c", &[], &[2.0]), wide, one, ("back", &[3, 2], &[1.0; 6])];
        let error = read(&onnx(nodes, &tensors)).expect_err(&format!("{nodes:?}")).to_string();
        for word in words {
            assert!(error.contains(word), "{nodes:?}: no {word} in: {error}");
        }
        assert!(error.len() < 1000, "{error}");
    }
}

/// A file that takes the stack or forever: sums within sums, two long ways that meet at every step, tensors that are doubled again and again.
#[test]
fn hostile_sums_stay_small() {
    const MANY: usize = 40_000;
    let [t, a, b, u, v] = ["t", "a", "b", "u", "v"].map(|letter| {
        (0..=100_000).map(|at| if at == 0 { "h".to_string() } else { format!("{letter}{at}") }).collect::<Vec<String>>()
    });
    // `from` and `with` make `to`, at every step.
    type Step<'n> = (&'static str, &'n dyn Fn(usize) -> [&'n str; 2], &'n [String]);
    let graph = |steps: usize, all: &[Step<'_>], end: &str| {
        let inputs: Vec<[&str; 2]> =
            (0..steps).flat_map(|at| all.iter().map(move |(_, inputs, _)| inputs(at))).collect();
        let mut nodes: Vec<Node<'_>> = vec![("Gemm", &["x", "w", "b"], "h")];
        nodes.extend(inputs.iter().enumerate().map(|(at, inputs)| -> Node<'_> {
            let (op, _, names) = &all[at % all.len()];
            (op, inputs, &names[at / all.len() + 1])
        }));
        let last = [end, "w"];
        nodes.push(("Gemm", &last, "y"));
        onnx(&nodes, &[W, B])
    };
    let nested = |count: usize| read(&graph(count, &[("Add", &|at| [&t[at], "x"], &t)], &t[count]));
    assert_eq!(nested(32).unwrap().network.layers().len(), 2);
    let blocks = |count: usize| {
        read(&graph(count, &[("Gemm", &|at| [&t[at], "w"], &u), ("Add", &|at| [&u[at + 1], &t[at]], &t)], &t[count]))
    };
    assert_eq!(blocks(10_000).unwrap().network.layers().len(), 10_002);
    let met = |count: usize| {
        let ways: [Step<'_>; 4] = [
            ("Gemm", &|at| [&a[at], "w"], &a),
            ("Gemm", &|at| [&b[at], "w"], &b),
            ("Add", &|at| [&a[at + 1], &b[at + 1]], &u),
            ("Add", &|at| [&u[at + 1], &v[at]], &v),
        ];
        read(&graph(count, &ways, &v[count]))
    };
    for (what, read, words) in [
        ("33 sums within each other", nested(33), &["node 1, Add", "within 32 other sums"][..]),
        ("very many", nested(MANY), &["Add", "within 32 other sums"]),
        ("more than any file has", nested(100_000), &["fields"]),
        ("two long ways that meet", met(MANY / 5), &["Add"]),
        ("200 doublings", read(&graph(200, &[("Add", &|at| [&t[at], &t[at]], &t)], &t[200])), &["what node 0, Gemm"]),
        (
            "64 doublings, each of another tensor",
            read(&graph(
                64,
                &[
                    ("Gemm", &|at| [&t[at], "w"], &u),
                    ("Add", &|at| [&t[at], &u[at + 1]], &v),
                    ("Add", &|at| [&v[at + 1], &u[at + 1]], &t),
                ],
                &t[64],
            )),
            &["node 3, Add", "part of both ways"],
        ),
    ] {
        let error = read.expect_err(what).to_string();
        for word in words {
            assert!(error.contains(word), "{what}: no {word} in: {error}");
        }
    }
}

/// A panic on a graph of sums that is damaged, wherever that is.
#[test]
fn damaged_graphs_of_sums_never_panic() {
    let bytes = super::fixture("torchscript_residual");
    read(&bytes).unwrap();
    each_damaged(bytes, |bytes| drop(read(bytes)));
}
