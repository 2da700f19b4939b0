//! Functions of one unit. Programs write the same activation with different operators, so it is recognized by its values: every
//! operator is applied to the same sample points, and the results are compared.

use std::rc::Rc;
use std::sync::LazyLock;

use super::limits::Place;
use crate::activation::Activation;
use crate::named::Named;

/// A function of one unit.
#[derive(Clone)]
pub(super) struct Samples {
    /// Its values at the sample points.
    values: Rc<[f64]>,
    /// None for a function that no node made.
    makers: Option<Makers>,
}

/// The first and the last of the nodes that made a function, in words.
#[derive(Clone)]
struct Makers {
    /// The number of the first.
    at: usize,
    first: Rc<str>,
    last: Rc<str>,
}

/// The same function may be made by other nodes.
impl PartialEq for Samples {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Samples { values: values.into_iter().collect(), makers: None }
    }
}

/// The points at which functions are compared: dense where activations bend, and some far out.
static POINTS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let near = (-32..=32).map(|quarter| f64::from(quarter) / 4.0).chain((-20..=20).map(|four| 4.0 * f64::from(four)));
    near.chain(FAR.iter().flat_map(|&far| [-far, far])).collect()
});

/// Points far out, where clipping to a bound shows. Values that overflow there, as a softplus written with exp does, are not compared.
const FAR: [f64; 10] = [1e2, 2e2, 5e2, 1e3, 1e4, 1e5, 1e6, 1e10, 1e20, 1e30];

/// Every activation at the sample points: a user's own, which has no values here, is not among the words.
static ACTIVATIONS: LazyLock<Vec<(Activation, Vec<f64>)>> = LazyLock::new(|| {
    let values = |activation| POINTS.iter().map(|&z| apply(activation, z)).collect::<Option<Vec<f64>>>();
    Activation::WORDS.iter().filter_map(|&(_, activation)| Some((activation, values(activation)?))).collect()
});

impl Samples {
    /// The function that changes nothing.
    pub fn identity() -> Self {
        POINTS.iter().copied().collect()
    }

    /// Whether nothing has been applied yet.
    pub fn is_identity(&self) -> bool {
        *self == Samples::identity()
    }

    /// The function that gives one value.
    pub fn constant(value: f64) -> Self {
        POINTS.iter().map(|_| value).collect()
    }

    /// The value of a constant function.
    pub fn value(&self) -> Option<f64> {
        self.values.first().copied().filter(|first| self.values.iter().all(|value| value == first))
    }

    /// Whether it is 0 or 1 everywhere, as a comparison is.
    pub fn is_flag(&self) -> bool {
        self.values.iter().all(|&value| value == 0.0 || value == 1.0)
    }

    /// The same function, which a node made of these operands with these numbers.
    pub fn made_by(self, place: Place<'_>, numbers: &str, operands: &[Option<Samples>]) -> Self {
        let last: Rc<str> = format!("{}{numbers}", place.name()).into();
        let before = operands.iter().flatten().filter_map(|operand| operand.makers.as_ref());
        let (at, first) = match before.min_by_key(|makers| makers.at) {
            Some(makers) => (makers.at, makers.first.clone()),
            None => (place.at, last.clone()),
        };
        Samples { makers: Some(Makers { at, first, last }), ..self }
    }

    /// The first and the last of the nodes that made it, in words.
    pub fn makers(&self) -> Option<[&str; 2]> {
        self.makers.as_ref().map(|makers| [&*makers.first, &*makers.last])
    }

    fn map(&self, function: impl Fn(f64) -> f64) -> Self {
        self.values.iter().map(|&value| function(value)).collect()
    }

    fn zip(&self, other: &Samples, function: impl Fn(f64, f64) -> f64) -> Self {
        self.values.iter().zip(other.values.iter()).map(|(&a, &b)| function(a, b)).collect()
    }

    /// The activation with these values, up to the rounding of constants to f32. Where an activation is 0 or changes nothing, no constant
    /// is rounded: a small shift is one, and not lost.
    pub fn activation(&self) -> Option<Activation> {
        let agree = |(&z, (&value, &right)): (&f64, (&f64, &f64))| {
            let of_constants = if right == z || right == 0.0 { 0.0 } else { 2e-7 + 1e-5 * right.abs() };
            // NaN is equal to nothing.
            (value - right).abs() <= 1e-9 + 2e-7 * z.abs() + of_constants || (z.abs() >= FAR[0] && !value.is_finite())
        };
        let is = |values: &[f64]| POINTS.iter().zip(self.values.iter().zip(values)).all(agree);
        ACTIVATIONS.iter().find(|(_, values)| is(values)).map(|&(activation, _)| activation)
    }

    /// The scale and the shift that it is, other than none.
    pub fn line(&self) -> Option<[f32; 2]> {
        let at = |wanted: f64| POINTS.iter().position(|&z| z == wanted).map(|at| self.values[at]);
        let shift = at(0.0)?;
        let scale = at(1.0)? - shift;
        let agrees = |(&z, &value): (&f64, &f64)| {
            (value - (scale * z + shift)).abs() <= 1e-9 * (1.0 + value.abs() + shift.abs())
        };
        let is_line = self.activation().is_none() && POINTS.iter().zip(self.values.iter()).all(agrees);
        Some([scale as f32, shift as f32])
            .filter(|line| is_line && line[0] != 0.0 && line.iter().all(|value| value.is_finite()))
    }

    /// The activation that it is the square of, if it is one's.
    pub fn root(&self) -> Option<Self> {
        let squares = |values: &[f64]| {
            self.values
                .iter()
                .zip(values)
                .all(|(&value, right)| (value - right * right).abs() <= 1e-9 * (1.0 + value.abs()))
        };
        ACTIVATIONS.iter().find(|(_, values)| squares(values)).map(|(_, values)| values.iter().copied().collect())
    }

    /// Whether it is 1 less the sigmoid.
    pub fn is_sigmoid_of_minus(&self) -> bool {
        self.map(|value| 1.0 - value).activation() == Some(Activation::Sigmoid)
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

/// The value of an activation at a point; `None` for a user's own.
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

/// Applies an operator to its operands; an omitted one is `None`. `number` returns an attribute that is a number, or its
/// default; `approximate` is Gelu's.
pub(super) fn operator(
    op: &str,
    operands: &[Option<Samples>],
    number: &dyn Fn(&str, f32) -> f64,
    approximate: &[u8],
) -> Option<Samples> {
    // Since opset 11 the bounds are inputs, before they were attributes.
    if let ("Clip", [Some(z), bounds @ ..]) = (op, operands) {
        let bound = |at: usize, name: &str, none: f32| match bounds.get(at) {
            Some(Some(bound)) => bound.clone(),
            _ => Samples::constant(number(name, none)),
        };
        let raised = z.zip(&bound(0, "min", f32::MIN), f64::max);
        return Some(raised.zip(&bound(1, "max", f32::MAX), f64::min));
    }
    let operands: Vec<&Samples> = operands.iter().map(Option::as_ref).collect::<Option<_>>()?;
    let all = |function: fn(f64, f64) -> f64| {
        let (first, rest) = operands.split_first()?;
        Some(rest.iter().fold((*first).clone(), |all, operand| all.zip(operand, function)))
    };
    if let [z] = operands.as_slice()
        && let Some(made) = of_one(op, z, number, approximate)
    {
        return Some(made);
    }
    Some(match (op, operands.as_slice()) {
        ("PRelu", [z, slope]) => z.zip(slope, |z, slope| if z < 0.0 { slope * z } else { z }),
        ("Add", [a, b]) => a.zip(b, |a, b| a + b),
        ("Sub", [a, b]) => a.zip(b, |a, b| a - b),
        ("Mul", [a, b]) => a.zip(b, |a, b| a * b),
        ("Div", [a, b]) => a.zip(b, |a, b| a / b),
        ("Pow", [a, b]) => a.zip(b, f64::powf),
        ("Max", _) => all(f64::max)?,
        ("Min", _) => all(f64::min)?,
        ("Sum", _) => all(|a, b| a + b)?,
        ("Greater", [a, b]) => a.zip(b, |a, b| flag(a > b)),
        ("GreaterOrEqual", [a, b]) => a.zip(b, |a, b| flag(a >= b)),
        ("Less", [a, b]) => a.zip(b, |a, b| flag(a < b)),
        ("LessOrEqual", [a, b]) => a.zip(b, |a, b| flag(a <= b)),
        ("Where", [condition, a, b]) => {
            let chosen = a.values.iter().zip(b.values.iter()).zip(condition.values.iter());
            chosen.map(|((&a, &b), &condition)| if condition != 0.0 { a } else { b }).collect()
        }
        _ => return None,
    })
}

/// The numbers with which an operator computes, for messages, as ` with a slope of 0.2`.
pub(super) fn numbers(op: &str, operands: &[Option<Samples>], number: &dyn Fn(&str, f32) -> f64) -> String {
    let operand = |at: usize| operands.get(at)?.as_ref()?.value();
    let shown =
        |words: &str, value: Option<f64>| value.map_or_else(String::new, |value| format!("{words}{}", value as f32));
    let attribute = |name: &str, usual: f32| Some(number(name, usual));
    let bound = |at: usize, name: &str, none: f32| match operands.get(at) {
        Some(Some(_)) => operand(at),
        _ => attribute(name, none).filter(|&bound| bound != f64::from(none)),
    };
    match op {
        "LeakyRelu" => shown(" with a slope of ", attribute("alpha", 0.01)),
        "PRelu" => shown(" with a slope of ", operand(1)),
        "Elu" | "Celu" => shown(" with an α of ", attribute("alpha", 1.0)),
        "ThresholdedRelu" => shown(" with a threshold of ", attribute("alpha", 1.0)),
        "Swish" => shown(" with a factor of ", attribute("alpha", 1.0)),
        "Clip" => shown(" from ", bound(1, "min", f32::MIN)) + &shown(" to ", bound(2, "max", f32::MAX)),
        _ => String::new(),
    }
}

/// What an operator makes of a single operand.
fn of_one(op: &str, z: &Samples, number: &dyn Fn(&str, f32) -> f64, approximate: &[u8]) -> Option<Samples> {
    Some(match op {
        "Relu" => z.map(|z| z.max(0.0)),
        "LeakyRelu" => z.map(|z| if z < 0.0 { number("alpha", 0.01) * z } else { z }),
        "ThresholdedRelu" => z.map(|z| if z > number("alpha", 1.0) { z } else { 0.0 }),
        "Elu" => z.map(|z| if z < 0.0 { number("alpha", 1.0) * z.exp_m1() } else { z }),
        "Celu" => z.map(|z| {
            let alpha = number("alpha", 1.0);
            z.max(0.0) + (alpha * (z / alpha).exp_m1()).min(0.0)
        }),
        "Gelu" => z.map(if approximate == b"tanh" { gelu_tanh } else { gelu }),
        "Swish" => z.map(|z| z * sigmoid(number("alpha", 1.0) * z)),
        "Tanh" => z.map(f64::tanh),
        "Sigmoid" => z.map(sigmoid),
        "Softplus" => z.map(softplus),
        "Erf" => z.map(libm::erf),
        "Exp" => z.map(f64::exp),
        "Log" => z.map(f64::ln),
        "Neg" => z.map(|z| -z),
        "Abs" => z.map(f64::abs),
        "Sqrt" => z.map(f64::sqrt),
        "Reciprocal" => z.map(f64::recip),
        "Not" => z.map(|z| flag(z == 0.0)),
        _ => return None,
    })
}

/// What a comparison gives: 1 for true.
fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a shift that is taken for a rounding: weights behind it may be large.
    #[test]
    fn small_shifts_are_no_rounding() {
        let shifted = Samples::identity().map(|z| z + 9e-6);
        assert_eq!(shifted.activation(), None);
        assert_eq!(shifted.line(), Some([1.0, 9e-6]));
        assert_eq!(Samples::identity().map(|z| z.max(0.0) + 9e-6).activation(), None);
        assert_eq!(Samples::identity().map(|z| z.max(5e-6)).activation(), None);
        assert_eq!(Samples::identity().map(|z| z.max(0.0)).activation(), Some(Activation::Relu));
        // GELU's √½ as f32.
        let gelu = |z: f64| 0.5 * z * (1.0 + libm::erf(z * f64::from(std::f32::consts::FRAC_1_SQRT_2)));
        assert_eq!(Samples::identity().map(gelu).activation(), Some(Activation::Gelu));
    }
}
