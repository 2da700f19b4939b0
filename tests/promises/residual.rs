//! Residual sums: in the plan, in the gradients, in files.

use wgrad::{Activation, Dataset, Initializer, Loss, Network, Optimizer, TrainOptions, Trainer};

use crate::reference::dropout_mask;
use crate::reference::loss::{Targets, mean_loss};
use crate::reference::network::{Layer, gradient, layers, outputs};
use crate::support::{Random, assert_close, families, gpu};

const SEED: u64 = 0x1234_5678_9abc_def0;
/// So large a rate that the step drowns the weight, and the difference keeps its digits.
const RATE: f64 = 1e4;
const ROWS: usize = 6;

/// Where sums may stand, and what may be around them: each in another kernel's epilogue, or in none.
fn networks(width: usize, classes: usize) -> Vec<(&'static str, Network)> {
    use Activation::{Gelu, Identity, Relu, Silu, Tanh};
    let begun = || Network::new(width).dense(9, Tanh);
    vec![
        ("a sum in a product", begun().residual(|body| body.dense(9, Identity)).activation(Tanh)),
        ("two layers", begun().residual(|body| body.dense(13, Relu).dense(9, Identity))),
        ("an activation before the sum", begun().residual(|body| body.dense(9, Tanh))),
        ("a kept derivative before and after", begun().residual(|body| body.dense(9, Silu)).activation(Gelu)),
        ("dropout before and after", {
            let body = |body: Network| body.dense(9, Relu).dropout(0.3);
            begun().residual(body).activation(Tanh).dropout(0.4)
        }),
        ("dropout in a product", begun().dropout(0.2).residual(|body| body.dense(9, Identity)).dropout(0.4)),
        ("the set", Network::new(width).residual(|body| body.dense(width, Tanh))),
        ("the set, in a product", Network::new(width).residual(|body| body.dense(width, Identity)).activation(Relu)),
        (
            "a shortcut",
            begun().residual_with_shortcut(|body| body.dense(7, Tanh).dense(8, Identity), |x| x.dense(8, Identity)),
        ),
        (
            "a shortcut with an activation",
            begun().residual_with_shortcut(|body| body.dense(8, Silu), |x| x.dense(8, Tanh)),
        ),
        ("a shortcut from the set", {
            let shortcut = |x: Network| x.dense(16, Identity);
            Network::new(width).residual_with_shortcut(|body| body.dense(16, Relu), shortcut).activation(Tanh)
        }),
        ("two sums", {
            let body = |body: Network| body.dense(12, Tanh).dense(9, Identity);
            begun().residual(body).residual(body)
        }),
        (
            "two sums, activations before",
            begun().residual(|body| body.dense(9, Tanh)).residual(|body| body.dense(9, Gelu)),
        ),
        (
            "sums in sums",
            begun()
                .residual(|body| body.residual(|inner| inner.dense(9, Identity)).activation(Tanh).dense(9, Identity)),
        ),
        ("sums in sums, the inner one last", {
            let inner = |inner: Network| inner.dense(9, Silu);
            begun().residual(|body| body.dense(9, Tanh).residual(inner)).activation(Tanh)
        }),
        ("a sum as a body and in a shortcut", {
            let sum = |network: Network| network.residual(|inner| inner.dense(9, Tanh).dense(9, Identity));
            begun().residual_with_shortcut(sum, sum).dropout(0.1)
        }),
    ]
    .into_iter()
    .map(|(what, network)| (what, network.dense(classes, Identity)))
    .collect()
}

/// The mean loss of a minibatch.
fn loss(network: &Network, layers: &[Layer], x: &[f64], labels: &[i64]) -> f64 {
    let mask = |layer, sample, unit, units, rate| dropout_mask(SEED, 0, layer, sample, unit, units, rate);
    let z = outputs(network, layers, x, labels.len(), &mask);
    mean_loss(&Loss::default(), &z, &Targets::Classes(labels), network.outputs())
}

/// A set, and its features and labels once more.
fn rows(width: usize, classes: usize) -> (Dataset, Vec<f64>, Vec<i64>) {
    let random = &mut Random(11);
    let x = random.values(ROWS * width);
    let labels: Vec<i64> = (0..ROWS).map(|_| random.below(classes) as i64).collect();
    let features = x.iter().map(|&value| value as f32).collect();
    let set = Dataset::from_f32(features, width, labels.iter().map(|&label| label as u32).collect()).unwrap();
    (set, x, labels)
}

/// The gradient of one way forgotten, or taken before the activation instead of after it; a derivative of another layer's output; masks of another
/// layer. Gradients against central differences, in networks of few and of many outputs.
#[test]
fn gradients_come_by_both_ways() {
    // Widths that fill quads and that do not, few and many outputs.
    for (width, classes) in [(7, 3), (8, 70)] {
        let (set, x, labels) = rows(width, classes);
        for (number, (what, network)) in networks(width, classes).into_iter().enumerate() {
            let initial = Initializer::Torch.weights(&network, 3);
            let before = layers(&network, &initial);
            let expected = gradient(&before, &|layers| loss(&network, layers, &x, &labels));
            // Compiling takes the time: of many outputs, each network on one family in turn.
            let on = if classes > 64 { vec![families()[number % 4]] } else { families().to_vec() };
            for family in on {
                let options = TrainOptions {
                    optimizer: Optimizer::sgd(RATE),
                    batch_size: ROWS,
                    steps: Some(1),
                    shuffle: false,
                    seed: SEED,
                    family: Some(family),
                    ..TrainOptions::default()
                };
                let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
                trainer.set_weights(&initial).unwrap();
                let told = trainer.fit(&set, None).unwrap().epochs[0].training.loss;
                assert_close(
                    &format!("{what}, {family:?}: loss"),
                    &[told],
                    &[loss(&network, &before, &x, &labels)],
                    1e-5,
                );
                let after = layers(&network, &trainer.weights().unwrap());
                for (at, ((before, after), expected)) in before.iter().zip(&after).zip(&expected).enumerate() {
                    let step = |before: &[f64], after: &[f64]| -> Vec<f64> {
                        before.iter().zip(after).map(|(before, after)| (before - after) / RATE).collect()
                    };
                    let what = format!("{what}, {classes} classes, {family:?}, layer {at}");
                    assert_close(&what, &step(&before.weights, &after.weights), &expected.weights, 1e-5);
                    assert_close(&what, &step(&before.bias, &after.bias), &expected.bias, 1e-5);
                }
            }
        }
    }
}
