//! What the twins know of a network besides its graph: its parameters, and what its activations are.

use crate::activation::Activation;
use crate::weights::Weights;

/// The values of one parameter: weights `[inputs, outputs]`, their inputs in the order of files, and bias.
#[derive(Clone)]
pub struct Layer {
    /// Row-major.
    pub weights: Vec<f64>,
    /// One value for each output; empty without a bias.
    pub bias: Vec<f64>,
}

/// The values of all parameters, with `[out, in]` turned into `[in, out]`.
pub fn layers(weights: &Weights) -> Vec<Layer> {
    let of = |layer: &crate::weights::LayerWeights| Layer {
        weights: (0..layer.inputs * layer.outputs)
            .map(|at| f64::from(layer.weight[at % layer.outputs * layer.inputs + at / layer.outputs]))
            .collect(),
        bias: layer.bias.iter().map(|&value| value.into()).collect(),
    };
    weights.layers.iter().map(of).collect()
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
