//! Initial weights and model files.

use wgrad::{Activation, Initializer, Loss, Model, Network, Scaling};

use crate::support::{bits, flat};

fn network() -> Network {
    Network::classifier(300, &[200], Activation::Relu, 10)
}

/// Finds a distribution of the wrong width or shape, by bounds and moments of 60,000 draws.
#[test]
fn initial_weights_have_their_papers_distributions() {
    let (fan_in, fan_out) = (300.0f64, 200.0f64);
    let he = (2.0 / fan_in).sqrt();
    for (initializer, deviation, bound) in [
        (Initializer::GlorotUniform, (2.0 / (fan_in + fan_out)).sqrt(), Some((6.0 / (fan_in + fan_out)).sqrt())),
        (Initializer::HeUniform, he, Some((6.0 / fan_in).sqrt())),
        (Initializer::HeNormal, he, None),
        (Initializer::GlorotNormal, (2.0 / (fan_in + fan_out)).sqrt(), None),
        (Initializer::LecunUniform, (1.0 / fan_in).sqrt(), Some((3.0 / fan_in).sqrt())),
        (Initializer::LecunNormal, (1.0 / fan_in).sqrt(), None),
        (Initializer::Torch, (1.0 / (3.0 * fan_in)).sqrt(), Some((1.0 / fan_in).sqrt())),
    ] {
        let weights = initializer.weights(&network(), 1);
        let values: Vec<f64> = weights.layers[0].weight.iter().map(|&value| value.into()).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let spread = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let largest = values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        // Four standard errors.
        assert!(mean.abs() < 4.0 * deviation / count.sqrt(), "{initializer}: mean {mean}");
        assert!((spread / deviation - 1.0).abs() < 4.0 / count.sqrt(), "{initializer}: deviation {spread}");
        match bound {
            Some(bound) => assert!(largest <= bound * 1.000001 && largest > 0.99 * bound, "{initializer}: {largest}"),
            None => assert!(largest > 3.5 * deviation && largest < 6.0 * deviation, "{initializer}: {largest}"),
        }
        let biased = weights.layers[0].bias.iter().any(|&bias| bias != 0.0);
        assert_eq!(biased, initializer == Initializer::Torch, "{initializer}: biases");
    }
}

/// Finds vectors that are not orthogonal, or not of length 1: in wide, tall and square matrices.
#[test]
fn orthogonal_weights_are_orthonormal() {
    for [inputs, outputs] in [[30, 20], [20, 30], [10, 10], [1, 5]] {
        let network = Network::classifier(inputs, &[], Activation::Relu, outputs);
        let weight = Initializer::Orthogonal.weights(&network, 2).layers.remove(0).weight;
        let entry = |v: usize, at: usize| {
            f64::from(if outputs <= inputs { weight[v * inputs + at] } else { weight[at * inputs + v] })
        };
        for a in 0..inputs.min(outputs) {
            for b in 0..inputs.min(outputs) {
                let dot: f64 = (0..inputs.max(outputs)).map(|at| entry(a, at) * entry(b, at)).sum();
                assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-6, "{inputs} × {outputs}: {a}·{b} = {dot}");
            }
        }
    }
}

/// Finds a value that is scaled, or that biases take too; and the word it goes by.
#[test]
fn constant_weights_are_that_constant() {
    let network = Network::classifier(5, &[4], Activation::Relu, 3);
    let initializer: Initializer = "constant:0.25".parse().unwrap();
    assert_eq!((initializer, initializer.to_string()), (Initializer::Constant(0.25), "constant:0.25".into()));
    for layer in initializer.weights(&network, 1).layers {
        assert!(layer.weight.iter().all(|&weight| weight == 0.25) && layer.bias.iter().all(|&bias| bias == 0.0));
    }
}

/// Finds a generator that changes with the platform, the compiler or a rewrite, so that a model is no longer reproducible. The expected bits are
/// those of a Python program of ten lines (`tests/initial_weights.py`).
#[test]
fn initial_weights_are_the_same_bits_everywhere() {
    let network = Network::classifier(3, &[2], Activation::Relu, 2);
    let expected: Vec<u32> = include_str!("../initial_weights.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| u32::from_str_radix(line, 16).unwrap())
        .collect();
    assert_eq!(bits(&Initializer::GlorotUniform.weights(&network, 42)), expected);
}

/// Finds layers that repeat each other, seeds that repeat each other.
#[test]
fn layers_and_seeds_draw_different_values() {
    let network = Network::classifier(10, &[10, 10], Activation::Relu, 10);
    let weights = |seed| Initializer::GlorotUniform.weights(&network, seed);
    let layers = weights(0).layers;
    assert_ne!(layers[0], layers[1]);
    assert_ne!(layers[1], layers[2]);
    assert_ne!(weights(0), weights(1));
    assert_eq!(weights(1), weights(1));
}

/// Finds a model that comes back transposed, renamed, or not at all; and a half-written file beside it.
#[test]
fn a_model_file_round_trips_with_pytorchs_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let network =
        Network::new(7).dense(5, Activation::Relu).dense(4, Activation::Identity).dense(3, Activation::Identity);
    let loss = Loss::SoftmaxCrossEntropy {
        label_smoothing: 0.1,
        class_weights: Some(vec![1.0, 0.5, 2.0]),
        ignore_index: Some(-100),
        gamma: 1.5,
    };
    let weights = Initializer::Torch.weights(&network, 9);
    let model = Model {
        classes: (0..network.outputs()).map(|class| format!("class {class}")).collect(),
        scaling: Some(Scaling {
            shift: (0..network.inputs()).map(|at| at as f64 / 3.0).collect(),
            scale: (0..network.inputs()).map(|at| 1.0 / (1 + at) as f32).collect(),
        }),
        ..Model::new(network, weights, loss)
    };
    model.write(&path).unwrap();
    assert_eq!(Model::read(&path).unwrap(), model);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["model.safetensors"]);

    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<(String, Vec<usize>)> =
        file.tensors().into_iter().map(|(name, tensor)| (name, tensor.shape().to_vec())).collect();
    tensors.sort();
    let expected: [(&str, &[usize]); 6] = [
        ("0.bias", &[5]),
        ("0.weight", &[5, 7]),
        ("2.bias", &[4]),
        ("2.weight", &[4, 5]),
        ("4.bias", &[3]),
        ("4.weight", &[3, 4]),
    ];
    assert_eq!(tensors, expected.map(|(name, shape)| (name.to_string(), shape.to_vec())));
}

/// Finds a link or a device that a file replaces: saving follows links, and replaces files only.
#[cfg(unix)]
#[test]
fn saving_follows_links_and_replaces_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let network = Network::classifier(2, &[], Activation::Relu, 2);
    let weights = Initializer::Torch.weights(&network, 1);
    let model = Model::new(network, weights, Loss::default());
    std::fs::write(at("file"), "old").unwrap();
    std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
    model.write(at("link")).unwrap();
    assert!(at("link").is_symlink());
    assert_eq!(Model::read(at("file")).unwrap(), model);

    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let error = model.write(at("socket")).unwrap_err();
    assert!(error.to_string().contains("not a file"), "{error}");
    assert!(!at("socket").is_file());
}

/// Finds weights that lose a bit on their way to the device and back, at sizes that need padding.
#[test]
fn weights_come_back_from_the_device_bit_for_bit() {
    for widths in [[1, 2], [7, 3], [8, 4], [5, 9]] {
        let network = Network::classifier(widths[0], &[], Activation::Relu, widths[1]);
        let weights = Initializer::Torch.weights(&network, 2);
        let mut trainer = wgrad::Trainer::on(crate::support::gpu(), network, wgrad::TrainOptions::default()).unwrap();
        assert_ne!(flat(&trainer.weights().unwrap()), flat(&weights));
        trainer.set_weights(&weights).unwrap();
        assert_eq!(trainer.weights().unwrap(), weights);
    }
}
