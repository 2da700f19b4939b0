//! Gradients of a whole network against central differences in f64.

use wgrad::{Activation, Dataset, Initializer, Network, Optimizer, TrainOptions, Trainer};

use crate::reference::interpreter::Interpreter;
use crate::reference::network::layers;
use crate::reference::softmax_cross_entropy;
use crate::support::{ACTIVATIONS, Random, assert_close, families, gpu};

/// The mean loss of a minibatch.
fn loss(z: &[f64], labels: &[usize]) -> f64 {
    let (losses, ..) = softmax_cross_entropy(z, labels, labels.len());
    losses.iter().sum::<f64>() / labels.len() as f64
}

/// The gradients that one step of gradient descent shows: so large a rate that the step drowns the weight, and the
/// difference keeps its digits.
const RATE: f64 = 1e4;

/// Finds an operation that is right at the end of the graph, where its upstream gradient is 1, and wrong in the middle.
#[test]
fn every_layers_gradient_is_the_central_difference() {
    let (rows, widths, classes) = (5, [7, 13, 9], 3);
    let network = Network::classifier(widths[0], &widths[1..], Activation::Relu, classes);
    let random = &mut Random(5);
    let x = random.values(rows * widths[0]);
    let labels: Vec<usize> = (0..rows).map(|_| random.below(classes)).collect();
    let set = Dataset::from_f32(
        x.iter().map(|&value| value as f32).collect(),
        widths[0],
        labels.iter().map(|&label| label as u32).collect(),
    )
    .unwrap();
    // Biases other than 0, and fewer units at ReLU's corner.
    let weights = Initializer::Torch.weights(&network, 3);
    let before = layers(&weights);
    let expected = Interpreter::evaluating(&network).gradient(&before, &x, &|z| loss(z, &labels));

    for family in families() {
        let options = TrainOptions {
            optimizer: Optimizer::sgd(RATE),
            batch_size: rows,
            steps: Some(1),
            family: Some(family),
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.set_weights(&weights).unwrap();
        trainer.fit(&set, None).unwrap();
        let after = layers(&trainer.weights().unwrap());
        for (at, ((before, after), expected)) in before.iter().zip(&after).zip(&expected).enumerate() {
            for (part, before, after, expected) in [
                ("weights", &before.weights, &after.weights, &expected.weights),
                ("bias", &before.bias, &after.bias, &expected.bias),
            ] {
                let step: Vec<f64> = before.iter().zip(after).map(|(before, after)| (before - after) / RATE).collect();
                assert_close(&format!("{family:?}, layer {at}, {part}"), &step, expected, 1e-5);
            }
        }
    }
}

/// A network of many classes, whose loss kernel has a workgroup a row, trains and predicts as it should.
#[test]
fn a_network_of_many_classes_trains_and_predicts() {
    let (rows, width, classes) = (9, 6, 130);
    let random = &mut Random(8);
    let x = random.values(rows * width);
    let labels: Vec<usize> = (0..rows).map(|_| random.below(classes)).collect();
    let features = x.iter().map(|&value| value as f32).collect();
    let set = Dataset::from_f32(features, width, labels.iter().map(|&label| label as u32).collect()).unwrap();
    let network = Network::classifier(width, &[5], Activation::Relu, classes);
    let weights = Initializer::Torch.weights(&network, 3);
    let options =
        TrainOptions { optimizer: Optimizer::sgd(RATE), batch_size: rows, steps: Some(1), ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
    trainer.set_weights(&weights).unwrap();
    let before = layers(&weights);

    let probabilities: Vec<f64> = trainer.predict(&set).unwrap().into_iter().map(f64::from).collect();
    let twin = Interpreter::evaluating(&network);
    let z = twin.logits(&before, &x);
    let expected: Vec<f64> = z
        .chunks_exact(classes)
        .flat_map(|z| {
            let sum: f64 = z.iter().map(|z| z.exp()).sum();
            z.iter().map(move |z| z.exp() / sum).collect::<Vec<_>>()
        })
        .collect();
    assert_close("probabilities", &probabilities, &expected, 1e-5);
    let evaluation = trainer.evaluate(&set).unwrap();
    assert_close("loss", &[evaluation.loss], &[loss(&z, &labels)], 1e-5);

    let expected = Interpreter::evaluating(&network).gradient(&before, &x, &|z| loss(z, &labels));
    trainer.fit(&set, None).unwrap();
    let after = layers(&trainer.weights().unwrap());
    for (at, ((before, after), expected)) in before.iter().zip(&after).zip(expected).enumerate() {
        let step: Vec<f64> =
            before.weights.iter().zip(&after.weights).map(|(before, after)| (before - after) / RATE).collect();
        assert_close(&format!("layer {at}"), &step, &expected.weights, 1e-5);
    }
}

/// Finds a derivative that belongs to another formula, or is taken from the output where it depends on the input: every activation in two hidden
/// layers, values and gradients.
#[test]
fn every_activation_agrees_with_its_twin() {
    let (rows, widths, classes) = (6, [5, 7, 6], 3);
    let random = &mut Random(6);
    // Far enough from 0 for every branch.
    let x: Vec<f64> = random.values(rows * widths[0]).into_iter().map(|value| 4.0 * value).collect();
    let labels: Vec<usize> = (0..rows).map(|_| random.below(classes)).collect();
    let features = x.iter().map(|&value| value as f32).collect();
    let set = Dataset::from_f32(features, widths[0], labels.iter().map(|&label| label as u32).collect()).unwrap();
    for activation in ACTIVATIONS {
        let network = Network::classifier(widths[0], &widths[1..], activation, classes);
        let weights = Initializer::HeNormal.weights(&network, 3);
        let before = layers(&weights);
        let twin = Interpreter::evaluating(&network);
        let mean = loss(&twin.logits(&before, &x), &labels);
        let options = TrainOptions {
            optimizer: Optimizer::sgd(RATE),
            batch_size: rows,
            steps: Some(1),
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.set_weights(&weights).unwrap();
        assert_close(&format!("{activation}: loss"), &[trainer.evaluate(&set).unwrap().loss], &[mean], 1e-5);
        let expected = twin.gradient(&before, &x, &|z| loss(z, &labels));
        trainer.fit(&set, None).unwrap();
        let after = layers(&trainer.weights().unwrap());
        for (at, ((before, after), expected)) in before.iter().zip(&after).zip(expected).enumerate() {
            let step: Vec<f64> =
                before.weights.iter().zip(&after.weights).map(|(before, after)| (before - after) / RATE).collect();
            assert_close(&format!("{activation}: layer {at}"), &step, &expected.weights, 1e-5);
        }
    }
}
