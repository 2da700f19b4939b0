//! State dicts with residuals: `2.body.0.weight` is a layer within layer 2, and no layer of a chain.

use std::path::Path;

use wgrad::{Activation, Error, Initializer, Loss, Model, Network};

use super::state_dicts::{file, reads_as};
use crate::residual::without_metadata;

use Activation::{Identity, Relu, Tanh};

type Shapes<'a> = &'a [(&'a str, &'a [usize])];

fn read(shapes: Shapes<'_>, activation: Option<Activation>) -> Result<Model, Error> {
    Model::from_state_dict(Path::new("net.safetensors"), &file(shapes), activation)
}

/// The notes that reading a file gives.
fn notes(shapes: Shapes<'_>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    std::fs::write(&path, file(shapes)).unwrap();
    Model::read_state_dict_noted(&path, Some(Tanh)).unwrap().1
}

/// Layers of a residual taken for a chain because their shapes fit, a body for a shortcut, the weights of another layer, or an activation where there is
/// none and none where there is one.
#[test]
fn names_of_residuals_say_their_layers() {
    let square = |names: &[&'static str]| names.iter().map(|&name| (name, &[4usize, 4][..])).collect::<Vec<_>>();
    let begun = || Network::new(4).dense(4, Tanh);
    let two = |body: Network| body.dense(4, Tanh).dense(4, Identity);
    let cases: Vec<(Vec<&str>, Network)> = vec![
        (
            vec!["0.weight", "2.body.0.weight", "2.body.2.weight", "4.weight"],
            begun().residual(two).activation(Tanh).dense(4, Identity),
        ),
        (
            vec!["net.0.weight", "net.2.body.0.weight", "net.2.shortcut.0.weight", "net.3.weight"],
            begun().residual_with_shortcut(|x| x.dense(4, Identity), |x| x.dense(4, Identity)).dense(4, Identity),
        ),
        (
            vec!["0.weight", "1.body.0.weight", "1.body.1.weight", "2.body.0.weight", "4.weight"],
            Network::new(4)
                .dense(4, Identity)
                .residual(|body| body.dense(4, Identity).dense(4, Identity))
                .residual(|body| body.dense(4, Identity))
                .activation(Tanh)
                .dense(4, Identity),
        ),
        // Ten after nine, a residual within one, the features, what takes more than one number, and a flattening at the start.
        (
            vec![
                "m.n.9.body.0.weight",
                "m.n.9.body.2.body.0.weight",
                "m.n.9.body.2.shortcut.0.weight",
                "m.n.9.body.3.weight",
                "m.n.10.weight",
            ],
            Network::new(4)
                .residual(|body| {
                    body.dense(4, Tanh)
                        .residual_with_shortcut(|x| x.dense(4, Identity), |x| x.dense(4, Identity))
                        .dense(4, Identity)
                })
                .dense(4, Identity),
        ),
        (
            vec!["1.weight", "4.body.0.weight", "4.body.9.weight", "4.body.10.weight", "7.weight"],
            begun()
                .residual(|body| body.dense(4, Tanh).dense(4, Identity).dense(4, Identity))
                .activation(Tanh)
                .dense(4, Identity),
        ),
    ];
    for (names, network) in cases {
        // The weights are told apart by where they are in the file: also where that is the other way round.
        let mut shapes = square(&names);
        assert_eq!(reads_as(&shapes, &names).network, network);
        shapes.reverse();
        assert_eq!(reads_as(&shapes, &names).network, network);
        let said = notes(&shapes);
        assert!(said[0].contains("body.") && said[0].contains("no activation"), "{said:?}");
        // Numbers that no tensor has are noted, unless they are a flattening's, or an activation's and a dropout's.
        let rest: &[&[&str]] = match names[0] {
            "m.n.9.body.0.weight" => &[&["m.n.9", "below 9", "change nothing"]],
            "1.weight" => &[&["4.body.0 and 4.body.9", "no tensors"]],
            _ => &[],
        };
        assert_eq!(said.len(), 1 + rest.len(), "{said:?}");
        for (note, words) in said[1..].iter().zip(rest) {
            assert!(words.iter().all(|word| note.contains(word)), "{note}");
        }
    }
    // The same of a chain. Layers that are no places of a `Sequential`, one of whose names is left out; numbers that another number comes before.
    for (names, words) in [
        (&["net.0.weight", "net.3.weight"][..], None),
        (&["1.weight", "3.weight"], None),
        (&["3.weight", "5.weight"], Some(&["layer is 3:", "below 3"][..])),
        (&["net.0.weight", "net.4.weight", "net.9.weight"], Some(&["net.0 and net.4, net.4 and net.9", "no tensors"])),
        (&["fc1.weight", "fc2.weight"], None),
        (&["fc1.weight", "fc3.weight"], Some(&["fc1 and fc3"])),
        (&["fc2.weight", "fc3.weight"], Some(&["layer is fc2"])),
        // A number in a model's name, and Keras' count of all layers of a program, are no places.
        (&["resnet18.fc.weight"], None),
        (&["dense_4.weight", "dense_5.weight"], None),
        (&["3.weight"], Some(&["layer is 3:", "below 3"])),
        (&["b.0.fc1.weight", "b.0.fc2.weight", "b.1.fc1.weight"], None),
    ] {
        let said = notes(&square(names));
        assert_eq!(said.len(), usize::from(words.is_some()), "{said:?}");
        assert!(words.unwrap_or_default().iter().all(|word| said[0].contains(word)), "{said:?}");
    }
    // ReLU where it is not given, but only for one number; widths, biases and kernels.
    let shapes: Shapes<'_> = &[
        ("0.weight", &[5, 3]),
        ("0.bias", &[5]),
        ("2.body.0.kernel", &[5, 7]),
        ("2.body.2.weight", &[6, 7]),
        ("2.body.2.bias", &[6]),
        ("2.shortcut.0.weight", &[6, 5]),
        ("4.weight", &[1, 6]),
    ];
    let model = read(shapes, None).unwrap();
    let body = |body: Network| body.dense(7, Relu).dense(6, Identity);
    let network =
        Network::new(3).dense(5, Relu).residual_with_shortcut(body, |x| x.dense(6, Identity)).activation(Relu);
    assert_eq!((model.network, model.loss), (network.dense(1, Identity), Loss::MeanSquaredError));
    assert_eq!(model.weights.layers[1].weight[1], 2.0 + 7.0);
    assert_eq!((model.weights.layers[2].bias[0], model.weights.layers[3].bias[0]), (4.0, 0.0));
}

/// What PyTorch has of a network that came from here: its tensors and nothing else.
#[test]
fn the_tensors_of_a_network_with_sums_say_what_it_is() {
    let inner = |body: Network| {
        body.dense(6, Tanh).residual(|inner| inner.dense(6, Identity)).activation(Tanh).dense(5, Identity)
    };
    let network = Network::new(7)
        .residual(|body| body.dense(9, Tanh).dense(7, Identity))
        .dense(5, Tanh)
        .residual_with_shortcut(inner, |x| x.dense(8, Tanh).dense(5, Identity))
        .activation(Tanh)
        .dense(3, Identity);
    let model = Model::new(network.clone(), Initializer::Torch.weights(&network, 3), Loss::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    model.write(&path).unwrap();
    without_metadata(&path);
    assert_eq!(Model::read_state_dict(&path, Some(Tanh)).unwrap(), model);
    // As a file of wgrad's it is none, and says what reads it.
    let error = Model::read(&path).unwrap_err().to_string();
    assert!(error.contains("body") && error.contains("import"), "{error}");
}

/// A chain that is refused because of a word in its names.
#[test]
fn words_between_numbers_that_are_no_residuals_stay_names() {
    let square = |names: &[&'static str]| names.iter().map(|&name| (name, &[4usize, 4][..])).collect::<Vec<_>>();
    for names in [
        &["blocks.0.body.weight", "blocks.1.body.weight"][..],
        &["body.0.weight", "body.2.weight"],
        &["net.2.body.0.weight", "net.2.body.2.weight"],
        &["0.body.0.weight"],
        &["net.0.linear.0.weight", "net.1.linear.0.weight"],
        &["net.0.body0.weight", "net.1.body0.weight"],
    ] {
        let chain = Network::classifier(4, &vec![4; names.len() - 1], Tanh, 4);
        assert_eq!(reads_as(&square(names), names).network, chain);
    }
}

/// A residual network that is read as another: each is refused by the name of a tensor.
#[test]
fn residuals_that_do_not_fit_are_refused_by_tensor() {
    const S: &[usize] = &[4, 4];
    let deep = |times: usize| format!("0{}.weight", ".body.0".repeat(times));
    let (deep_33, deep_many) = (deep(33), deep(100_000));
    for (shapes, words) in [
        // Widths.
        (
            &[("0.weight", S), ("2.body.0.weight", &[4, 5]), ("4.weight", S)][..],
            &["2.body.0.weight takes 5", "4 outputs", "must take 4"][..],
        ),
        (
            &[("0.weight", S), ("2.body.0.weight", &[5, 4]), ("4.weight", &[2, 5])],
            &["2.body.0.weight has 5", "residual 2 has 4", "must have 4"],
        ),
        (
            &[
                ("n.0.weight", S),
                ("n.2.body.0.weight", &[5, 4]),
                ("n.2.shortcut.0.weight", &[6, 4]),
                ("n.4.weight", &[2, 5]),
            ],
            &["n.2.body.0.weight has 5", "n.2.shortcut.0.weight", "has 6", "as many"],
        ),
        (
            &[("0.weight", S), ("2.body.0.weight", S), ("2.shortcut.0.weight", &[4, 3]), ("4.weight", S)],
            &["2.shortcut.0.weight takes 3", "must take 4"],
        ),
        (&[("0.weight", S), ("2.body.0.weight", S), ("4.weight", &[4, 3])], &["4.weight takes 3", "4 outputs"]),
        // What a residual has.
        (
            &[("0.weight", S), ("2.shortcut.0.weight", S), ("4.weight", S)],
            &["2.shortcut.0.weight and no 2.body.0.weight"],
        ),
        (&[("0.weight", S), ("2.body.1.weight", S), ("4.weight", S)], &["2.body.1 is the first", "2.body.0"]),
        (
            &[("0.weight", S), ("2.body.0.weight", S), ("2.shortcut.2.weight", S), ("4.weight", S)],
            &["2.shortcut.2 is the first"],
        ),
        (&[("0.weight", S), ("2.body.0.weight", S)], &["last layer", "residual", "dense"]),
        (
            &[("0.weight", S), ("2.body.0.weight", S), ("2.weight", S), ("4.weight", S)],
            &["2.body.0.weight", "2.weight", "one number"],
        ),
        (
            &[("0.weight", S), ("2.body.0.weight", S), ("2.body.00.weight", S), ("4.weight", S)],
            &["2.body.0.weight", "2.body.00.weight", "one number"],
        ),
        // Names beside it.
        (
            &[("stem.weight", S), ("0.body.0.weight", S), ("head.weight", S)],
            &["head.weight", "numbered", "net.2.body.0.weight"],
        ),
        (
            &[("blocks.0.body.0.weight", S), ("blocks.0.body.2.weight", S), ("head.weight", S)],
            &["blocks.0.body.0.weight", "numbered"],
        ),
        (
            &[("0.weight", S), ("2.body.0.weight", S), ("2.other.0.weight", S), ("4.weight", S)],
            &["2.other.0.weight", "numbered"],
        ),
        (
            &[("0.weight", S), ("2.body.0.weight", S), ("2.body.1.fc.weight", S), ("4.weight", S)],
            &["2.body.1.fc.weight", "numbered"],
        ),
        (
            &[("0.weight", S), ("2.body.0.weight", S), ("2.body.99999999999999999999.weight", S), ("4.weight", S)],
            &["99999999999999999999", "numbered"],
        ),
        (
            &[("0.weight", S), ("2.body.0.weight", S), ("2.body.1.weight", &[4]), ("4.weight", S)],
            &["2.body.1.weight", "normalization"],
        ),
        (&[(&deep_33, S), ("1.weight", S)], &["within more than 32 residuals"]),
        (&[(&deep_many, S), ("1.weight", S)], &["within more than 32 residuals"]),
    ] {
        let error = read(shapes, Some(Tanh)).expect_err(&format!("{words:?}")).to_string();
        for word in words {
            assert!(error.contains(word), "no {word} in: {error}");
        }
    }
    assert!(read(&[(&deep(32), S), ("1.weight", S)], None).is_ok());
    // What is between is not said, where more than one number is left out.
    for names in [
        ["0.weight", "3.body.0.weight", "3.body.2.weight", "5.weight"],
        ["0.weight", "2.body.0.weight", "2.body.3.weight", "4.weight"],
        ["0.weight", "2.body.0.weight", "2.body.2.weight", "5.weight"],
    ] {
        let shapes: Vec<(&str, &[usize])> = names.iter().map(|&name| (name, S)).collect();
        let error = read(&shapes, None).unwrap_err().to_string();
        assert!(error.contains("do not say what is between them"), "{error}");
        assert!(read(&shapes, Some(Tanh)).is_ok());
    }
}
