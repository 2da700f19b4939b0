//! A whole network in f64: the loss of a minibatch, and nothing else. Its gradient comes from central differences, which
//! share no line with any backward pass.

use crate::activation::Activation;
use crate::network::{LayerKind, Network};
use crate::weights::Weights;

use super::{dense_forward, softmax_cross_entropy};
use crate::network;

/// One layer: weights `[inputs, outputs]` and bias.
#[derive(Clone)]
pub struct Layer {
    /// Row-major.
    pub weights: Vec<f64>,
    /// One value for each output.
    pub bias: Vec<f64>,
}

/// The layers of these weights, with `[out, in]` turned into `[in, out]`.
pub fn layers(network: &Network, weights: &Weights) -> Vec<Layer> {
    network
        .widths()
        .zip(&weights.layers)
        .map(|((inputs, outputs), layer)| Layer {
            weights: (0..inputs * outputs)
                .map(|at| f64::from(layer.weight[at % outputs * inputs + at / outputs]))
                .collect(),
            bias: layer.bias.iter().map(|&value| value.into()).collect(),
        })
        .collect()
}

/// An activation's value.
///
/// # Panics
///
/// For one of the user's own, whose formula only its WGSL has.
pub fn activate(activation: Activation, z: f64) -> f64 {
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    match activation {
        Activation::Identity => z,
        Activation::Relu => z.max(0.0),
        Activation::LeakyRelu if z > 0.0 => z,
        Activation::LeakyRelu => 0.01 * z,
        Activation::Elu if z > 0.0 => z,
        Activation::Elu => z.exp_m1(),
        Activation::Gelu => 0.5 * z * (1.0 + libm::erf(z / 2f64.sqrt())),
        Activation::GeluTanh => {
            0.5 * z * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (z + 0.044715 * z.powi(3))).tanh())
        }
        Activation::Silu => z * sigmoid(z),
        Activation::Tanh => z.tanh(),
        Activation::Sigmoid => sigmoid(z),
        Activation::Softplus => z.max(0.0) + (-z.abs()).exp().ln_1p(),
        Activation::Custom(_) => panic!("{activation} has no twin"),
    }
}

/// The logits of a minibatch, with ReLU after every layer but the last.
pub fn logits(layers: &[Layer], x: &[f64]) -> Vec<f64> {
    logits_with(layers, x, &|z| z.max(0.0))
}

/// The logits of a minibatch, with an activation after every layer but the last.
pub fn logits_with(layers: &[Layer], x: &[f64], activation: &dyn Fn(f64) -> f64) -> Vec<f64> {
    layers.iter().enumerate().fold(x.to_vec(), |x, (at, layer)| {
        let z = dense_forward(&x, &layer.weights, &layer.bias, false);
        if at + 1 < layers.len() { z.into_iter().map(activation).collect() } else { z }
    })
}

/// The logits of a minibatch of `rows`, by the network's layers one after the other. `mask` returns the factor of a unit under dropout, for the
/// dropout's number, the sample, the unit, the number of units, and the rate.
pub fn outputs(
    network: &Network,
    layers: &[Layer],
    x: &[f64],
    rows: usize,
    mask: &dyn Fn(usize, usize, usize, usize, f64) -> f64,
) -> Vec<f64> {
    let mut walk = Walk { layers, next: 0, unweighted: layers.len(), rows, mask };
    walk.list(network.layers(), x.to_vec())
}

/// A walk over a network's layers, in the order of their weights.
struct Walk<'a> {
    layers: &'a [Layer],
    next: usize,
    /// The number of the dropout of the next layer without weights.
    unweighted: usize,
    rows: usize,
    mask: &'a dyn Fn(usize, usize, usize, usize, f64) -> f64,
}

impl Walk<'_> {
    fn list(&mut self, list: &[network::Layer], x: Vec<f64>) -> Vec<f64> {
        list.iter().fold(x, |x, layer| self.layer(layer, x))
    }

    fn layer(&mut self, layer: &network::Layer, x: Vec<f64>) -> Vec<f64> {
        // What the kind computes, and the number of its weights if it has any.
        let (z, weights): (Vec<f64>, _) = match layer.kind() {
            LayerKind::Dense(_) => {
                let (own, number) = (&self.layers[self.next], self.next);
                self.next += 1;
                (dense_forward(&x, &own.weights, &own.bias, false), Some(number))
            }
            LayerKind::Residual(residual) => {
                let body = self.list(&residual.body, x.clone());
                let other = self.list(&residual.shortcut, x);
                (body.iter().zip(&other).map(|(a, b)| a + b).collect(), None)
            }
            LayerKind::Activation(_) | LayerKind::Dropout(_) => (x, None),
            // No number, which nothing compares equal to: these have no twin here.
            _ => (vec![f64::NAN; x.len()], None),
        };
        let number = weights.unwrap_or_else(|| {
            self.unweighted += 1;
            self.unweighted - 1
        });
        let (units, rate) = (z.len() / self.rows, layer.dropout());
        let mask = |at: usize| if rate > 0.0 { (self.mask)(number, at / units, at % units, units, rate) } else { 1.0 };
        z.into_iter().enumerate().map(|(at, z)| mask(at) * activate(layer.activation(), z)).collect()
    }
}

/// The mean loss of a minibatch.
pub fn loss(layers: &[Layer], x: &[f64], labels: &[usize]) -> f64 {
    let (losses, ..) = softmax_cross_entropy(&logits(layers, x), labels, labels.len());
    losses.iter().sum::<f64>() / labels.len() as f64
}

/// ∂loss/∂w for every weight and bias, layer by layer, by central differences.
pub fn gradient(layers: &[Layer], loss: &dyn Fn(&[Layer]) -> f64) -> Vec<Layer> {
    const STEP: f64 = 1e-6;
    let mut moved = layers.to_vec();
    let mut result = layers.to_vec();
    for at in 0..layers.len() {
        let parts: [fn(&mut Layer) -> &mut Vec<f64>; 2] = [|layer| &mut layer.weights, |layer| &mut layer.bias];
        for part in parts {
            for i in 0..part(&mut moved[at]).len() {
                let value = part(&mut moved[at])[i];
                part(&mut moved[at])[i] = value + STEP;
                let above = loss(&moved);
                part(&mut moved[at])[i] = value - STEP;
                let below = loss(&moved);
                part(&mut moved[at])[i] = value;
                part(&mut result[at])[i] = (above - below) / (2.0 * STEP);
            }
        }
    }
    result
}
