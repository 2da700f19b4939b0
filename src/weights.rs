//! A network's weights on the host, and the initial ones.

use std::f64::consts::TAU;

use crate::Network;
use crate::kernel::quads_with_one;
use crate::named::{Named, by_word};

/// The weights of one dense layer, laid out as `torch.nn.Linear` does.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWeights {
    /// Features that come in.
    pub inputs: usize,
    /// Units that go out.
    pub outputs: usize,
    /// `[outputs, inputs]`, row-major.
    pub weight: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
}

/// The weights of a network, first layer to last.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Weights {
    /// One entry a layer.
    pub layers: Vec<LayerWeights>,
}

impl LayerWeights {
    /// As the device keeps them: `[inputs, outputs]` with the bias as the row after the last input, rows and columns
    /// rounded up to multiples of four with zeros.
    pub(crate) fn to_device(&self) -> Vec<f32> {
        let columns = self.outputs.next_multiple_of(4);
        let rows = 4 * quads_with_one(self.inputs as u32) as usize;
        let mut device = vec![0.0; rows * columns];
        for o in 0..self.outputs {
            for i in 0..self.inputs {
                device[i * columns + o] = self.weight[o * self.inputs + i];
            }
            device[self.inputs * columns + o] = self.bias[o];
        }
        device
    }

    /// The reverse of [`to_device`](Self::to_device).
    pub(crate) fn from_device(inputs: usize, outputs: usize, device: &[f32]) -> Self {
        let columns = outputs.next_multiple_of(4);
        let weight = (0..outputs * inputs).map(|at| device[at % inputs * columns + at / inputs]).collect();
        let bias = (0..outputs).map(|o| device[inputs * columns + o]).collect();
        LayerWeights { inputs, outputs, weight, bias }
    }
}

/// How weights begin. Biases begin at 0, except under [`Initializer::Torch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Initializer {
    /// U(−a, a), a = √(6 / (inputs + outputs)): Glorot & Bengio, AISTATS 2010; Keras' default.
    #[default]
    GlorotUniform,
    /// U(−a, a), a = √(6 / inputs): He et al., "Delving deep into rectifiers", ICCV 2015.
    HeUniform,
    /// N(0, 2 / inputs): He et al., ICCV 2015.
    HeNormal,
    /// U(−a, a), a = 1/√inputs, for weights and biases alike: what `torch.nn.Linear` does.
    Torch,
}

impl Named for Initializer {
    const WHAT: &'static str = "an initializer";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("glorot-uniform", Initializer::GlorotUniform),
        ("he-uniform", Initializer::HeUniform),
        ("he-normal", Initializer::HeNormal),
        ("torch", Initializer::Torch),
    ];
}
by_word!(Initializer);

impl Initializer {
    /// Initial weights. A value depends on the seed, the layer and its place alone, so the same seed gives the same
    /// bits on every platform.
    pub fn weights(self, network: &Network, seed: u64) -> Weights {
        let layers = network
            .widths()
            .enumerate()
            .map(|(layer, (inputs, outputs))| {
                let (fan_in, fan_out) = (inputs as f64, outputs as f64);
                let draw = |tensor: u64, at: usize| {
                    let uniform = |second| Counter { seed, stream: 2 * layer as u64 + tensor }.uniform(at, second);
                    let symmetric = |bound: f64| (bound * (2.0 * uniform(0) - 1.0)) as f32;
                    match self {
                        Initializer::GlorotUniform => symmetric((6.0 / (fan_in + fan_out)).sqrt()),
                        Initializer::HeUniform => symmetric((6.0 / fan_in).sqrt()),
                        Initializer::Torch => symmetric((1.0 / fan_in).sqrt()),
                        // Box & Muller, "A note on the generation of random normal deviates", 1958. libm's functions,
                        // unlike the platform's, give the same bits everywhere.
                        Initializer::HeNormal => {
                            let radius = (-2.0 * libm::log(1.0 - uniform(0))).sqrt();
                            ((2.0 / fan_in).sqrt() * radius * libm::cos(TAU * uniform(1))) as f32
                        }
                    }
                };
                LayerWeights {
                    inputs,
                    outputs,
                    weight: (0..inputs * outputs).map(|at| draw(0, at)).collect(),
                    bias: match self {
                        Initializer::Torch => (0..outputs).map(|at| draw(1, at)).collect(),
                        _ => vec![0.0; outputs],
                    },
                }
            })
            .collect();
        Weights { layers }
    }
}

/// A counter-based generator: the value at a place is a hash of (seed, stream, place), with no state between.
///
/// The hash is SplitMix64's: Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
struct Counter {
    seed: u64,
    stream: u64,
}

impl Counter {
    /// U[0, 1) in 53 bits; `draw` tells apart several values for one place.
    fn uniform(&self, place: usize, draw: u64) -> f64 {
        let bits = hash(mix(self.seed) ^ self.stream, 2 * place as u64 + draw);
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The value of a seed at a place.
pub(crate) fn hash(seed: u64, place: u64) -> u64 {
    mix(mix(seed).wrapping_add(place))
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
