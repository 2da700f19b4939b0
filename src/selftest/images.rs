//! The kernels of images and norms against the f64 twin, in networks that are as small as can be: a layer below, the layer whose kernels they are, and a dense one.

use std::fmt::Display;
use std::sync::Arc;

use half::f16;

use super::compared::{Agreed, Compared, Random, words};
use super::reference::interpreter::Interpreter;
use super::reference::loss::{Targets, mean_loss};
use super::reference::network::{Layer as Own, layers};
use super::training::{RATE, TOLERANCE, in_order, set_of};
use crate::activation::Activation::{Identity, Relu, Silu, Tanh};
use crate::data::Dataset;
use crate::gpu::Gpu;
use crate::initializer::Initializer;
use crate::kernel::tile::Family;
use crate::loss::Loss;
use crate::network::{AvgPoolLayer, ConvLayer, Layer, MaxPoolLayer, Network, ParameterKind};
use crate::optimizer::Optimizer;
use crate::options::TrainOptions;
use crate::preprocessing::ImageShape;
use crate::trainer::Trainer;
use crate::weights::Weights;

/// Rows of the set and of the minibatch: no multiple of four.
const ROWS: usize = 5;
/// The image that comes in.
const IMAGE: ImageShape = ImageShape { height: 6, width: 5, channels: 4 };

/// A layer that has kernels of its own.
#[derive(Clone, Copy)]
pub struct Subject {
    /// What computes its output.
    pub forward: &'static str,
    /// What computes the gradient by its input.
    pub backward: &'static str,
    /// What computes the gradients by its weights, where it has any.
    pub update: &'static str,
    /// The layer in words.
    pub what: &'static str,
    /// Adds the layer to a network that ends in an image of four channels, or in a row of features; then, behind an image, a layer that makes features of it.
    add: fn(Network) -> Network,
    is_of_features: bool,
}

const fn of_images(
    [forward, backward, update]: [&'static str; 3],
    what: &'static str,
    add: fn(Network) -> Network,
) -> Subject {
    Subject { forward, backward, update, what, add, is_of_features: false }
}

const CONV: [&str; 3] = ["conv_forward", "conv_backward", "conv_update"];
const ROW_NORM: [&str; 3] = ["row_norm", "row_norm backward", "norm_gradient"];
const BATCH_NORM: [&str; 3] = ["batch_norm", "batch_norm backward", "batch_norm backward"];

/// Every kernel of images and norms, in all its variants: a network for each set of options that gives the kernel another text or another geometry.
pub const SUBJECTS: &[Subject] = &[
    of_images(CONV, "3×3, padding 1", |to| to.with(conv(6, 3, |conv| conv.padding(1), Tanh)).flatten()),
    of_images(CONV, "3×2, a stride, same padding, no bias, behind three channels", |to| {
        let to = to.conv(3, 1, Tanh);
        to.with(conv(5, [3, 2], |conv| conv.stride([2, 1]).same().without_bias(), Silu)).flatten()
    }),
    of_images(CONV, "2×2, dilation, padding", |to| {
        to.with(conv(5, 2, |conv| conv.dilation([2, 1]).padding([1, 0]), Identity)).flatten()
    }),
    of_images(CONV, "3×3 and a max pool in one", |to| {
        to.with(conv(6, 3, |conv| conv.padding(1), Identity))
            .with(MaxPoolLayer::new(2).into())
            .activation(Tanh)
            .flatten()
    }),
    of_images(CONV, "two groups", |to| to.with(conv(6, 3, |conv| conv.groups(2).padding(1), Tanh)).flatten()),
    of_images(CONV, "depthwise, a stride", |to| {
        to.with(conv(4, 3, |conv| conv.groups(4).stride(2).same().without_bias(), Tanh)).flatten()
    }),
    of_images(["max_pool", "max_pool_backward", ""], "3×3, stride 2, padding 1", |to| {
        to.with(MaxPoolLayer::new(3).stride(2).padding(1).into()).flatten()
    }),
    of_images(["average_pool", "average_pool_backward", ""], "2×3, stride 1, padding", |to| {
        to.with(AvgPoolLayer::new([2, 3]).stride(1).padding([0, 1]).into()).flatten()
    }),
    of_images(["global_average_pool", "global_average_pool_backward", ""], "of an image", |to| to.global_avg_pool()),
    of_images(BATCH_NORM, "of images", |to| to.batch_norm().activation(Tanh).flatten()),
    Subject { is_of_features: true, ..of_images(BATCH_NORM, "of features", |to| to.batch_norm().activation(Tanh)) },
    of_images(ROW_NORM, "layer norm of images", |to| to.layer_norm().activation(Tanh).flatten()),
    of_images(ROW_NORM, "group norm", |to| to.group_norm(2).activation(Tanh).flatten()),
    Subject { is_of_features: true, ..of_images(ROW_NORM, "layer norm of features", |to| to.layer_norm()) },
    Subject {
        is_of_features: true,
        ..of_images(ROW_NORM, "RMS norm of features", |to| to.rms_norm().activation(Relu))
    },
    of_images(["flatten", "unflatten", ""], "with a sum behind", |to| {
        to.flatten().residual(|body| body.dense(3, Tanh).dense(120, Identity))
    }),
];

fn conv(
    channels: usize,
    kernel: impl Into<crate::network::Pair>,
    with: fn(ConvLayer) -> ConvLayer,
    activation: crate::activation::Activation,
) -> Layer {
    Layer::new(with(ConvLayer::new(channels, kernel))).with_activation(activation)
}

impl Subject {
    /// The name of its check.
    pub fn name(&self, family: Family) -> String {
        let Subject { forward, backward, update, what, .. } = self;
        let mut kernels = vec![*forward];
        for kernel in [*backward, *update] {
            if !kernel.is_empty() && !kernels.contains(&kernel) {
                kernels.push(kernel);
            }
        }
        format!("{}: {what}, kernels of the kind \"{family}\"", kernels.join(", "))
    }

    fn network(&self) -> Network {
        let ImageShape { height, width, channels } = IMAGE;
        let begun = match self.is_of_features {
            true => Network::new(height * width * channels).dense(9, Tanh),
            false => Network::image(height, width, channels).conv(channels, 1, Tanh),
        };
        (self.add)(begun).dense(3, Identity)
    }

    /// Compares its output in an evaluation, the loss of a step that trains, the gradients by its weights, and what they are of the layer below, in the order in which
    /// kernels depend on each other: so the first that differs is of the kernel that is wrong.
    ///
    /// # Errors
    ///
    /// A message about the first result that is not as expected, which begins with the kernel.
    pub fn agrees(&self, gpu: &Arc<Gpu>, family: Family) -> Agreed {
        let (network, mut compared) = (self.network(), Compared::default());
        let (initial, x) = (weights(&network), Random(5).values(ROWS * network.inputs()));
        let labels: Vec<i64> = (0..ROWS).map(|row| (row % 3) as i64).collect();
        let set = set_of(&x, network.inputs(), labels.iter().map(|&label| label as u32).collect()).map_err(words)?;
        let options = TrainOptions { optimizer: Optimizer::sgd(RATE), family: Some(family), ..in_order(ROWS, 1) };
        let mut trainer = Trainer::on(Arc::clone(gpu), network.clone(), options).map_err(words)?;
        trainer.set_weights(&initial).map_err(words)?;

        let before = layers(&initial);
        forward(&mut compared, (self.forward, "layer 2"), &mut trainer, &network, &before, &set, &x)?;

        let none = |_, _, _, _, _| 1.0;
        let twin = Interpreter::training(&network, &none);
        let loss = |z: &[f64]| mean_loss(&Loss::default(), z, &Targets::Classes(&labels), 3);
        let epochs = trainer.fit(&set, None).map_err(words)?.epochs;
        let losses: Vec<f64> = epochs.iter().map(|epoch| epoch.training.loss).collect();
        let what = format!("{}: the loss of a step", self.forward);
        compared.close(what, &losses, &[loss(&twin.logits(&before, &x))], TOLERANCE)?;

        let after = layers(&trainer.weights().map_err(words)?);
        let expected = twin.gradient(&before, &x, &loss);
        let statistics = twin.values(&before, &x).statistics;
        let parameters = network.named_parameters();
        let last = parameters.len() - 1;
        // What is above the layer, its own weights, and what is below.
        for at in [vec![last], (1..last).collect(), vec![0]].concat() {
            let kernel = match at {
                _ if at == last => "dense_update",
                0 => self.backward,
                _ => self.update,
            };
            let what = format!("{kernel}: the gradient of {}", parameters[at].location);
            match statistics.get(&at) {
                Some(moved) => {
                    let what = format!("{}: running statistics", self.forward);
                    compared.close(&what, &after[at].weights, &moved.weights, TOLERANCE)?;
                    compared.close(&what, &after[at].bias, &moved.bias, TOLERANCE)?;
                }
                None => gradient(&mut compared, what, [&before[at], &after[at]], &expected[at])?,
            }
        }
        compared.agreed()
    }
}

/// Weights whose running statistics and scales are not those of a new network.
fn weights(network: &Network) -> Weights {
    let (random, mut weights) = (&mut Random(8), Initializer::Torch.weights(network, 3));
    for (parameter, own) in network.named_parameters().iter().zip(&mut weights.layers) {
        if matches!(parameter.kind, ParameterKind::Scale | ParameterKind::Statistics) {
            own.weight.iter_mut().for_each(|value| *value = 0.3 + random.value() as f32);
            own.bias.iter_mut().for_each(|value| *value = 0.5 + random.value().abs() as f32);
        }
    }
    weights
}

/// Compares what every layer makes of a row in an evaluation, and the logits of all rows. The subject's is what this kernel computes, by its location.
fn forward(
    compared: &mut Compared,
    (kernel, subject): (&str, &str),
    trainer: &mut Trainer,
    network: &Network,
    parameters: &[Own],
    set: &Dataset,
    x: &[f64],
) -> Result<(), String> {
    let (twin, row) = (Interpreter::evaluating(network), ROWS - 1);
    let values = twin.values(parameters, &x[row * network.inputs()..]);
    let outputs = trainer.activations(set, row).map_err(words)?;
    for (value, location) in twin.graph().outputs() {
        let Some(own) = outputs.iter().find(|own| own.location == location) else { continue };
        let kernel = if location == subject { kernel } else { own.kind };
        let made: Vec<f64> = own.values.iter().map(|&value| value.into()).collect();
        compared.close(format!("{kernel}: the output of {location}"), &made, values.of(value), TOLERANCE)?;
    }
    let logits: Vec<f64> = trainer.logits(set).map_err(words)?.into_iter().map(f64::from).collect();
    compared.close(format!("{kernel}: logits"), &logits, &twin.logits(parameters, x), TOLERANCE)
}

/// Compares one step of gradient descent at [`RATE`] with the gradient.
fn gradient(
    compared: &mut Compared,
    what: impl Display,
    [before, after]: [&Own; 2],
    expected: &Own,
) -> Result<(), String> {
    let step = |before: &[f64], after: &[f64]| -> Vec<f64> {
        before.iter().zip(after).map(|(before, after)| (before - after) / RATE).collect()
    };
    compared.close(&what, &step(&before.weights, &after.weights), &expected.weights, TOLERANCE)?;
    compared.close(&what, &step(&before.bias, &after.bias), &expected.bias, TOLERANCE)
}

/// Compares what is made of the images of a set: of bytes, of half or of single precision.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn gathered(gpu: &Arc<Gpu>, family: Family, bits: u32) -> Agreed {
    let ImageShape { height, width, .. } = IMAGE;
    let (inputs, random) = (height * width * 3, &mut Random(6));
    let network = Network::image(height, width, 3).activation(Tanh).flatten().dense(3, Identity);
    let labels = vec![0; ROWS];
    let (set, x) = match bits {
        8 => {
            let bytes: Vec<u8> = (0..ROWS * inputs).map(|_| random.bits() as u8).collect();
            let x = bytes.iter().map(|&byte| f64::from(byte) / 255.0).collect();
            (Dataset::from_u8(bytes, inputs, labels), x)
        }
        16 => {
            let halves: Vec<f16> = random.values(ROWS * inputs).into_iter().map(f16::from_f64).collect();
            let x = halves.iter().map(|half| half.to_f64()).collect();
            (Dataset::from_f16(halves, inputs, labels), x)
        }
        _ => {
            let x = random.values(ROWS * inputs);
            (set_of(&x, inputs, labels), x)
        }
    };
    let (set, initial, mut compared) = (set.map_err(words)?, weights(&network), Compared::default());
    let options = TrainOptions { family: Some(family), ..in_order(ROWS, 1) };
    let mut trainer = Trainer::on(Arc::clone(gpu), network.clone(), options).map_err(words)?;
    trainer.set_weights(&initial).map_err(words)?;
    let x: Vec<f64> = x;
    forward(&mut compared, ("gather_image", "layer 1"), &mut trainer, &network, &layers(&initial), &set, &x)?;
    compared.agreed()
}
