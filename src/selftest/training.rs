//! Training steps against their f64 twins, where PyTorch has no trajectory of them; and runs that have to repeat bit for bit.

use std::sync::Arc;

use super::compared::{Agreed, Compared, Random, words};
use super::reference::interpreter::Interpreter;
use super::reference::loss::{Targets, mean_loss, weighted_mean_loss};
use super::reference::network::{Layer, layers};
use super::reference::optimizer::{OptimizerState, step};
use super::reference::{dense_gradient, dropout_mask, softmax_cross_entropy};
use crate::activation::Activation;
use crate::data::Dataset;
use crate::error::Error;
use crate::gpu::Gpu;
use crate::initializer::Initializer;
use crate::kernel::tile::Family;
use crate::loss::Loss;
use crate::network::Network;
use crate::optimizer::{Optimizer, ParameterGroup, Rule};
use crate::options::TrainOptions;
use crate::preprocessing::Scaling;
use crate::trainer::Trainer;
use crate::weights::Weights;

/// With so large a rate, a step of gradient descent dwarfs the weight, and their difference keeps its digits.
pub const RATE: f64 = 1e4;
/// The tolerance of losses and gradients.
pub(super) const TOLERANCE: f64 = 1e-5;
/// The tolerance of weights after several steps.
const AFTER_STEPS: f64 = 2e-5;

/// Every rule, with every variant that has a formula of its own, except Muon, whose twin needs a network.
pub fn optimizers() -> Vec<Optimizer> {
    let (beta1, beta2, eps) = (0.9, 0.99, 1e-7);
    [
        Rule::Sgd { momentum: 0.0, nesterov: false },
        Rule::Sgd { momentum: 0.9, nesterov: false },
        Rule::Sgd { momentum: 0.8, nesterov: true },
        Rule::Adagrad { eps: 1e-10 },
        Rule::Adadelta { rho: 0.8, eps: 1e-6 },
        Rule::RmsProp { alpha: 0.9, eps, momentum: 0.0, centered: false },
        Rule::RmsProp { alpha: 0.9, eps, momentum: 0.5, centered: false },
        Rule::RmsProp { alpha: 0.9, eps, momentum: 0.0, centered: true },
        Rule::RmsProp { alpha: 0.9, eps, momentum: 0.5, centered: true },
        Rule::Adam { beta1, beta2, eps, amsgrad: false },
        Rule::Adam { beta1, beta2, eps, amsgrad: true },
        Rule::AdamW { beta1, beta2, eps, amsgrad: false },
        Rule::AdamW { beta1, beta2, eps, amsgrad: true },
        Rule::NAdam { beta1, beta2, eps, momentum_decay: 0.5 },
        Rule::Lion { beta1, beta2 },
    ]
    .into_iter()
    .flat_map(|rule| [0.0, 0.1].map(|weight_decay| Optimizer { lr: 0.01, weight_decay, rule }))
    .collect()
}

/// Six steps of an optimizer on a matrix and a bias of odd sizes.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn optimizer(gpu: &Arc<Gpu>, optimizer: Optimizer) -> Agreed {
    optimizer_in(gpu, optimizer, vec![], [optimizer; 2])
}

/// The same of a matrix and a bias with rates and decays of their own.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn grouped(gpu: &Arc<Gpu>, optimizer: Optimizer) -> Agreed {
    let groups = vec![
        ParameterGroup::new(["biases"]).weight_decay(0.0).lr_scale(2.0),
        ParameterGroup::new(["*"]).weight_decay(0.3).lr_scale(0.75),
    ];
    let matrix = Optimizer { lr: 0.75 * optimizer.lr, weight_decay: 0.3, ..optimizer };
    let bias = Optimizer { lr: 2.0 * optimizer.lr, weight_decay: 0.0, ..optimizer };
    optimizer_in(gpu, optimizer, groups, [matrix, bias])
}

/// The matrix and the bias follow these optimizers, which the groups make of one.
fn optimizer_in(
    gpu: &Arc<Gpu>,
    optimizer: Optimizer,
    groups: Vec<ParameterGroup>,
    [of_matrix, of_bias]: [Optimizer; 2],
) -> Agreed {
    let (rows, width, classes) = (11, 7, 3);
    let random = &mut Random(4);
    let x = random.values(rows * width);
    let labels: Vec<usize> = (0..rows).map(|_| random.below(classes)).collect();
    let set = set_of(&x, width, labels.iter().map(|&label| label as u32).collect()).map_err(words)?;
    let network = Network::classifier(width, &[], Activation::Relu, classes);
    let initial = Initializer::Torch.weights(&network, 1);

    let interpreter = Interpreter::evaluating(&network);
    let mut twin = layers(&initial);
    let mut states = vec![OptimizerState::default(); (width + 1) * classes];
    let steps = 6;
    for t in 1..=steps {
        let (.., gradient) = softmax_cross_entropy(&interpreter.logits(&twin, &x), &labels, rows);
        let (weights, bias) = dense_gradient(&x, &gradient, rows);
        let layer = &mut twin[0];
        let parameters = layer.weights.iter_mut().map(|w| (w, &of_matrix));
        let parameters = parameters.chain(layer.bias.iter_mut().map(|w| (w, &of_bias)));
        for (((w, optimizer), g), state) in parameters.zip(weights.iter().chain(&bias)).zip(&mut states) {
            *w = step(optimizer, state, *w, *g, t);
        }
    }

    let options = TrainOptions { optimizer, groups, ..in_order(rows, steps as u64) };
    let (_, weights) = trained(gpu, &network, options, &initial, &set).map_err(words)?;
    let trained = layers(&weights);
    let mut compared = Compared::default();
    compared.close(format_args!("{optimizer:?}: weights"), &trained[0].weights, &twin[0].weights, AFTER_STEPS)?;
    compared.close(format_args!("{optimizer:?}: bias"), &trained[0].bias, &twin[0].bias, AFTER_STEPS)?;
    compared.agreed()
}

/// Rows of a [`LossCase`], and features of each.
pub const ROWS: usize = 7;
/// See [`ROWS`].
pub const WIDTH: usize = 6;

/// A minibatch whose targets are class indices or values.
pub struct LossCase {
    /// The loss.
    pub loss: Loss,
    /// The number of the network's outputs.
    pub outputs: usize,
    /// The class indices, unless there are values.
    pub labels: Option<Vec<i64>>,
    /// `[ROWS, outputs]`
    pub values: Vec<f64>,
    /// The rows' weights; 1 for rows without one.
    pub weights: Vec<f64>,
}

impl LossCase {
    /// The targets, for the twin.
    pub fn targets(&self) -> Targets<'_> {
        self.labels.as_ref().map_or(Targets::Values(&self.values), |labels| Targets::Classes(labels))
    }

    /// The minibatch with these features.
    ///
    /// # Errors
    ///
    /// None, unless sizes are wrong.
    pub fn set(&self, x: &[f64]) -> Result<Dataset, Error> {
        let labels = self.labels.clone().unwrap_or_else(|| vec![0; ROWS]);
        let mut set = set_of(x, WIDTH, labels.iter().map(|&label| label as u32).collect())?;
        if self.labels.is_none() {
            set = set.with_targets(self.values.iter().map(|&value| value as f32).collect(), self.outputs)?;
        }
        if !self.weighs_rows() {
            return Ok(set);
        }
        set.with_sample_weights(self.weights.iter().map(|&weight| weight as f32).collect())
    }

    /// Whether rows weigh differently.
    pub fn weighs_rows(&self) -> bool {
        self.weights.iter().any(|&weight| weight != 1.0)
    }

    /// Whether the loss is focal, so that well-predicted rows count less.
    pub fn is_focal(&self) -> bool {
        match self.loss {
            Loss::SoftmaxCrossEntropy { gamma, .. } | Loss::SigmoidCrossEntropy { gamma, .. } => gamma != 0.0,
            _ => false,
        }
    }

    /// The case in words.
    pub fn label(&self) -> String {
        let (loss, outputs, labels) = (&self.loss, self.outputs, self.labels.is_some());
        format!("{loss:?}, {outputs} outputs, labels {labels}, weights {:?}", self.weights)
    }

    /// Checks the loss, and its gradient in the middle of a network against central differences.
    ///
    /// # Errors
    ///
    /// A message about the first result that is not as expected.
    pub fn agrees(&self, gpu: &Arc<Gpu>) -> Agreed {
        let x = Random(1).values(ROWS * WIDTH);
        let network = Network::classifier(WIDTH, &[5], Activation::Relu, self.outputs);
        let initial = Initializer::Torch.weights(&network, 3);
        let before = layers(&initial);
        let twin = Interpreter::evaluating(&network);
        let loss = |z: &[f64]| weighted_mean_loss(&self.loss, z, &self.targets(), self.outputs, &self.weights);
        let expected = loss(&twin.logits(&before, &x));
        let set = self.set(&x).map_err(words)?;
        let options = TrainOptions { loss: self.loss.clone(), optimizer: Optimizer::sgd(RATE), ..in_order(ROWS, 1) };
        let mut trainer = Trainer::on(Arc::clone(gpu), network.clone(), options).map_err(words)?;
        trainer.set_weights(&initial).map_err(words)?;

        let (what, mut compared) = (self.label(), Compared::default());
        let evaluated = trainer.evaluate(&set).map_err(words)?.loss;
        compared.close(format_args!("{what}: evaluated"), &[evaluated], &[expected], TOLERANCE)?;
        let losses = losses_of(&mut trainer, &set).map_err(words)?;
        compared.close(format_args!("{what}: trained"), &losses, &[expected], TOLERANCE)?;
        let after = layers(&trainer.weights().map_err(words)?);
        compare_gradients(&mut compared, &what, &before, &after, &twin.gradient(&before, &x, &loss))?;
        compared.agreed()
    }
}

/// Every loss with every kind of target and every option; some of them with rows that weigh differently.
pub fn losses(outputs: usize) -> Vec<LossCase> {
    let random = &mut Random(outputs as u64);
    // One output takes a label of 0 or 1.
    let plain: Vec<i64> = (0..ROWS).map(|_| random.below(outputs.max(2)) as i64).collect();
    let ignoring: Vec<i64> =
        plain.iter().enumerate().map(|(row, &label)| if row % 3 == 1 { -100 } else { label }).collect();
    let class_weights: Vec<f64> = (0..outputs).map(|c| 0.5 + f64::from(c as f32 % 3.0)).collect();
    let soft = random.distributions(ROWS, outputs);
    let binary: Vec<f64> =
        random.values(ROWS * outputs).iter().map(|&value| f64::from(u8::from(value > 0.3))).collect();
    let numbers = random.values(ROWS * outputs);

    let softmax =
        |label_smoothing: f64, weighted: bool, ignore_index: Option<i64>, gamma: f64| Loss::SoftmaxCrossEntropy {
            label_smoothing,
            class_weights: weighted.then(|| class_weights.clone()),
            ignore_index,
            gamma,
        };
    let case = |loss: Loss, labels: Option<&[i64]>, values: &[f64]| LossCase {
        loss,
        outputs,
        labels: labels.map(<[i64]>::to_vec),
        values: values.to_vec(),
        weights: vec![1.0; ROWS],
    };
    let classes = |loss: Loss, labels: &[i64]| case(loss, Some(labels), &[]);
    let values = |loss: Loss, values: &[f64]| case(loss, None, values);
    let mut cases = Vec::new();
    for (smoothing, gamma) in [(0.0, 0.0), (0.1, 0.0), (0.0, 2.0), (0.1, 0.5)] {
        for weighted in [false, true] {
            cases.push(classes(softmax(smoothing, weighted, None, gamma), &plain));
            cases.push(classes(softmax(smoothing, weighted, Some(-100), gamma), &ignoring));
            cases.push(values(softmax(smoothing, weighted, None, gamma), &soft));
        }
    }
    cases.push(values(Loss::KlDivergence, &soft));
    cases.push(values(Loss::sigmoid_cross_entropy(), &binary));
    for gamma in [0.0, 0.5, 2.0] {
        cases.push(values(Loss::SigmoidCrossEntropy { pos_weight: Some(class_weights.clone()), gamma }, &binary));
    }
    cases.push(classes(Loss::sigmoid_cross_entropy(), &plain));
    for loss in [Loss::MeanSquaredError, Loss::MeanAbsoluteError, Loss::Huber { delta: 0.4 }] {
        cases.push(values(loss, &numbers));
    }
    // With one class there is nothing to learn.
    cases.retain(|case: &LossCase| {
        outputs > 1 || !matches!(case.loss, Loss::SoftmaxCrossEntropy { .. } | Loss::KlDivergence)
    });
    // All cases once more, with rows of other weights, some of them 0; for other numbers of outputs, some of the cases.
    for at in (0..cases.len()).step_by(if outputs == 3 { 1 } else { 6 }) {
        let LossCase { loss, labels, values, .. } = &cases[at];
        let weights = (0..ROWS).map(|row| [0.5, 2.0, 0.0, 1.5][(row + at) % 4]).collect();
        cases.push(LossCase { loss: loss.clone(), outputs, labels: labels.clone(), values: values.clone(), weights });
    }
    cases
}

/// Checks the gradients through two hidden layers whose units drop out, by the masks of the twin's generator.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn dropout(gpu: &Arc<Gpu>) -> Agreed {
    let hidden = Network::new(6).dense(9, Activation::Relu).dropout(0.5).dense(7, Activation::Relu).dropout(0.2);
    gradients_of(gpu, "dropout", &hidden.dense(3, Activation::Identity))
}

/// Checks the gradients through residual sums: in a product's epilogue and by itself, with a shortcut, an activation and dropout.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn residual_sums(gpu: &Arc<Gpu>) -> Agreed {
    let hidden = Network::new(6)
        .dense(9, Activation::Relu)
        .residual(|body| body.dense(7, Activation::Silu).dense(9, Activation::Identity))
        .activation(Activation::Relu)
        .dropout(0.2)
        .residual_with_shortcut(|body| body.dense(8, Activation::Tanh), |input| input.dense(8, Activation::Relu))
        .activation(Activation::Tanh);
    gradients_of(gpu, "residual sums", &hidden.dense(3, Activation::Identity))
}

/// Checks a step's loss and gradients against central differences of the twin.
fn gradients_of(gpu: &Arc<Gpu>, what: &str, network: &Network) -> Agreed {
    const SEED: u64 = 0x1234_5678_9abc_def0;
    let (rows, width, classes) = (5, network.inputs(), network.outputs());
    let random = &mut Random(5);
    let x = random.values(rows * width);
    let labels: Vec<i64> = (0..rows).map(|_| random.below(classes) as i64).collect();
    let set = set_of(&x, width, labels.iter().map(|&label| label as u32).collect()).map_err(words)?;
    let mask = |layer, sample, unit, units, rate| dropout_mask(SEED, 0, layer, sample, unit, units, rate);
    let twin = Interpreter::training(network, &mask);
    let loss = |z: &[f64]| mean_loss(&Loss::default(), z, &Targets::Classes(&labels), classes);
    let initial = Initializer::Torch.weights(network, 3);
    let before = layers(&initial);
    let options = TrainOptions { optimizer: Optimizer::sgd(RATE), seed: SEED, ..in_order(rows, 1) };
    let (losses, weights) = trained(gpu, network, options, &initial, &set).map_err(words)?;
    let mut compared = Compared::default();
    compared.close(format!("{what}: loss"), &losses, &[loss(&twin.logits(&before, &x))], TOLERANCE)?;
    let expected = twin.gradient(&before, &x, &loss);
    compare_gradients(&mut compared, what, &before, &layers(&weights), &expected)?;
    compared.agreed()
}

/// Checks accuracy, ranks and counts of classes, or the errors of numbers, on more than one minibatch.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn metrics(gpu: &Arc<Gpu>, numbers: bool) -> Agreed {
    let (rows, width, outputs) = (150, 5, 4);
    let random = &mut Random(1);
    let x = random.values(rows * width);
    let labels: Vec<usize> = (0..rows).map(|_| random.below(outputs)).collect();
    let wanted = random.values(rows * outputs);
    let mut set = set_of(&x, width, labels.iter().map(|&label| label as u32).collect()).map_err(words)?;
    if numbers {
        let values = wanted.iter().map(|&value| value as f32).collect();
        set = set.with_targets(values, outputs).map_err(words)?;
    }
    let network = Network::classifier(width, &[6], Activation::Relu, outputs);
    let initial = Initializer::Torch.weights(&network, 3);
    let loss = if numbers { Loss::MeanSquaredError } else { Loss::default() };
    let mut trainer =
        Trainer::on(Arc::clone(gpu), network.clone(), TrainOptions { loss, ..in_order(32, 1) }).map_err(words)?;
    trainer.set_weights(&initial).map_err(words)?;
    let metrics = trainer.metrics(&set).map_err(words)?;
    let z = Interpreter::evaluating(&network).logits(&layers(&initial), &x);

    let mut compared = Compared::default();
    if numbers {
        let found = metrics.regression.as_ref().map(|of| vec![of.mean_absolute_error, of.root_mean_squared_error]);
        let differences = || z.iter().zip(&wanted).map(|(z, t)| z - t);
        let count = (rows * outputs) as f64;
        let mae = differences().map(f64::abs).sum::<f64>() / count;
        let rmse = (differences().map(|d| d * d).sum::<f64>() / count).sqrt();
        compared.close("errors of numbers", &found.unwrap_or_default(), &[mae, rmse], TOLERANCE)?;
        return compared.agreed();
    }
    let best = |z: &[f64]| (0..outputs).max_by(|&a, &b| z[a].total_cmp(&z[b])).unwrap_or(0);
    let predicted: Vec<usize> = z.chunks_exact(outputs).map(best).collect();
    let found = metrics.classes.map_or(vec![], |classes| classes.classes);
    let counts: Vec<[u64; 3]> = found.iter().map(|class| [class.support, class.predicted, class.hits]).collect();
    let count = |is: &dyn Fn(usize) -> bool| (0..rows).filter(|&row| is(row)).count() as u64;
    let expected: Vec<[u64; 3]> = (0..outputs)
        .map(|c| {
            let (is, is_predicted) = (|row: usize| labels[row] == c, |row: usize| predicted[row] == c);
            [count(&is), count(&is_predicted), count(&|row| is(row) && is_predicted(row))]
        })
        .collect();
    compared.holds(
        counts == expected,
        format_args!("metrics of classes: support, predicted, hits are {counts:?}, and expected {expected:?}"),
    )?;
    compared.agreed()
}

/// Checks a minibatch's rows that are gathered from a set whose features are scaled one by one: the loss is that of scaled features.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn scaled_set(gpu: &Arc<Gpu>) -> Agreed {
    let (rows, width, outputs) = (50, 7, 3);
    let random = &mut Random(9);
    let bytes: Vec<u8> = (0..rows * width).map(|_| random.bits() as u8).collect();
    let labels: Vec<usize> = (0..rows).map(|_| random.below(outputs)).collect();
    let labels_u32 = labels.iter().map(|&label| label as u32).collect();
    let set = Dataset::from_u8(bytes.clone(), width, labels_u32).map_err(words)?;
    let scaling = Scaling::standardize(&set);
    let (shift, scale) = (scaling.shift.clone(), scaling.scale.clone());
    let set = set.with_scaling(scaling).map_err(words)?;
    let x: Vec<f64> = bytes
        .iter()
        .enumerate()
        .map(|(at, &byte)| {
            let feature = at % width;
            (f64::from(byte) / 255.0 - shift[feature]) * f64::from(scale[feature])
        })
        .collect();
    let network = Network::classifier(width, &[], Activation::Relu, outputs);
    let initial = Initializer::Torch.weights(&network, 3);
    let mut trainer = Trainer::on(Arc::clone(gpu), network.clone(), in_order(8, 1)).map_err(words)?;
    trainer.set_weights(&initial).map_err(words)?;
    let z = Interpreter::evaluating(&network).logits(&layers(&initial), &x);
    let (losses, ..) = softmax_cross_entropy(&z, &labels, rows);
    let expected = losses.iter().sum::<f64>() / rows as f64;
    let mut compared = Compared::default();
    let evaluated = trainer.evaluate(&set).map_err(words)?.loss;
    compared.close("gather from a scaled set: loss", &[evaluated], &[expected], TOLERANCE)?;
    compared.agreed()
}

/// Checks that two runs have the same bits, and other runs that submit one step or seven at a time have them, too.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn same_bits(gpu: &Arc<Gpu>, family: Option<Family>, dropout: f64) -> Agreed {
    let (rows, width, classes) = (100, 30, 7);
    let random = &mut Random(2);
    let bytes: Vec<u8> = (0..rows * width).map(|_| random.bits() as u8).collect();
    let labels = (0..rows).map(|_| random.below(classes) as u32).collect();
    let set = Dataset::from_u8(bytes, width, labels).map_err(words)?;
    let hidden = Network::new(width).dense(20, Activation::Gelu).dropout(dropout);
    let network = hidden.dense(50, Activation::Relu).dense(classes, Activation::Identity);
    let initial = Initializer::Torch.weights(&network, 3);
    let run = |steps_per_submission| {
        // The last minibatch of an epoch is short, and every epoch has an order of its own.
        let options =
            TrainOptions { batch_size: 6, epochs: 3, family, steps_per_submission, ..TrainOptions::default() };
        let (losses, weights) = trained(gpu, &network, options, &initial, &set)?;
        let parts = weights.layers.iter().flat_map(|layer| layer.weight.iter().chain(&layer.bias));
        let losses: Vec<u64> = losses.iter().map(|loss| loss.to_bits()).collect();
        Ok((losses, parts.map(|value| value.to_bits()).collect::<Vec<u32>>()))
    };
    let expected = run(None).map_err(words)?;
    let mut compared = Compared::default();
    for (chunk, what) in [(None, "a second run"), (Some(1), "a step at a time"), (Some(7), "seven steps at a time")] {
        compared
            .holds(run(chunk).map_err(words)? == expected, format_args!("{what}: other bits than the first run's"))?;
    }
    compared.agreed()
}

/// Options to train for `steps` steps on minibatches of `batch_size` rows, in the set's order.
pub(super) fn in_order(batch_size: usize, steps: u64) -> TrainOptions {
    TrainOptions { batch_size, steps: Some(steps), shuffle: false, ..TrainOptions::default() }
}

pub(super) fn set_of(x: &[f64], width: usize, labels: Vec<u32>) -> Result<Dataset, Error> {
    Dataset::from_f32(x.iter().map(|&value| value as f32).collect(), width, labels)
}

/// The losses of the epochs of one `fit`, and the weights after it.
fn trained(
    gpu: &Arc<Gpu>,
    network: &Network,
    options: TrainOptions,
    initial: &Weights,
    set: &Dataset,
) -> Result<(Vec<f64>, Weights), Error> {
    let mut trainer = Trainer::on(Arc::clone(gpu), network.clone(), options)?;
    trainer.set_weights(initial)?;
    Ok((losses_of(&mut trainer, set)?, trainer.weights()?))
}

fn losses_of(trainer: &mut Trainer, set: &Dataset) -> Result<Vec<f64>, Error> {
    Ok(trainer.fit(set, None)?.epochs.iter().map(|epoch| epoch.training.loss).collect())
}

/// Checks that one step of gradient descent at [`RATE`] followed the gradient.
fn compare_gradients(
    compared: &mut Compared,
    what: &str,
    before: &[Layer],
    after: &[Layer],
    expected: &[Layer],
) -> Result<(), String> {
    let step = |before: &[f64], after: &[f64]| -> Vec<f64> {
        before.iter().zip(after).map(|(before, after)| (before - after) / RATE).collect()
    };
    for (at, ((before, after), expected)) in before.iter().zip(after).zip(expected).enumerate() {
        let (weights, bias) = (step(&before.weights, &after.weights), step(&before.bias, &after.bias));
        compared.close(format_args!("{what}: layer {at}"), &weights, &expected.weights, TOLERANCE)?;
        compared.close(format_args!("{what}: bias of layer {at}"), &bias, &expected.bias, TOLERANCE)?;
    }
    Ok(())
}
