//! A network's weights on the host, and how they begin.

use std::f64::consts::TAU;

use crate::error::Error;
use crate::initializer::Initializer;
use crate::named::counted;
use crate::network::{Network, Parameter, ParameterKind};

/// The values of one [`Parameter`], laid out as PyTorch does.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerWeights {
    /// Values that each output is made from.
    pub inputs: usize,
    /// The number of outputs.
    pub outputs: usize,
    /// The matrix `[outputs, inputs]`, row-major: of a convolution, whose inputs are `[channels, down, across]`; of a norm, whose inputs are 1, what it scales
    /// by; of running statistics, the means.
    pub weight: Vec<f32>,
    /// The biases `[outputs]`, empty where there are none; of running statistics, the variances.
    pub bias: Vec<f32>,
}

/// The weights of a network, first layer to last.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub struct Weights {
    /// One entry for each parameter, in the order of [`Network::named_parameters`].
    pub layers: Vec<LayerWeights>,
}

impl Weights {
    /// The weights of these parameters.
    pub fn new(layers: Vec<LayerWeights>) -> Self {
        Weights { layers }
    }
}

impl LayerWeights {
    /// A matrix `[outputs, inputs]`, row-major, and as many biases as outputs. Whether these are as many numbers as the two say is for
    /// [`Network::check_weights`], as the rest is.
    ///
    /// ```
    /// use wgrad::{Activation, LayerWeights, Network, Weights};
    ///
    /// let network = Network::new(2).dense(1, Activation::Identity);
    /// let weights = Weights::new(vec![LayerWeights::new(2, 1, vec![0.5, -0.5], vec![0.1])]);
    /// assert!(network.check_weights(&weights).is_ok());
    /// ```
    pub fn new(inputs: usize, outputs: usize, weight: Vec<f32>, bias: Vec<f32>) -> Self {
        LayerWeights { inputs, outputs, weight, bias }
    }

    /// The values of a parameter in the device's layout: `[inputs, outputs]` with the bias as the row after the last input, rows and columns
    /// rounded up to multiples of four with zeros.
    pub(crate) fn to_device(&self, parameter: &Parameter) -> Vec<f32> {
        let [rows, columns] = parameter.dense(1).weights_shape().map(|side| side as usize);
        let mut device = vec![0.0; rows * columns];
        for i in 0..self.inputs {
            let row = parameter.rows.of(i) * columns;
            for o in 0..self.outputs {
                device[row + o] = self.weight[o * self.inputs + i];
            }
        }
        let of_bias = parameter.rows.count() * columns;
        device[of_bias..of_bias + self.bias.len()].copy_from_slice(&self.bias);
        device
    }

    /// The reverse of [`to_device`](Self::to_device).
    pub(crate) fn from_device(parameter: &Parameter, device: &[f32]) -> Self {
        let &Parameter { inputs, outputs, rows, bias, .. } = parameter;
        let columns = outputs.next_multiple_of(4);
        let weight = (0..outputs * inputs).map(|at| device[rows.of(at % inputs) * columns + at / inputs]).collect();
        let of_bias = rows.count() * columns;
        let bias = if bias { device[of_bias..of_bias + outputs].to_vec() } else { vec![] };
        LayerWeights { inputs, outputs, weight, bias }
    }

    /// No values, in place of a parameter's.
    pub(crate) fn none(&Parameter { inputs, outputs, .. }: &Parameter) -> Self {
        LayerWeights { inputs, outputs, weight: vec![], bias: vec![] }
    }

    /// The values of a parameter that are all 0.
    pub(crate) fn zeros(parameter: &Parameter) -> Self {
        let &Parameter { inputs, outputs, bias, .. } = parameter;
        LayerWeights {
            inputs,
            outputs,
            weight: vec![0.0; inputs * outputs],
            bias: vec![0.0; if bias { outputs } else { 0 }],
        }
    }
}

impl Initializer {
    /// What a network's initializer is to a parameter of this kind. Fans say nothing of a table's vectors: they begin as GPT-2's, or as `torch.nn.Embedding`'s.
    fn for_kind(self, kind: ParameterKind) -> Initializer {
        match (kind, self) {
            (ParameterKind::Embedding, Initializer::Normal(_) | Initializer::Constant(_)) => self,
            (ParameterKind::Embedding, Initializer::Torch) => Initializer::Normal(1.0),
            (ParameterKind::Embedding, _) => Initializer::Normal(0.02),
            // As torch.nn.MultiheadAttention.
            (ParameterKind::Projection, Initializer::Torch) => Initializer::GlorotUniform,
            _ => self,
        }
    }

    /// Initial weights for a network. A value depends only on the seed, the layer and its index, so the same seed gives the same
    /// bits on every platform. A layer with an initializer [of its own](crate::Layer::with_initializer) has that. For a network that does not pass its
    /// [check](Network::check), the result is empty.
    pub fn weights(self, network: &Network, seed: u64) -> Weights {
        if network.check().is_err() {
            return Weights::default();
        }
        let layers = network
            .named_parameters()
            .iter()
            .enumerate()
            .map(|(layer, parameter)| {
                let &Parameter { inputs, outputs, initializer, .. } = parameter;
                let of = |weight: f32, bias: f32| LayerWeights {
                    weight: vec![weight; inputs * outputs],
                    bias: vec![bias; if parameter.bias { outputs } else { 0 }],
                    ..LayerWeights::zeros(parameter)
                };
                let taps = match parameter.kind {
                    ParameterKind::Matrix | ParameterKind::Projection | ParameterKind::Embedding => 1,
                    ParameterKind::Kernel { size: [down, across] } => down * across,
                    ParameterKind::Scale => match initializer {
                        Some(Initializer::Constant(value)) => return of(value, 0.0),
                        _ => return of(1.0, 0.0),
                    },
                    ParameterKind::Statistics => return of(0.0, 1.0),
                };
                // As Keras and PyTorch count them: an output's inputs, and the outputs that an input goes into where strides are 1.
                let (fan_in, fan_out) = (inputs as f64, (taps * outputs) as f64);
                let counter = |tensor: u64| Counter { seed, stream: 2 * layer as u64 + tensor };
                let uniform = |bound: f64| -> Vec<f32> {
                    (0..inputs * outputs).map(|at| (bound * counter(0).symmetric(at)) as f32).collect()
                };
                let normal = |variance: f64| -> Vec<f32> {
                    (0..inputs * outputs).map(|at| (variance.sqrt() * counter(0).normal(at)) as f32).collect()
                };
                let chosen = initializer.unwrap_or_else(|| self.for_kind(parameter.kind));
                let weight = match chosen {
                    Initializer::GlorotUniform => uniform((6.0 / (fan_in + fan_out)).sqrt()),
                    Initializer::GlorotNormal => normal(2.0 / (fan_in + fan_out)),
                    Initializer::HeUniform => uniform((6.0 / fan_in).sqrt()),
                    Initializer::HeNormal => normal(2.0 / fan_in),
                    Initializer::LecunUniform => uniform((3.0 / fan_in).sqrt()),
                    Initializer::LecunNormal => normal(1.0 / fan_in),
                    Initializer::Torch => uniform((1.0 / fan_in).sqrt()),
                    Initializer::Orthogonal => orthogonal(outputs, inputs, &counter(0)),
                    Initializer::Normal(deviation) => normal(f64::from(deviation).powi(2)),
                    Initializer::Constant(value) => vec![value; inputs * outputs],
                };
                let bias = match chosen {
                    _ if !parameter.bias => vec![],
                    Initializer::Torch => {
                        (0..outputs).map(|at| ((1.0 / fan_in).sqrt() * counter(1).symmetric(at)) as f32).collect()
                    }
                    _ => vec![0.0; outputs],
                };
                LayerWeights { inputs, outputs, weight, bias }
            })
            .collect();
        Weights { layers }
    }
}

/// A counter-based generator: the value at an index is a hash of (seed, stream, index), with no state between calls.
///
/// The hash is SplitMix64's: Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
struct Counter {
    seed: u64,
    stream: u64,
}

impl Counter {
    /// U[-1, 1)
    fn symmetric(&self, index: usize) -> f64 {
        2.0 * self.uniform(index, 0) - 1.0
    }

    /// N(0, 1): Box & Muller, "A note on the generation of random normal deviates", 1958. libm's functions, unlike the
    /// platform's, give the same bits everywhere.
    fn normal(&self, index: usize) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.uniform(index, 0))).sqrt();
        radius * libm::cos(TAU * self.uniform(index, 1))
    }

    /// U[0, 1) in 53 bits; `draw` distinguishes several values of one index.
    fn uniform(&self, index: usize, draw: u64) -> f64 {
        let bits = hash(mix(self.seed) ^ self.stream, 2 * index as u64 + draw);
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A random matrix `[rows, columns]`, row-major, whose rows (or columns, where there are fewer) are orthonormal: normal
/// deviates, made orthogonal one after another (modified Gram-Schmidt).
fn orthogonal(rows: usize, columns: usize, counter: &Counter) -> Vec<f32> {
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
    for v in 0..count {
        let mut vector: Vec<f64> = (0..length).map(|at| counter.normal(v * length + at)).collect();
        for before in &vectors {
            let dot: f64 = vector.iter().zip(before).map(|(a, b)| a * b).sum();
            vector.iter_mut().zip(before).for_each(|(a, b)| *a -= dot * b);
        }
        let norm = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|a| *a /= norm);
        vectors.push(vector);
    }
    let at = |row: usize, column: usize| if rows <= columns { vectors[row][column] } else { vectors[column][row] };
    (0..rows * columns).map(|index| at(index / columns, index % columns) as f32).collect()
}

/// The pseudorandom value of a seed at an index.
pub(crate) fn hash(seed: u64, index: u64) -> u64 {
    mix(mix(seed).wrapping_add(index))
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Network {
    /// Checks that the weights fit this network.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming the first layer that differs, with both shapes, or that holds a non-finite value.
    pub fn check_weights(&self, weights: &Weights) -> Result<(), Error> {
        let parameters = self.named_parameters();
        if weights.layers.len() != parameters.len() {
            return Err(Error::Data(format!(
                "the weights have {}, and the network has {} with weights",
                counted(weights.layers.len(), "layer"),
                parameters.len()
            )));
        }
        for (Parameter { name, location, inputs, outputs, bias, kind, .. }, layer) in
            parameters.into_iter().zip(&weights.layers)
        {
            if (layer.inputs, layer.outputs) != (inputs, outputs) {
                let [tensor, _] = kind.tensors();
                return Err(Error::Data(format!(
                    "{location} (tensor {name}.{tensor}) has the shape [{}, {}], the network's is [{outputs}, {inputs}]",
                    layer.outputs, layer.inputs,
                )));
            }
            let count = inputs.saturating_mul(outputs);
            let biases = if bias { outputs } else { 0 };
            if (layer.weight.len(), layer.bias.len()) != (count, biases) {
                return Err(Error::Data(format!(
                    "{location} has {} weights and {} biases: {inputs} inputs and {outputs} outputs take {count} and {biases}",
                    layer.weight.len(),
                    layer.bias.len(),
                )));
            }
            if let Some(value) = layer.weight.iter().chain(&layer.bias).find(|value| !value.is_finite()) {
                return Err(Error::Data(format!("{location} holds {value}: every weight must be finite")));
            }
        }
        Ok(())
    }
}
