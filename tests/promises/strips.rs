//! Last layers of very many outputs, whose logits are made and judged a strip of rows at a time, beside a twin that writes the gradients out.

use wgrad::kernel::tile::Family;
use wgrad::kernel::tiling::Tiling;
use wgrad::layout::TokenLayout;
use wgrad::plan::{Element, Lifetime, Plan, Request, SetLayout};
use wgrad::targets::Targets;
use wgrad::{Activation, Dataset, DenseLayer, Initializer, Loss, Network, Optimizer, TrainOptions, Trainer, Weights};

use crate::problem::plain;
use crate::reference::network::{Layer, layers};
use crate::support::{Random, assert_close, bits, families, gpu};

const WIDTH: usize = 6;
const PLACES: usize = 25;
/// Rows of tokens: 100 places, of which a strip of 100,000 logits a place has 64.
const ROWS: usize = 4;
/// With so large a rate, the step dwarfs the weights, and the difference keeps its digits.
const RATE: f64 = 1e6;

fn begun(vocabulary: usize) -> Network {
    Network::tokens(PLACES).embedding(WIDTH, vocabulary)
}

/// Tokens, and a label for each place; every seventh place has none where some are ignored.
fn rows_of(rows: usize, vocabulary: usize, ignores: bool) -> (Vec<u32>, Vec<i64>) {
    let random = &mut Random(9);
    let mut draw = || (0..rows * PLACES).map(|_| random.below(vocabulary)).collect::<Vec<_>>();
    let (tokens, labels) = (draw(), draw());
    let label = |(at, label): (usize, usize)| if ignores && at % 7 == 0 { -1 } else { label as i64 };
    (tokens.into_iter().map(|token| token as u32).collect(), labels.into_iter().enumerate().map(label).collect())
}

fn set(tokens: &[u32], labels: &[i64]) -> Dataset {
    let labels = labels.iter().map(|&label| label as u32).collect();
    Dataset::from_tokens(tokens.to_vec(), PLACES, labels).unwrap()
}

fn cross_entropy(label_smoothing: f64, ignores: bool) -> Loss {
    let ignore_index = ignores.then_some(-1);
    Loss::SoftmaxCrossEntropy { label_smoothing, class_weights: None, ignore_index, gamma: 0.0 }
}

/// What one step of the twin gives.
struct Twin {
    loss: f64,
    right: f64,
    gradients: Vec<Layer>,
}

/// The loss and its gradients in f64: `dz = (softmax(z) − t)/n`, `dW = xᵀ·dz`, `dx = dz·Wᵀ`, with the table's rows as `x`.
fn twin(before: &[Layer], vocabulary: usize, tokens: &[u32], labels: &[i64], smoothing: f64) -> Twin {
    let table = &before[0].weights;
    let last = before.get(1);
    // Of a tied layer, column c of the weights is the table's row c.
    let weight = |d: usize, c: usize| last.map_or(table[c * WIDTH + d], |last| last.weights[d * vocabulary + c]);
    let bias = |c: usize| last.and_then(|last| last.bias.get(c)).copied().unwrap_or(0.0);
    let mut gradients: Vec<Layer> = before.to_vec();
    for layer in &mut gradients {
        layer.weights.fill(0.0);
        layer.bias.fill(0.0);
    }
    let judged = labels.iter().filter(|&&label| label >= 0).count() as f64;
    let (mut loss, mut right) = (0.0, 0.0);
    for (&token, &label) in tokens.iter().zip(labels).filter(|(_, label)| **label >= 0) {
        let x = &table[token as usize * WIDTH..][..WIDTH];
        let z: Vec<f64> =
            (0..vocabulary).map(|c| bias(c) + (0..WIDTH).map(|d| x[d] * weight(d, c)).sum::<f64>()).collect();
        let largest = z.iter().copied().fold(f64::MIN, f64::max);
        let logarithm = largest + z.iter().map(|z| (z - largest).exp()).sum::<f64>().ln();
        let target = |c: usize| smoothing / vocabulary as f64 + if c as i64 == label { 1.0 - smoothing } else { 0.0 };
        let mut dx = [0.0; WIDTH];
        for (c, &z) in z.iter().enumerate() {
            loss += target(c) * (logarithm - z) / judged;
            let dz = ((z - logarithm).exp() - target(c)) / judged;
            for d in 0..WIDTH {
                dx[d] += dz * weight(d, c);
                let at = if last.is_some() { d * vocabulary + c } else { c * WIDTH + d };
                gradients.last_mut().unwrap().weights[at] += dz * x[d];
            }
            if let Some(bias) = gradients.last_mut().unwrap().bias.get_mut(c) {
                *bias += dz;
            }
        }
        right += f64::from(u8::from(z[label as usize] == largest));
        for (d, dx) in dx.into_iter().enumerate() {
            gradients[0].weights[token as usize * WIDTH + d] += dx;
        }
    }
    Twin { loss, right: right / judged, gradients }
}

/// A network that has a strip's worth of logits, its loss, and whether some places have no label.
fn cases(vocabulary: usize) -> Vec<(&'static str, Network, bool, f64)> {
    vec![
        ("with biases", begun(vocabulary).dense(vocabulary, Activation::Identity), false, 0.0),
        ("ignored places", begun(vocabulary).dense(vocabulary, Activation::Identity), true, 0.1),
        ("tied", begun(vocabulary).with(DenseLayer::tied(vocabulary).into()), true, 0.0),
        ("no bias", begun(vocabulary).with(DenseLayer::new(vocabulary).without_bias().into()), false, 0.1),
    ]
}

fn options(loss: Loss, family: Family) -> TrainOptions {
    TrainOptions {
        optimizer: Optimizer::sgd(RATE),
        loss,
        batch_size: ROWS,
        steps: Some(1),
        shuffle: false,
        family: Some(family),
        ..TrainOptions::default()
    }
}

/// Weights of which no bias is 0.
fn initial(network: &Network) -> Weights {
    let mut initial = Initializer::Torch.weights(network, 3);
    let random = &mut Random(5);
    for value in initial.layers.iter_mut().flat_map(|layer| &mut layer.bias) {
        *value += 0.1 * random.value() as f32;
    }
    initial
}

/// Finds a strip that is left out, counted twice or written over the one before, rows past the last that count, a mean over one strip's places, and a gradient that is
/// divided in each strip.
#[test]
fn a_vocabulary_of_100_000_has_the_twins_loss_and_gradients() {
    let vocabulary = 100_000;
    for (number, (what, network, ignores, label_smoothing)) in cases(vocabulary).into_iter().enumerate() {
        let family = families()[number % 4];
        let what = format!("{what}, {family:?}");
        let (tokens, labels) = rows_of(ROWS, vocabulary, ignores);
        let set = set(&tokens, &labels);
        let loss = cross_entropy(label_smoothing, ignores);
        let initial = initial(&network);
        let before = layers(&initial);
        let expected = twin(&before, vocabulary, &tokens, &labels, label_smoothing);
        let mut trainer = Trainer::on(gpu(), network.clone(), options(loss, family)).unwrap();
        trainer.set_weights(&initial).unwrap();
        let evaluated = trainer.evaluate(&set).unwrap();
        assert_close(&format!("{what}: loss of an evaluation"), &[evaluated.loss], &[expected.loss], 1e-5);
        let accuracy = evaluated.accuracy.unwrap();
        assert!((accuracy - expected.right).abs() < 1e-9, "{what}: {accuracy}, not {}", expected.right);
        let reported = trainer.fit(&set, None).unwrap().epochs[0].training.loss;
        assert_close(&format!("{what}: loss"), &[reported], &[expected.loss], 1e-5);
        let after = layers(&trainer.weights().unwrap());
        for (at, ((before, after), expected)) in before.iter().zip(&after).zip(&expected.gradients).enumerate() {
            let own = |before: &[f64], after: &[f64]| -> Vec<f64> {
                before.iter().zip(after).map(|(before, after)| (before - after) / RATE).collect()
            };
            let weights = own(&before.weights, &after.weights);
            assert_close(&format!("{what}: gradient of parameter {at}"), &weights, &expected.weights, 2e-5);
            if !expected.bias.is_empty() {
                let bias = own(&before.bias, &after.bias);
                assert_close(&format!("{what}: gradient of a bias"), &bias, &expected.bias, 2e-5);
            }
        }
    }
}

/// Finds a gradient of one part of a minibatch that a strip of the next part adds to, and steps that have other bits the second time.
#[test]
fn strips_go_with_parts_of_a_minibatch_and_with_clipping() {
    let vocabulary = 60_000;
    // With ignored places: one with biases, one tied.
    for (what, network, ignores, _) in cases(vocabulary).into_iter().filter(|(_, _, ignores, _)| *ignores) {
        // Both halves come in strips.
        let (tokens, labels) = rows_of(2 * ROWS, vocabulary, ignores);
        let set = set(&tokens, &labels);
        let trained = |accumulate: usize| {
            let options = TrainOptions {
                optimizer: Optimizer::sgd(2.0),
                accumulate,
                batch_size: 2 * ROWS / accumulate,
                clip_grad_norm: Some(0.05),
                steps: Some(2),
                ..options(cross_entropy(0.0, ignores), families()[1])
            };
            let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
            trainer.set_weights(&initial(&network)).unwrap();
            trainer.fit(&set, None).unwrap();
            trainer.weights().unwrap()
        };
        let (whole, parts) = (trained(1), trained(2));
        for (whole, parts) in layers(&whole).iter().zip(&layers(&parts)) {
            assert_close(&format!("{what}: weights"), &parts.weights, &whole.weights, 2e-6);
        }
        assert_eq!(bits(&parts), bits(&trained(2)), "{what}");
    }
}

/// The plan of a training step of a network like GPT-2's smallest, but for its depth.
fn plan(vocabulary: usize, batch: u32, trains: bool) -> Plan {
    let network = Network::tokens(64).embedding(32, vocabulary).layer_norm().with(DenseLayer::tied(vocabulary).into());
    let optimizer = Optimizer::keras_adam();
    let tokens = TokenLayout { bytes: 4, overlaps: true };
    Plan::new(Request {
        network: &network,
        loss: &Loss::softmax_cross_entropy(),
        targets: Targets::CLASSES,
        training: trains.then(|| plain(&optimizer)),
        batch,
        set: SetLayout::whole(Element::Tokens(tokens), 10_000),
        tiling: &Tiling::of(Family::Software),
        metrics: !trains,
    })
    .unwrap()
}

/// Finds logits of all places in memory at once: the memory of a step grows with the vocabulary and with the rows, but not with their product.
#[test]
fn memory_does_not_grow_with_classes_times_rows() {
    let of_step = |vocabulary, batch, trains| -> u64 {
        let plan = plan(vocabulary, batch, trains);
        plan.buffers().iter().filter(|buffer| buffer.role.lifetime() == Lifetime::Step).map(|buffer| buffer.bytes).sum()
    };
    for trains in [true, false] {
        // 768 places, and four times as many.
        let grown = of_step(100_000, 48, trains) - of_step(100_000, 12, trains);
        // Some values of a place's width, and none for each of 100,000 tokens, which are 400 KB a place.
        assert!(grown < 2_304 * 4 * 32 * 12, "{grown} bytes more");
        // Logits and their gradient, of 64 places.
        let logits = 2 * 4 * 64 * 100_000;
        let table = 4 * 32 * 100_004;
        let all = of_step(100_000, 48, trains);
        assert!(all < logits + 4 * table + 10_000_000, "{all} bytes");
    }
    // Where all logits are few, they are in memory once, and nothing is done twice.
    let kernels = |plan: &Plan| plan.dispatches().iter().filter(|d| d.launch.kernel == "row_loss").count();
    assert_eq!([kernels(&plan(76, 12, true)), kernels(&plan(100_000, 12, true))], [1, 12]);
}
