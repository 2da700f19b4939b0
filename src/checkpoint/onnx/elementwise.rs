//! Functions of one unit. Programs write the same activation in different operators; it is known by what it computes: every
//! operator is applied to the same sample points, and what comes out at the end is compared.

use crate::Activation;
use crate::named::Named;

/// A function of one unit: its values at the sample points.
#[derive(Clone, PartialEq)]
pub(super) struct Samples(Vec<f64>);

/// Where functions are compared: close together where they bend, and far out.
fn points() -> impl Iterator<Item = f64> {
    (-32..=32).map(|quarter| f64::from(quarter) / 4.0).chain((-20..=20).map(|four| 4.0 * f64::from(four)))
}

impl Samples {
    /// The function that changes nothing.
    pub fn identity() -> Self {
        Samples(points().collect())
    }

    /// Whether nothing has been applied yet.
    pub fn is_identity(&self) -> bool {
        *self == Samples::identity()
    }

    /// The function that gives one value.
    pub fn constant(value: f64) -> Self {
        Samples(points().map(|_| value).collect())
    }

    fn map(&self, function: impl Fn(f64) -> f64) -> Self {
        Samples(self.0.iter().map(|&value| function(value)).collect())
    }

    fn zip(&self, other: &Samples, function: impl Fn(f64, f64) -> f64) -> Self {
        Samples(self.0.iter().zip(&other.0).map(|(&a, &b)| function(a, b)).collect())
    }

    /// The activation that this is, to within what constants lose in f32.
    pub fn activation(&self) -> Option<Activation> {
        let agrees = |activation: Activation| {
            // NaN does not agree.
            points().zip(&self.0).all(|(z, &value)| {
                apply(activation, z).is_some_and(|right| (value - right).abs() <= 1e-5 * (1.0 + right.abs()))
            })
        };
        Activation::WORDS.iter().map(|&(_, activation)| activation).find(|&activation| agrees(activation))
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

fn gelu(z: f64) -> f64 {
    0.5 * z * (1.0 + libm::erf(z * std::f64::consts::FRAC_1_SQRT_2))
}

fn gelu_tanh(z: f64) -> f64 {
    0.5 * z * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (z + 0.044715 * z.powi(3))).tanh())
}

/// An activation at a point; none of a user's own.
fn apply(activation: Activation, z: f64) -> Option<f64> {
    Some(match activation {
        Activation::Identity => z,
        Activation::Relu => z.max(0.0),
        Activation::LeakyRelu => z.max(0.01 * z),
        Activation::Elu => {
            if z > 0.0 {
                z
            } else {
                z.exp_m1()
            }
        }
        Activation::Gelu => gelu(z),
        Activation::GeluTanh => gelu_tanh(z),
        Activation::Silu => z * sigmoid(z),
        Activation::Tanh => z.tanh(),
        Activation::Sigmoid => sigmoid(z),
        Activation::Softplus => softplus(z),
        Activation::Custom(_) => return None,
    })
}

/// What an operator makes of its operands. `number` gives an attribute that is a number, or its default; `approximate` is Gelu's.
pub(super) fn operator(
    op: &str,
    operands: &[Samples],
    number: &dyn Fn(&str, f32) -> f64,
    approximate: &[u8],
) -> Option<Samples> {
    Some(match (op, operands) {
        ("Relu", [z]) => z.map(|z| z.max(0.0)),
        ("LeakyRelu", [z]) => z.map(|z| if z < 0.0 { number("alpha", 0.01) * z } else { z }),
        ("Elu", [z]) => z.map(|z| if z < 0.0 { number("alpha", 1.0) * z.exp_m1() } else { z }),
        ("Gelu", [z]) => z.map(if approximate == b"tanh" { gelu_tanh } else { gelu }),
        ("Swish", [z]) => z.map(|z| z * sigmoid(number("alpha", 1.0) * z)),
        ("Tanh", [z]) => z.map(f64::tanh),
        ("Sigmoid", [z]) => z.map(sigmoid),
        ("Softplus", [z]) => z.map(softplus),
        ("Erf", [z]) => z.map(libm::erf),
        ("Exp", [z]) => z.map(f64::exp),
        ("Log", [z]) => z.map(f64::ln),
        ("Neg", [z]) => z.map(|z| -z),
        ("Reciprocal", [z]) => z.map(f64::recip),
        ("Add", [a, b]) => a.zip(b, |a, b| a + b),
        ("Sub", [a, b]) => a.zip(b, |a, b| a - b),
        ("Mul", [a, b]) => a.zip(b, |a, b| a * b),
        ("Div", [a, b]) => a.zip(b, |a, b| a / b),
        ("Pow", [a, b]) => a.zip(b, f64::powf),
        // PyTorch's softplus, above its threshold: 1 for true.
        ("Greater", [a, b]) => a.zip(b, |a, b| f64::from(u8::from(a > b))),
        ("Where", [condition, a, b]) => {
            let chosen = a.0.iter().zip(&b.0).zip(&condition.0);
            Samples(chosen.map(|((&a, &b), &condition)| if condition != 0.0 { a } else { b }).collect())
        }
        _ => return None,
    })
}
