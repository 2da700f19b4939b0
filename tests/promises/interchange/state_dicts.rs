//! State dicts whose names do not number their layers, or number them in the middle, and kernels.

use std::path::Path;

use wgrad::{Activation, Error, Loss, Model};

use crate::bad_input::tensors;

/// A file of matrices and rows: names and shapes, with values that show where each came from.
pub(super) fn file(shapes: &[(&str, &[usize])]) -> Vec<u8> {
    let values: Vec<f32> = (0..6000).map(|at| at as f32).collect();
    let entries: Vec<(&str, &[usize], &[f32])> = shapes
        .iter()
        .enumerate()
        .map(|(at, &(name, shape))| (name, shape, &values[at..at + shape.iter().product::<usize>()]))
        .collect();
    tensors(&entries, None)
}

fn read(shapes: &[(&str, &[usize])]) -> Result<Model, Error> {
    Model::from_state_dict(Path::new("net.safetensors"), &file(shapes), Some(Activation::Tanh))
}

/// The first value of each layer's weight is the place of its tensor in the file.
#[track_caller]
pub(super) fn reads_as(shapes: &[(&str, &[usize])], order: &[&str]) -> Model {
    let model = read(shapes).unwrap_or_else(|error| panic!("{error}"));
    let first: Vec<f32> = model.weights.layers.iter().map(|layer| layer.weight[0]).collect();
    let place = |name: &&str| shapes.iter().position(|(tensor, _)| tensor == name).unwrap() as f32;
    assert_eq!(first, order.iter().map(place).collect::<Vec<f32>>());
    model
}

#[track_caller]
fn refused(shapes: &[(&str, &[usize])], words: &[&str]) {
    let error = read(shapes).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "no {word} in: {error}");
    }
}

/// Finds layers in another order than they have: ten before nine, by the alphabet, or by shapes that leave two orders.
#[test]
fn layers_are_in_the_order_that_numbers_or_shapes_say() {
    // Numbers in the middle, of one digit and of two, and several of them.
    let middle: [(&str, &[usize]); 3] =
        [("net.10.fc.weight", &[3, 3]), ("net.9.fc.weight", &[3, 3]), ("net.8.fc.weight", &[3, 3])];
    reads_as(&middle, &["net.8.fc.weight", "net.9.fc.weight", "net.10.fc.weight"]);
    let two: [(&str, &[usize]); 4] = [
        ("b.1.fc2.weight", &[3, 3]),
        ("b.0.fc2.weight", &[3, 3]),
        ("b.1.fc1.weight", &[3, 3]),
        ("b.0.fc1.weight", &[3, 3]),
    ];
    reads_as(&two, &["b.0.fc1.weight", "b.0.fc2.weight", "b.1.fc1.weight", "b.1.fc2.weight"]);
    // A head whose place the shapes say, after layers whose order only their numbers do.
    let head: [(&str, &[usize]); 3] =
        [("classifier.weight", &[2, 5]), ("fc1.weight", &[5, 5]), ("fc0.weight", &[5, 5])];
    reads_as(&head, &["fc0.weight", "fc1.weight", "classifier.weight"]);
    // The same under one name: the numbers are not set aside for the shapes.
    refused(&[("fc1.weight", &[2, 5]), ("fc2.weight", &[5, 7])], &["fc2.weight takes 7", "2 outputs"]);

    // Two orders, none, and too many to try.
    let square: [(&str, &[usize]); 3] = [("up.weight", &[4, 4]), ("down.weight", &[4, 4]), ("out.weight", &[2, 4])];
    refused(&square, &["down, up, out", "up, down, out", "0.weight", "1.weight"]);
    let circle: [(&str, &[usize]); 4] =
        [("enc.0.weight", &[2, 4]), ("enc.2.weight", &[1, 2]), ("dec.0.weight", &[2, 1]), ("dec.2.weight", &[4, 2])];
    refused(&circle, &["enc.0, enc.2, dec.0, dec.2", "dec.0, dec.2, enc.0, enc.2"]);
    refused(&[("one.weight", &[2, 4]), ("other.weight", &[2, 3])], &["no order", "one takes 4 and gives 2"]);
    let names: Vec<String> = (b'a'..=b'z').map(|letter| format!("{}.weight", letter as char)).collect();
    let many: Vec<(&str, &[usize])> = names.iter().map(|name| (&name[..], &[2, 2][..])).collect();
    refused(&many, &["order", "0.weight"]);
    let mut no_way = many.clone();
    no_way.push(("zz.weight", &[2, 3]));
    no_way.push(("zzz.weight", &[3, 2]));
    no_way.push(("zzzz.weight", &[7, 7]));
    refused(&no_way, &["order", "0.weight"]);
    let names: Vec<String> = (0..5000).map(|at| format!("{}.weight", "x".repeat(1 + at))).collect();
    let deep: Vec<(&str, &[usize])> = names.iter().map(|name| (&name[..], &[1, 1][..])).collect();
    refused(&deep, &["order", "0.weight"]);
}

/// Finds a kernel that is taken for a weight, or a weight for a kernel, where its shape fits both ways.
#[test]
fn kernels_are_transposed_and_weights_are_not() {
    let of = |part: &str| {
        let names = ["dense", "dense_1", "dense_2"].map(|layer| format!("{layer}.{part}"));
        let shapes: Vec<(&str, &[usize])> = names.iter().map(|name| (&name[..], &[3, 3][..])).collect();
        read(&shapes).unwrap().weights.layers.into_iter().map(|layer| layer.weight).collect::<Vec<_>>()
    };
    let turned = |weight: &Vec<f32>| (0..9).map(|at| weight[at % 3 * 3 + at / 3]).collect::<Vec<f32>>();
    assert_eq!(of("kernel"), of("weight").iter().map(turned).collect::<Vec<_>>());
    assert_ne!(of("kernel"), of("weight"));
    // Keras' own names, the layers of one name with no number first; what is not square.
    let keras: [(&str, &[usize]); 5] = [
        ("mlp/dense/bias:0", &[5]),
        ("mlp/dense/kernel:0", &[4, 5]),
        ("mlp/dense_1/kernel:0", &[5, 5]),
        ("mlp/dense_2/kernel:0", &[5, 1]),
        ("mlp/dense_2/bias:0", &[1]),
    ];
    let model = reads_as(&keras, &["mlp/dense/kernel:0", "mlp/dense_1/kernel:0", "mlp/dense_2/kernel:0"]);
    assert_eq!((model.network.inputs(), model.network.outputs(), model.loss), (4, 1, Loss::MeanSquaredError));
    assert_eq!(model.weights.layers[0].weight[1], 1.0 + 5.0);
    for (shapes, words) in [
        (&[("a.weight", &[4, 8][..]), ("a.bias", &[8])][..], &["a.bias", "[8]", "[4]", "named kernel"][..]),
        (&[("a.kernel", &[8, 4]), ("a.bias", &[8])], &["a.bias", "[8]", "[4]", "named weight"]),
        (&[("a.kernel", &[4, 8]), ("a.weight", &[8, 4])], &["a.kernel and a.weight"]),
        (&[("a.w", &[4, 8]), ("a.b", &[8])], &["a.b", "a kernel [in, out]"]),
        (&[("bn.gamma", &[4])], &["bn.gamma", "normalization"]),
        (&[("conv.kernel", &[3, 3, 1, 2])], &["conv.kernel", "convolution"]),
        (&[("a.kernel", &[0, 8])], &["a.kernel", "no values"]),
    ] {
        refused(shapes, words);
    }
}
