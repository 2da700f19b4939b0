//! What each layer makes of a row, which a report shows of convolutions: against the f64 interpreter, layer by layer.

use wgrad::{Dataset, Form, Initializer, LayerOutput, Loss, Model, Network, ParameterKind, Predictor, TrainOptions};
use wgrad::{Trainer, Weights};

use crate::image_models;
use crate::random_networks::random_network;
use crate::reference::interpreter::Interpreter;
use crate::reference::network::layers;
use crate::support::{Random, assert_close, gpu, refused};

/// Weights with running statistics and scales that are not those of a new network.
fn weights(network: &Network, seed: u64) -> Weights {
    let (random, mut weights) = (&mut Random(seed), Initializer::Torch.weights(network, seed));
    for (parameter, own) in network.named_parameters().iter().zip(&mut weights.layers) {
        if matches!(parameter.kind, ParameterKind::Scale | ParameterKind::Statistics) {
            own.weight.iter_mut().for_each(|value| *value = random.value() as f32);
            own.bias.iter_mut().for_each(|value| *value = 0.5 + random.value().abs() as f32);
        }
    }
    weights
}

/// What the interpreter has for each layer that computes something: its location, and the values in the order of [`LayerOutput`].
fn expected(network: &Network, weights: &Weights, x: &[f64]) -> Vec<(String, Vec<f64>)> {
    let twin = Interpreter::evaluating(network);
    let (graph, values) = (twin.graph(), twin.values(&layers(weights), x));
    let mut last = vec![None; graph.layers().len()];
    for (id, node) in graph.nodes() {
        if let (Some(layer), false) = (graph.layer(id), node.inputs.is_empty()) {
            last[layer] = Some(node.result());
        }
    }
    let of = |(location, value): (&String, Option<wgrad::graph::Value>)| {
        Some((location.clone(), values.of(value?).to_vec(), graph.shape(value?).clone()))
    };
    let flat = |(location, values, shape): (String, Vec<f64>, Vec<u32>), form: Form| match (form, &shape[..]) {
        (Form::Flattened(_), &[_, _, _, channels]) => {
            let (channels, pixels) = (channels as usize, values.len() / channels as usize);
            (location, (0..values.len()).map(|at| values[at % pixels * channels + at / pixels]).collect())
        }
        _ => (location, values),
    };
    let forms = forms(network.input(), network.layers());
    assert_eq!(forms.len(), last.len());
    let made = graph.layers().iter().zip(last).map(of).zip(forms);
    made.filter_map(|(own, form)| Some(flat(own?, form))).collect()
}

/// What goes out of all layers, each before those within it.
fn forms(mut input: Form, layers: &[wgrad::Layer]) -> Vec<Form> {
    let mut all = vec![];
    for layer in layers {
        let output = layer.output(input);
        all.push(output);
        // A residual's lists begin with what is flattened as features.
        let within = if let Form::Flattened(_) = input { Form::Features(input.values()) } else { input };
        match layer.kind() {
            wgrad::LayerKind::Residual(own) => {
                all.extend(forms(within, &own.body));
                all.extend(forms(within, &own.shortcut));
            }
            wgrad::LayerKind::Repeat(own) => {
                let mut copy = input;
                for _ in 0..own.times {
                    all.extend(forms(copy, &own.layers));
                    copy = own.layers.iter().fold(copy, |form, layer| layer.output(form));
                }
            }
            _ => {}
        }
        input = output;
    }
    all
}

fn assert_activations(what: &str, network: &Network, seed: u64) {
    let weights = weights(network, seed);
    let model = Model::new(network.clone(), weights.clone(), Loss::default());
    let x: Vec<f32> = Random(seed + 5).values(network.inputs()).into_iter().map(|value| value as f32).collect();
    let predictor = Predictor::from_model(gpu(), model).unwrap();
    let out = predictor.activations(&x).unwrap();
    let expected = expected(network, &weights, &x.iter().map(|&value| value.into()).collect::<Vec<f64>>());
    let names = |all: &[LayerOutput]| -> Vec<String> { all.iter().map(|own| own.location.clone()).collect() };
    assert_eq!(names(&out), expected.iter().map(|(location, _)| location.clone()).collect::<Vec<_>>(), "{what}");
    for (own, (location, values)) in out.iter().zip(&expected) {
        assert_eq!((own.values.len(), own.form.values()), (values.len(), values.len()), "{what}: {location}");
        let read: Vec<f64> = own.values.iter().map(|&value| value.into()).collect();
        assert_close(&format!("{what}: {location} ({})", own.kind), &read, values, 1e-5);
    }
    // Each convolution is there, by its name in files.
    let is_conv = |parameter: &wgrad::Parameter| matches!(parameter.kind, ParameterKind::Kernel { .. });
    for parameter in network.named_parameters().into_iter().filter(is_conv) {
        let own = out.iter().find(|own| own.name == parameter.name && own.kind == "conv");
        let own = own.unwrap_or_else(|| panic!("{what}: no {}", parameter.name));
        assert!(matches!(own.form, Form::Image(image) if image.channels as usize == parameter.outputs), "{what}");
    }
}

/// Finds a layer that is left out, has another's values, values of its output before its activation, a pool's in place of its convolution's, padding among its values, or
/// batch norms that take the row's own statistics.
#[test]
fn every_layers_activations_are_the_twins() {
    for (at, (what, network)) in image_models::networks().into_iter().enumerate() {
        assert_activations(what, &network, at as u64);
    }
    for seed in 0..40 {
        let network = random_network(seed);
        assert_activations(&format!("seed {seed}: {}", network.shape()), &network, seed);
    }
}

/// Finds a row that is another, bytes that are not scaled as in training, and a row that is not there.
#[test]
fn a_trainers_activations_are_of_the_row_that_is_asked_for() {
    let network = Network::image(5, 4, 3).conv(6, 3, wgrad::Activation::Relu).flatten();
    let network = network.dense(3, wgrad::Activation::Identity);
    let mut random = Random(4);
    let bytes: Vec<u8> = (0..7 * 60).map(|_| random.bits() as u8).collect();
    let set = Dataset::from_u8(bytes.clone(), 60, vec![0, 1, 2, 0, 1, 2, 0]).unwrap();
    let mut trainer = Trainer::on(gpu(), network.clone(), TrainOptions::default()).unwrap();
    let weights = trainer.weights().unwrap();
    for row in [0, 3, 6] {
        let x: Vec<f64> = bytes[60 * row..60 * (row + 1)].iter().map(|&byte| f64::from(byte) / 255.0).collect();
        let out = trainer.activations(&set, row).unwrap();
        for (own, (location, values)) in out.iter().zip(expected(&network, &weights, &x)) {
            let read: Vec<f64> = own.values.iter().map(|&value| value.into()).collect();
            assert_close(&format!("row {row}: {location}"), &read, &values, 1e-5);
        }
        assert_eq!(out.len(), 2);
    }
    refused(&["7"], trainer.activations(&set, 7));
}
