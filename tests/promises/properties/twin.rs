//! A step in f64, and how far f32's rounding may move each number of it.

use wgrad::{Activation, Optimizer, Rule};

use super::case::{Case, Clipped, Features};
use super::rows::Rows;
use crate::reference::dropout_mask;
use crate::reference::muon::{Matrix, adjustment, orthogonalized};
use crate::reference::network::{Layer, activate};
use crate::reference::optimizer::{OptimizerState, step};

/// The accepted standard deviations of rounding: errors are independent and of first order only approximately.
const SIGMAS: f64 = 8.0;
/// f32's unit roundoff.
const EPS: f64 = 6e-8;
/// The error that the standard allows a device's exponential and similar functions: 3 + 2|x| units in the last place.
const OF_FUNCTIONS: f64 = 6e-7;
/// The step of central differences.
const STEP: f64 = 1e-6;

/// Numbers, row-major, and the variance that rounding gives each.
#[derive(Clone)]
pub(super) struct Rounded {
    pub values: Vec<f64>,
    pub variances: Vec<f64>,
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

    pub fn rms(&self) -> f64 {
        (self.values.iter().map(|value| value * value).sum::<f64>() / self.values.len().max(1) as f64).sqrt()
    }
}

/// A step's loss, and every layer's gradient: `[inputs + 1, outputs]`, the bias last. `None` where rounding decides on which side of a kink a
/// number is.
pub(super) fn gradients(case: &Case, rows: &Rows, layers: &[Layer], step: u64) -> (f64, Option<Vec<Rounded>>) {
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
            let mask = match network.layers()[at].dropout() {
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
pub(super) fn clip(case: &Case, gradients: &mut [Rounded]) {
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

/// What the rule keeps of a layer: of each weight, and Muon's momentum.
pub(super) struct Slots {
    pub kept: Vec<Own>,
    pub momentum: Vec<f64>,
}

/// Of one weight: as it is, and as it were if in one of the steps the gradient had been at one or the other end of what it may be.
#[derive(Clone, Default)]
pub(super) struct Own {
    as_it_is: OptimizerState,
    at_ends: Vec<[OptimizerState; 2]>,
}

/// The weights of a layer after a step, `[inputs + 1, outputs]`, and how far rounding may move each. The steps' gradients are rounded each for
/// itself, and a rule that goes by their ratios, as Adagrad does, is moved by what differs: so it is the root of the sum of the squares
/// of what each may do.
pub(super) fn stepped(
    optimizer: &Optimizer,
    slots: &mut Slots,
    before: &[f64],
    gradient: &Rounded,
    t: i32,
) -> (Vec<f64>, Vec<f64>) {
    let (mut after, mut reach) = (Vec::with_capacity(before.len()), Vec::with_capacity(before.len()));
    for (at, (&w, Own { as_it_is, at_ends })) in before.iter().zip(&mut slots.kept).enumerate() {
        let (g, noise) = (gradient.values[at], SIGMAS * gradient.variances[at].sqrt() + 1e-12);
        at_ends.push([as_it_is.clone(), as_it_is.clone()]);
        let has = step(optimizer, as_it_is, w, g, t);
        let now = at_ends.len() - 1;
        let squares = at_ends.iter_mut().enumerate().map(|(of, [low, high])| {
            let noise = if of == now { noise } else { 0.0 };
            let [low, high] = [(low, g - noise), (high, g + noise)].map(|(kept, g)| step(optimizer, kept, w, g, t));
            (low - has).abs().max((high - has).abs()).powi(2)
        });
        let wide = squares.sum::<f64>().sqrt();
        after.push(has);
        reach.push(1.5 * wide + 4e-6 * (has - w).abs() + 4.0 * EPS * w.abs());
    }
    (after, reach)
}

/// Muon's part of a layer: the matrix after a step, and how far rounding may move it, by the norm.
pub(super) fn muon_stepped(
    optimizer: &Optimizer,
    slots: &mut Slots,
    before: &Layer,
    gradient: &Rounded,
) -> (Vec<f64>, f64) {
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
pub(super) fn within(difference: f64, reach: f64) -> bool {
    difference.abs() <= reach
}

/// A layer's weights and bias in one: `[inputs + 1, outputs]`.
pub(super) fn whole(layer: &Layer) -> Vec<f64> {
    [&layer.weights[..], &layer.bias].concat()
}
