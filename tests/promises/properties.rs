//! Random networks, trained some steps beside a twin in f64 that knows its neighbour's rounding.
//!
//! After every step the twin begins anew from the device's weights, so that what is judged is one step and not what chaos makes of many. It carries
//! the variance that f32's rounding gives each of its numbers through the network and back (first order, errors independent of each other), and
//! steps three times: with each gradient as it is, and at both ends of [`SIGMAS`] standard deviations around it. What the device has must lie
//! between these: where a rule goes by a gradient's sign, as Lion does and Adam in its first step, that is wide for gradients that are nothing but
//! rounding, and narrow for all others. Where a unit's sum is so near a kink of ReLU or of the absolute error that rounding decides the side,
//! the twin cannot know the gradient, and says so: the case ends there, and is counted. Muon multiplies what is wrong with its direction by
//! 3.4445 in each iteration at most, and is judged by the norm.
//!
//! `WGRAD_CASES` asks for more than the first 25 cases, as CI does for 150: what they take is the driver's compiler, for every kernel of every
//! network. docs/soundness.md says what was run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use half::f16;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use wgrad::gpu::Checks;
use wgrad::{Activation, Dataset, Gpu, Initializer, Loss, Network, NonFinite, Optimizer, Rule, TrainOptions, Trainer};

use crate::reference::loss::{Targets, weighted_mean_loss};
use crate::reference::muon::{Matrix, adjustment, orthogonalized};
use crate::reference::network::{Layer, layers};
use crate::reference::optimizer::{Kept, step};
use crate::reference::{dropout_mask, row_of};
use crate::support::{Random, bits, families, own_gpu};

/// So many standard deviations of rounding: that errors are independent, and of first order, is no more than nearly true.
const SIGMAS: f64 = 8.0;
/// f32's unit roundoff.
const EPS: f64 = 6e-8;
/// What the standard leaves to a device's exponential and the like: 3 + 2|x| units in the last place.
const OF_FUNCTIONS: f64 = 6e-7;
/// Of central differences.
const STEP: f64 = 1e-6;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Features {
    U8,
    F16,
    F32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Clipped {
    No,
    Norm,
    Value,
}

/// A run. Whatever is not in it follows from the seed.
#[derive(Clone, Debug)]
struct Case {
    /// Features, units of every layer, outputs.
    widths: Vec<usize>,
    activation: Activation,
    dropout: f64,
    initializer: Initializer,
    /// By its word; whether it is given class indices; whether its options are all on.
    loss: &'static str,
    labels: bool,
    loss_options: bool,
    sample_weights: bool,
    optimizer: &'static str,
    /// Its switches and its weight decay.
    variant: bool,
    clipped: Clipped,
    skips: bool,
    features: Features,
    batch: usize,
    /// Whole minibatches of the set, and rows besides.
    batches: usize,
    rest: usize,
    shuffle: bool,
    /// Which of the families.
    family: usize,
    checks: bool,
    steps: u64,
    seed: u64,
}

const ACTIVATIONS: [Activation; 10] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu,
    Activation::Elu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Softplus,
];
const INITIALIZERS: [Initializer; 4] =
    [Initializer::GlorotUniform, Initializer::HeNormal, Initializer::Torch, Initializer::LecunNormal];
const LOSSES: [&str; 6] = ["softmax-cross-entropy", "kl-divergence", "sigmoid-cross-entropy", "mse", "mae", "huber"];
const OPTIMIZERS: [&str; 9] = ["sgd", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam", "lion", "muon"];

fn cases() -> impl Strategy<Value = Case> {
    let width = prop_oneof![6 => 1..=24usize, 2 => 25..=80usize, 1 => 81..=300usize].boxed();
    // Drivers compile for long: few networks are as deep as they may be, and most take the plain kernels, which are the quickest to compile.
    let layers = prop_oneof![4 => 1..=2usize, 2 => 3..=3usize, 1 => 4..=6usize];
    let network = (
        layers.prop_flat_map(move |layers| prop::collection::vec(width.clone(), layers + 1)),
        select(&ACTIVATIONS[..]),
        prop_oneof![3 => Just(0.0), 1 => Just(0.3)],
        select(&INITIALIZERS[..]),
    );
    let loss = (select(&LOSSES[..]), any::<bool>(), any::<bool>(), prop::bool::weighted(0.25));
    let update = (
        select(&OPTIMIZERS[..]),
        any::<bool>(),
        prop_oneof![3 => Just(Clipped::No), 1 => Just(Clipped::Norm), 1 => Just(Clipped::Value)],
        prop::bool::weighted(0.15),
    );
    let rows = (
        select(&[Features::U8, Features::F16, Features::F32][..]),
        prop_oneof![4 => 1..=12usize, 1 => 13..=40usize],
        1..=3usize,
        0..=39usize,
        any::<bool>(),
    );
    let family = prop_oneof![4 => Just(0usize), 2 => Just(1), 2 => Just(2), 1 => Just(3)];
    let run = (family, prop::bool::weighted(0.05), 1..=4u64, any::<u64>());
    (network, loss, update, rows, run).prop_map(|(network, loss, update, rows, run)| Case {
        widths: network.0,
        activation: network.1,
        dropout: network.2,
        initializer: network.3,
        loss: loss.0,
        labels: loss.1,
        loss_options: loss.2,
        sample_weights: loss.3,
        optimizer: update.0,
        variant: update.1,
        clipped: update.2,
        skips: update.3,
        features: rows.0,
        batch: rows.1,
        batches: rows.2,
        rest: rows.3 % rows.1,
        shuffle: rows.4,
        family: run.0,
        checks: run.1,
        steps: run.2,
        seed: run.3,
    })
}

impl Case {
    fn outputs(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }

    fn rows(&self) -> usize {
        self.batch * self.batches + self.rest
    }

    /// Whether the targets are class indices.
    fn has_labels(&self) -> bool {
        match self.loss {
            "softmax-cross-entropy" | "sigmoid-cross-entropy" => self.labels,
            _ => false,
        }
    }

    fn network(&self) -> Network {
        let last = self.widths.len() - 2;
        self.widths[1..].iter().enumerate().fold(Network::new(self.widths[0]), |network, (layer, &width)| {
            if layer == last {
                network.dense(width, Activation::Identity)
            } else {
                network.dense(width, self.activation).dropout(self.dropout)
            }
        })
    }

    fn loss(&self) -> Loss {
        let outputs = self.outputs();
        let weights: Vec<f64> = (0..outputs).map(|c| 0.5 + (c % 3) as f64 / 2.0).collect();
        match (self.loss, self.loss_options) {
            ("softmax-cross-entropy", true) => Loss::SoftmaxCrossEntropy {
                label_smoothing: 0.1,
                class_weights: Some(weights),
                ignore_index: self.has_labels().then_some(-100),
                gamma: if self.seed.is_multiple_of(2) { 2.0 } else { 0.0 },
            },
            ("sigmoid-cross-entropy", true) => Loss::SigmoidCrossEntropy { pos_weight: Some(weights), gamma: 2.0 },
            ("huber", true) => Loss::Huber { delta: 0.25 },
            (name, _) => Loss::from_name(name).unwrap(),
        }
    }

    fn optimizer(&self) -> Optimizer {
        let mut optimizer = Optimizer::from_name(self.optimizer).unwrap();
        optimizer.lr = match self.optimizer {
            "sgd" => 0.1,
            "adadelta" => 1.0,
            "lion" => 1e-3,
            _ => 0.01,
        };
        if self.variant {
            optimizer.weight_decay = 0.1;
            match &mut optimizer.rule {
                Rule::Sgd { momentum, nesterov } => (*momentum, *nesterov) = (0.9, self.seed.is_multiple_of(2)),
                Rule::RmsProp { momentum, centered, .. } => (*momentum, *centered) = (0.5, self.seed.is_multiple_of(2)),
                Rule::Adam { amsgrad, .. } | Rule::AdamW { amsgrad, .. } => *amsgrad = true,
                Rule::Muon { match_rms_adamw, nesterov, ns_steps, .. } => {
                    (*match_rms_adamw, *nesterov, *ns_steps) = (true, false, 3.0);
                }
                _ => {}
            }
        }
        optimizer
    }

    fn options(&self) -> TrainOptions {
        TrainOptions {
            loss: self.loss(),
            optimizer: self.optimizer(),
            initializer: self.initializer,
            clip_grad_norm: (self.clipped == Clipped::Norm).then_some(0.1),
            clip_grad_value: (self.clipped == Clipped::Value).then_some(0.01),
            non_finite: if self.skips { NonFinite::Skip } else { NonFinite::Stop },
            batch_size: self.batch,
            shuffle: self.shuffle,
            seed: self.seed,
            family: Some(families()[self.family]),
            checks: if self.checks { Checks::On } else { Checks::Off },
            ..TrainOptions::default()
        }
    }
}

/// A set, and what the twin has of it.
struct Rows {
    set: Dataset,
    x: Vec<f64>,
    labels: Option<Vec<i64>>,
    values: Vec<f64>,
    weights: Vec<f64>,
}

impl Rows {
    fn of(case: &Case) -> Self {
        let (rows, width, outputs) = (case.rows(), case.widths[0], case.outputs());
        let random = &mut Random(case.seed);
        let x = random.values(rows * width);
        let labels: Vec<i64> = (0..rows)
            .map(|row| if case.loss_options && row % 5 == 3 { -100 } else { random.below(outputs) as i64 })
            .collect();
        // A label that nobody ignores is one.
        let ignores = matches!(case.loss(), Loss::SoftmaxCrossEntropy { ignore_index: Some(_), .. });
        let labels = labels.into_iter().map(|label| if ignores { label } else { label.max(0) });
        let labels = case.has_labels().then(|| labels.collect::<Vec<i64>>());
        let drawn = random.values(rows * outputs).into_iter();
        let values: Vec<f64> = match case.loss {
            "softmax-cross-entropy" | "kl-divergence" => drawn.map(|value| value.max(0.0)).collect(),
            "sigmoid-cross-entropy" => drawn.map(|value| f64::from(u8::from(value > 0.3))).collect(),
            _ => drawn.collect(),
        };
        let weights = (0..rows).map(|row| if case.sample_weights { [0.5, 2.0, 1.5, 1.0][row % 4] } else { 1.0 });
        let weights: Vec<f64> = weights.collect();

        let device_labels = labels.clone().unwrap_or_else(|| vec![0; rows]).iter().map(|&label| label as u32).collect();
        let bytes: Vec<u8> = x.iter().map(|value| (127.5 * (value + 1.0)) as u8).collect();
        let halves: Vec<f16> = x.iter().map(|&value| f16::from_f64(value)).collect();
        let (set, x) = match case.features {
            Features::U8 => {
                let seen = bytes.iter().map(|&byte| f64::from(byte) / 255.0).collect();
                (Dataset::from_u8(bytes, width, device_labels), seen)
            }
            Features::F16 => {
                let seen = halves.iter().map(|&value| value.into()).collect();
                (Dataset::from_f16(halves, width, device_labels), seen)
            }
            Features::F32 => {
                (Dataset::from_f32(x.iter().map(|&value| value as f32).collect(), width, device_labels), x)
            }
        };
        let mut set = set.unwrap();
        if labels.is_none() {
            set = set.with_targets(values.iter().map(|&value| value as f32).collect(), outputs).unwrap();
        }
        if case.sample_weights {
            set = set.with_sample_weights(weights.iter().map(|&weight| weight as f32).collect()).unwrap();
        }
        Rows { set, x, labels, values, weights }
    }

    /// The rows of the minibatch of a step.
    fn visited(&self, case: &Case, step: u64) -> Vec<usize> {
        let rows = case.rows();
        let per_epoch = rows.div_ceil(case.batch) as u64;
        let (epoch, first) = (step / per_epoch, (step % per_epoch) as usize * case.batch);
        let row = |place: usize| match case.shuffle {
            true => row_of(place as u32, rows as u32, case.seed, epoch as u32) as usize,
            false => place,
        };
        (first..(first + case.batch).min(rows)).map(row).collect()
    }

    /// Loss of one row's logits, and the row's weight in the mean.
    fn row_loss(&self, loss: &Loss, row: usize, z: &[f64]) -> f64 {
        let outputs = z.len();
        let targets = match &self.labels {
            Some(labels) => Targets::Classes(&labels[row..=row]),
            None => Targets::Values(&self.values[row * outputs..(row + 1) * outputs]),
        };
        weighted_mean_loss(loss, z, &targets, outputs, &[1.0])
    }

    fn row_weight(&self, loss: &Loss, row: usize) -> f64 {
        match (loss, &self.labels) {
            (Loss::SoftmaxCrossEntropy { class_weights, ignore_index, .. }, Some(labels)) => {
                if Some(labels[row]) == *ignore_index {
                    return 0.0;
                }
                let of_class = |weights: &Vec<f64>| weights[labels[row] as usize];
                self.weights[row] * class_weights.as_ref().map_or(1.0, of_class)
            }
            _ => self.weights[row],
        }
    }
}

/// Numbers, row-major, and the variance that rounding gives each.
#[derive(Clone)]
struct Rounded {
    values: Vec<f64>,
    variances: Vec<f64>,
}

impl Rounded {
    fn exact(values: Vec<f64>) -> Self {
        let variances = vec![0.0; values.len()];
        Rounded { values, variances }
    }

    /// A·B with A `[m, k]` and B `[k, n]`, both read by functions; each sum is of `k` terms, in f32.
    fn product(
        [m, n, k]: [usize; 3],
        a: impl Fn(usize, usize) -> (f64, f64),
        b: impl Fn(usize, usize) -> (f64, f64),
    ) -> Self {
        let mut result = Rounded::exact(vec![0.0; m * n]);
        let mut squares = vec![0.0; n];
        for row in 0..m {
            squares.fill(0.0);
            let (sums, variances) =
                (&mut result.values[row * n..(row + 1) * n], &mut result.variances[row * n..(row + 1) * n]);
            for at in 0..k {
                let (x, of_x) = a(row, at);
                for column in 0..n {
                    let (y, of_y) = b(at, column);
                    sums[column] += x * y;
                    squares[column] += (x * y) * (x * y);
                    variances[column] += of_x * y * y + of_y * x * x;
                }
            }
            for column in 0..n {
                // Of partial sums that wander, or that all go one way.
                let rounding = EPS * EPS * k as f64 * (squares[column] + sums[column] * sums[column]);
                variances[column] += rounding;
            }
        }
        result
    }

    fn rms(&self) -> f64 {
        (self.values.iter().map(|value| value * value).sum::<f64>() / self.values.len().max(1) as f64).sqrt()
    }
}

fn activate(activation: Activation, z: f64) -> f64 {
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    match activation {
        Activation::Identity => z,
        Activation::Relu => z.max(0.0),
        Activation::LeakyRelu => {
            if z > 0.0 {
                z
            } else {
                0.01 * z
            }
        }
        Activation::Elu => {
            if z > 0.0 {
                z
            } else {
                z.exp_m1()
            }
        }
        Activation::Gelu => 0.5 * z * (1.0 + libm::erf(z / 2f64.sqrt())),
        Activation::GeluTanh => {
            0.5 * z * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (z + 0.044715 * z.powi(3))).tanh())
        }
        Activation::Silu => z * sigmoid(z),
        Activation::Tanh => z.tanh(),
        Activation::Sigmoid => sigmoid(z),
        Activation::Softplus => z.max(0.0) + (-z.abs()).exp().ln_1p(),
        other => panic!("{other} has no twin yet"),
    }
}

/// A step's loss, and every layer's gradient: `[inputs + 1, outputs]`, the bias last. `None` where rounding decides on which side of a kink a
/// number is.
fn gradients(case: &Case, rows: &Rows, layers: &[Layer], step: u64) -> (f64, Option<Vec<Rounded>>) {
    let (network, loss, visited) = (case.network(), case.loss(), rows.visited(case, step));
    let batch = visited.len();
    let is_linear = matches!(case.activation, Activation::Identity | Activation::Relu | Activation::LeakyRelu);
    let has_kink = matches!(case.activation, Activation::Relu | Activation::LeakyRelu);
    let mut decided = true;

    // Forward: each layer's input, and what its output is multiplied by on the way back.
    let width = case.widths[0];
    let mut x =
        Rounded::exact(visited.iter().flat_map(|&row| &rows.x[row * width..(row + 1) * width]).copied().collect());
    if case.features == Features::U8 {
        x.variances.iter_mut().zip(&x.values).for_each(|(variance, value)| *variance = (EPS * value).powi(2));
    }
    let (mut inputs, mut slopes): (Vec<Rounded>, Vec<Rounded>) = (vec![], vec![]);
    for (at, layer) in layers.iter().enumerate() {
        let (n, units) = (layer.weights.len() / layer.bias.len(), layer.bias.len());
        // The bias is the last of the weights, its input a 1.
        let of_input =
            |row: usize, k: usize| if k == n { (1.0, 0.0) } else { (x.values[row * n + k], x.variances[row * n + k]) };
        let of_weight = |k: usize, o: usize| (if k == n { layer.bias[o] } else { layer.weights[k * units + o] }, 0.0);
        let z = Rounded::product([batch, units, n + 1], of_input, of_weight);
        inputs.push(std::mem::replace(&mut x, z.clone()));
        if at + 1 == layers.len() {
            break;
        }
        let f = |z: f64| activate(case.activation, z);
        let slope = |z: f64| (f(z + STEP) - f(z - STEP)) / (2.0 * STEP);
        let mut back = z.clone();
        for i in 0..z.values.len() {
            let (value, variance) = (z.values[i], z.variances[i]);
            let mask = match network.layers()[at].dropout {
                0.0 => 1.0,
                rate => dropout_mask(case.seed, step as u32, at, i / units, i % units, units, rate),
            };
            decided &= !has_kink || mask == 0.0 || value.abs() > SIGMAS * variance.sqrt() + 2.0 * STEP;
            let own = if is_linear { EPS } else { OF_FUNCTIONS * (1.0 + value.abs()) };
            let bend = if is_linear { 0.0 } else { (slope(value + 1e-3) - slope(value - 1e-3)) / 2e-3 };
            x.values[i] = mask * f(value);
            x.variances[i] = mask * mask * (slope(value).powi(2) * variance + own * own);
            back.values[i] = mask * slope(value);
            back.variances[i] = mask * mask * (bend * bend * variance + own * own);
        }
        slopes.push(back);
    }

    // The loss, and its gradient by each logit.
    let outputs = case.outputs();
    let total: f64 = visited.iter().map(|&row| rows.row_weight(&loss, row)).sum();
    let by_output =
        if matches!(case.loss, "softmax-cross-entropy" | "kl-divergence") { 1.0 } else { 1.0 / outputs as f64 };
    let (mut mean, mut dz) = (0.0, Rounded::exact(vec![0.0; batch * outputs]));
    for (place, &row) in visited.iter().enumerate() {
        let share = if total > 0.0 { rows.row_weight(&loss, row) / total } else { 0.0 };
        let mut z = x.values[place * outputs..(place + 1) * outputs].to_vec();
        let here = rows.row_loss(&loss, row, &z);
        mean += share * here;
        let largest = z.iter().fold(1.0f64, |most, value| most.max(value.abs()));
        for c in 0..if share > 0.0 { outputs } else { 0 } {
            let (at, value) = (place * outputs + c, z[c]);
            let mut moved = |by: f64| {
                z[c] = value + by;
                let loss = rows.row_loss(&loss, row, &z);
                z[c] = value;
                loss
            };
            let gradient = share * (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let bend = share * (moved(1e-3) + moved(-1e-3) - 2.0 * here) / 1e-6;
            let variance = x.variances[at];
            if case.loss == "mae" {
                let distance = (value - rows.values[row * outputs + c]).abs();
                decided &= distance > SIGMAS * variance.sqrt() + 2.0 * STEP;
            }
            let own = OF_FUNCTIONS * (gradient.abs() + share * by_output * largest);
            let bend = if case.loss == "mae" { 0.0 } else { bend };
            (dz.values[at], dz.variances[at]) = (gradient, bend * bend * variance + own * own);
        }
    }
    if !decided {
        return (mean, None);
    }

    // Backward.
    let mut gradients = vec![];
    for at in (0..layers.len()).rev() {
        let (input, layer) = (&inputs[at], &layers[at]);
        let (n, units) = (layer.weights.len() / layer.bias.len(), layer.bias.len());
        let of_input = |k: usize, row: usize| {
            if k == n { (1.0, 0.0) } else { (input.values[row * n + k], input.variances[row * n + k]) }
        };
        let of_dz = |row: usize, o: usize| (dz.values[row * units + o], dz.variances[row * units + o]);
        gradients.push(Rounded::product([n + 1, units, batch], of_input, of_dz));
        if at > 0 {
            let of_weight = |o: usize, k: usize| (layer.weights[k * units + o], 0.0);
            let mut below = Rounded::product([batch, n, units], of_dz, of_weight);
            let slope = &slopes[at - 1];
            for i in 0..below.values.len() {
                let (d, s) = (below.values[i], slope.values[i]);
                below.variances[i] = below.variances[i] * s * s + d * d * slope.variances[i];
                below.values[i] = d * s;
            }
            dz = below;
        }
    }
    gradients.reverse();
    (mean, Some(gradients))
}

/// Clips all gradients as the case says.
fn clip(case: &Case, gradients: &mut [Rounded]) {
    let norm = gradients.iter().flat_map(|layer| &layer.values).map(|g| g * g).sum::<f64>().sqrt();
    for layer in gradients {
        match case.clipped {
            Clipped::No => {}
            Clipped::Norm => {
                let factor = (0.1 / (norm + 1e-6)).min(1.0);
                layer.values.iter_mut().for_each(|g| *g *= factor);
                layer.variances.iter_mut().for_each(|variance| *variance *= factor * factor);
            }
            Clipped::Value => layer.values.iter_mut().for_each(|g| *g = g.clamp(-0.01, 0.01)),
        }
    }
}

/// What the rule keeps of a layer: of each weight three times, for the gradient as it is and for both ends of what it may be; and Muon's momentum.
struct Slots {
    kept: Vec<[Kept; 3]>,
    momentum: Vec<f64>,
}

/// The weights of a layer after a step, `[inputs + 1, outputs]`, and how far rounding may move each.
fn stepped(
    optimizer: &Optimizer,
    slots: &mut Slots,
    before: &[f64],
    gradient: &Rounded,
    t: i32,
) -> (Vec<f64>, Vec<f64>) {
    let (mut after, mut reach) = (Vec::with_capacity(before.len()), Vec::with_capacity(before.len()));
    for (at, &w) in before.iter().enumerate() {
        let (g, noise) = (gradient.values[at], SIGMAS * gradient.variances[at].sqrt() + 1e-12);
        let of = |side: usize, slots: &mut Slots| {
            step(optimizer, &mut slots.kept[at][side], w, g + noise * (side as f64 - 1.0), t)
        };
        let ends = [of(0, slots), of(1, slots), of(2, slots)];
        let wide = (ends[0] - ends[1]).abs().max((ends[2] - ends[1]).abs());
        after.push(ends[1]);
        reach.push(1.5 * wide + 4e-6 * (ends[1] - w).abs() + 4.0 * EPS * w.abs());
    }
    (after, reach)
}

/// Muon's part of a layer: the matrix after a step, and how far rounding may move it, by the norm.
fn muon_stepped(optimizer: &Optimizer, slots: &mut Slots, before: &Layer, gradient: &Rounded) -> (Vec<f64>, f64) {
    let Rule::Muon { momentum, nesterov, match_rms_adamw, eps, ns_steps, .. } = optimizer.rule else {
        panic!("{optimizer:?}")
    };
    let (columns, count) = (before.bias.len(), before.weights.len());
    let lerp = |from: f64, to: f64, share: f64| from + share * (to - from);
    let update = gradient.values[..count].iter().zip(&mut slots.momentum).map(|(&g, v)| {
        *v = lerp(*v, g, 1.0 - momentum);
        if nesterov { lerp(g, *v, momentum) } else { *v }
    });
    let update = Matrix { rows: count / columns, columns, values: update.collect() }.transposed();
    let rate = optimizer.lr * adjustment(&update, match_rms_adamw);
    let direction = orthogonalized(&update, eps, ns_steps as usize).transposed();
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let length = norm(&mut update.values.iter().copied()).max(eps);
    let noise = SIGMAS * gradient.variances[..count].iter().sum::<f64>().sqrt() + 1e-12;
    let grown = 3.4445f64.powf(ns_steps);
    let of_direction = grown * (noise / length + 1e-6);
    let of_weights = 4.0 * EPS * norm(&mut before.weights.iter().copied());
    let after = before.weights.iter().zip(&direction.values);
    let after = after.map(|(w, x)| w * (1.0 - optimizer.lr * optimizer.weight_decay) - rate * x).collect();
    (after, rate * of_direction + of_weights)
}

/// Whether a difference is no more than it may be, which NaN is not.
fn within(difference: f64, reach: f64) -> bool {
    difference.abs() <= reach
}

/// A layer's weights and bias in one: `[inputs + 1, outputs]`.
fn whole(layer: &Layer) -> Vec<f64> {
    [&layer.weights[..], &layer.bias].concat()
}

/// Trains the case on the device and beside it, and says how many steps could be judged; else what is wrong.
fn agrees(gpu: &Arc<Gpu>, case: &Case) -> Result<u64, String> {
    let wrong = |what: &str, error: wgrad::Error| format!("{what}: {error}");
    let (network, rows, optimizer) = (case.network(), Rows::of(case), case.optimizer());
    let one_step = TrainOptions { steps: Some(1), ..case.options() };
    let mut trainer = Trainer::on(Arc::clone(gpu), network.clone(), one_step).map_err(|error| wrong("new", error))?;
    let mut before = layers(&network, &trainer.weights().map_err(|error| wrong("weights", error))?);
    let mut slots: Vec<Slots> = before
        .iter()
        .map(|layer| Slots {
            kept: vec![Default::default(); whole(layer).len()],
            momentum: vec![0.0; layer.weights.len()],
        })
        .collect();
    // Of Muon, the rule of the last layer and of every bias.
    let elementwise = match optimizer.rule {
        Rule::Muon { adamw_lr, beta1, beta2, adamw_eps, .. } => {
            Optimizer { lr: adamw_lr, rule: Rule::AdamW { beta1, beta2, eps: adamw_eps, amsgrad: false }, ..optimizer }
        }
        _ => optimizer,
    };
    let is_muon = matches!(optimizer.rule, Rule::Muon { .. });
    let mut judged = 0;
    for at in 0..case.steps {
        let (loss, gradients) = gradients(case, &rows, &before, at);
        let history = trainer.fit(&rows.set, None).map_err(|error| wrong("fit", error))?;
        let told = history.epochs[0].training.loss;
        if !within(told - loss, 1e-5 * loss.abs() + 4e-6) {
            return Err(format!("step {at}: a loss of {told}, and the twin's is {loss}"));
        }
        let after = layers(&network, &trainer.weights().map_err(|error| wrong("weights", error))?);
        let Some(mut gradients) = gradients else { break };
        clip(case, &mut gradients);
        for (layer, before) in before.iter().enumerate() {
            let (has, was) = (whole(&after[layer]), whole(before));
            let (twin, reach) = stepped(&elementwise, &mut slots[layer], &was, &gradients[layer], at as i32 + 1);
            let by_norm = is_muon && layer + 1 < after.len();
            let count = if by_norm { before.weights.len() } else { 0 };
            if by_norm {
                let (twin, reach) = muon_stepped(&optimizer, &mut slots[layer], before, &gradients[layer]);
                let off = has.iter().zip(&twin).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
                if !within(off, reach) {
                    return Err(format!("step {at}, layer {layer}: off by a norm of {off:e}, allowed {reach:e}"));
                }
            }
            for i in count..has.len() {
                if !within(has[i] - twin[i], reach[i]) {
                    let (g, deviation) = (gradients[layer].values[i], gradients[layer].variances[i].sqrt());
                    return Err(format!(
                        "step {at}, layer {layer}, weight {i} of {}: {} became {}, and the twin's {}; allowed {:e}; gradient {g:e} ± {deviation:e} \
                         among {:e}",
                        has.len(),
                        was[i],
                        has[i],
                        twin[i],
                        reach[i],
                        gradients[layer].rms()
                    ));
                }
            }
        }
        before = after;
        judged += 1;
    }
    // The same steps handed over at once.
    let steps = trainer.steps_done();
    let all = TrainOptions { steps: Some(steps), ..case.options() };
    let mut whole = Trainer::on(Arc::clone(gpu), network, all).map_err(|error| wrong("new", error))?;
    whole.fit(&rows.set, None).map_err(|error| wrong("fit", error))?;
    let [by_one, at_once] = [&mut trainer, &mut whole].map(|trainer| bits(&trainer.weights().unwrap()));
    if by_one != at_once {
        return Err(format!("{steps} steps at once have other bits than one by one"));
    }
    Ok(judged)
}

/// The device's part, and what a minibatch, a layer or a rule makes of it, in combinations that nobody thought of.
#[test]
fn random_networks_agree_with_their_twins() {
    const LOTS: usize = 10;
    let wanted = std::env::var("WGRAD_CASES").map_or(25, |cases| cases.parse::<usize>().unwrap());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(LOTS);
    let (next, asked, judged, failures) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(vec![]));
    let lots = || {
        let gpu = own_gpu();
        while let lot @ 0..LOTS = next.fetch_add(1, Ordering::Relaxed) {
            let cases_of_lot = (wanted * (lot + 1) / LOTS - wanted * lot / LOTS) as u32;
            let config =
                Config { cases: cases_of_lot, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
            // The same cases in every run.
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[lot as u8; 32]);
            let outcome = TestRunner::new_with_rng(config, rng).run(&cases(), |case| {
                let steps = agrees(&gpu, &case).map_err(TestCaseError::fail)?;
                asked.fetch_add(case.steps as usize, Ordering::Relaxed);
                judged.fetch_add(steps as usize, Ordering::Relaxed);
                Ok(())
            });
            match outcome {
                Ok(()) => {}
                Err(TestError::Fail(reason, case)) => failures.lock().unwrap().push(format!("{reason}\n{case:?}")),
                Err(error) => failures.lock().unwrap().push(error.to_string()),
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(lots))));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {LOTS} lots:\n{}", failures.len(), failures.join("\n\n"));
    let (asked, judged) = (asked.into_inner(), judged.into_inner());
    println!("{wanted} networks, {judged} of {asked} steps judged");
    assert!(10 * judged >= 8 * asked, "{judged} of {asked} steps could be judged");
}
