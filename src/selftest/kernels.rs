//! Kernels against their f64 twins: outputs are poisoned first, and padding has to be 0.

use super::compared::{Agreed, Compared, words};
use super::problem::{Adam1, Problem, SCALARS, STATS_BYTES, STEP, bytes_of, floats, plain, run_all, state, unpadded};
use super::reference;
use crate::activation::{Activation, Epilogue};
use crate::gpu::{Checks, Gpu};
use crate::kernel::loss_kernel::LossKernel;
use crate::kernel::tile::Tile;
use crate::kernel::{
    Access, Binding, Input, Launch, close_step, dense_backward, dense_forward, dense_update, textbook,
};
use crate::layout::Dense;
use crate::loss::Loss;
use crate::optimizer::{Optimizer, Rule};
use crate::targets::Targets;

/// ‖out − twin‖ / ‖twin‖ of a kernel.
pub const TOLERANCE: f64 = 1e-5;

/// Softmax cross-entropy with class indices.
pub fn loss_kernel<'a>(dense: Dense, training: Option<&'a Optimizer>) -> LossKernel<'a> {
    const LOSS: &Loss =
        &Loss::SoftmaxCrossEntropy { label_smoothing: 0.0, class_weights: None, ignore_index: None, gamma: 0.0 };
    LossKernel {
        dense,
        places: None,
        strips: None,
        loss: LOSS,
        targets: Targets::CLASSES,
        training: training.map(plain),
    }
}

/// The name of a launch on a problem.
pub fn label(problem: &Problem, launch: &Launch, checks: Checks) -> String {
    let Dense { batch, inputs, outputs } = problem.dense;
    let checks = if checks == Checks::On { ", with checks" } else { "" };
    let variant = if launch.variant.is_empty() { String::new() } else { format!(" {}", launch.variant) };
    format!(
        "{}{variant}, {} invocations, {batch} rows {inputs} → {outputs} of {:?}{checks}",
        launch.kernel, launch.workgroup, problem.input
    )
}

/// `y = activate(x·W + b)`, for ReLU and the identity.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn forward(gpu: &Gpu, problem: &Problem, activation: Activation, tile: Tile, checks: Checks) -> Agreed {
    let dense = problem.dense;
    let launch = dense_forward::launch(dense, problem.input, Epilogue::of(activation), None, tile);
    let contents = run_all(gpu, problem, &launch, checks).map_err(words)?;
    let y = floats(&launch, &contents, Binding::Output);
    let (stride, outputs) = ((dense.outputs as usize / 4 + 1) * 4, dense.outputs as usize);
    let twin = reference::dense_forward(&problem.x, &problem.weights, &problem.bias, activation == Activation::Relu);
    let (what, mut compared) = (label(problem, &launch, checks), Compared::default());
    compared.close(&what, &unpadded(&y, stride, problem.in_step(), outputs), &twin, TOLERANCE)?;
    // The 1 after the last unit, and zeros after it.
    for row in y.chunks_exact(stride) {
        compared.holds(row[outputs] == 1.0, format_args!("{what}: the bias's 1 is {}", row[outputs]))?;
        compared.holds(are_zero(&row[outputs + 1..]), format_args!("{what}: padding is not 0"))?;
    }
    compared.agreed()
}

/// `dx = (dy·Wᵀ) ⊙ activate′(x)`, for ReLU and the identity.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn backward(gpu: &Gpu, problem: &Problem, below: Activation, tile: Tile, checks: Checks) -> Agreed {
    let dense = problem.dense;
    let launch = dense_backward::launch(dense, Epilogue::of(below), tile);
    let contents = run_all(gpu, problem, &launch, checks).map_err(words)?;
    let dx = floats(&launch, &contents, Binding::InputGradient);
    let (stride, inputs) = (dense.inputs.next_multiple_of(4) as usize, dense.inputs as usize);
    let relu = below == Activation::Relu;
    let twin = reference::dense_backward(&problem.dy, &problem.weights, &problem.x, dense.outputs as usize, relu);
    let (what, mut compared) = (label(problem, &launch, checks), Compared::default());
    compared.close(&what, &unpadded(&dx, stride, problem.in_step(), inputs), &twin, TOLERANCE)?;
    let padding = dx.chunks_exact(stride).all(|row| are_zero(&row[inputs..]));
    compared.holds(padding, format_args!("{what}: padding is not 0"))?;
    compared.agreed()
}

/// The step of an update that ends its training step.
const CLOSING: dense_update::Step = dense_update::Step {
    closes: true,
    weighted_mean: false,
    keeps_gradient: false,
    without_bias: false,
    in_strips: false,
};

/// `dW = xᵀ·dy`, then the optimizer: SGD, or Adam as [`Adam1`].
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn update(gpu: &Gpu, problem: &Problem, optimizer: &Optimizer, tile: Tile, checks: Checks) -> Agreed {
    let dense = problem.dense;
    let launch = dense_update::launch(dense, problem.input, plain(optimizer), tile, CLOSING);
    let contents = run_all(gpu, problem, &launch, checks).map_err(words)?;
    let (what, mut compared) = (label(problem, &launch, checks), Compared::default());

    let (gradient, bias_gradient) = reference::dense_gradient(&problem.x, &problem.dy, problem.in_step());
    let gradients = gradient.iter().chain(&bias_gradient);
    let weights = problem.weights.iter().chain(&problem.bias);
    let [m, v] = problem.moments();
    let twin: Vec<[f64; 3]> = weights
        .zip(gradients)
        .zip(m.iter().zip(&v))
        .map(|((&w, &g), (&m, &v))| match optimizer.rule {
            Rule::Sgd { .. } => [reference::sgd(w, g, optimizer.lr), m, v],
            _ => Adam1::TWIN.step(w, g, m, v, Adam1::T),
        })
        .collect();
    let part = |at: usize| twin.iter().map(|values| values[at]).collect::<Vec<_>>();

    let (outputs, rows) = (dense.outputs as usize, dense.inputs as usize + 1);
    let stride = outputs.next_multiple_of(4);
    let updated = floats(&launch, &contents, Binding::Weights);
    compared.close(&what, &unpadded(&updated, stride, rows, outputs), &part(0), TOLERANCE)?;
    compared.holds(are_zero(&updated[rows * stride..]), format_args!("{what}: padding rows are not 0"))?;
    if matches!(optimizer.rule, Rule::Adam { .. }) {
        let slots = floats(&launch, &contents, Binding::OptimizerSlots);
        for (slot, name) in ["first moment", "second moment"].into_iter().enumerate() {
            let values: Vec<f64> = slots.chunks_exact(8).flat_map(|pair| &pair[4 * slot..][..4]).copied().collect();
            let values = unpadded(&values, stride, rows, outputs);
            compared.close(format_args!("{what}: {name}"), &values, &part(1 + slot), TOLERANCE)?;
        }
    }
    let step = words_of(&launch, &contents, Binding::State).next();
    compared.holds(step == Some(STEP + 1), format_args!("{what}: the step is not closed"))?;
    compared.agreed()
}

/// Checks what the loss kernels write in training, with few classes or many.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn loss(gpu: &Gpu, problem: &Problem, launch: &Launch, checks: Checks) -> Agreed {
    let dense = problem.dense;
    let contents = run_all(gpu, problem, launch, checks).map_err(words)?;
    let (what, mut compared) = (label(problem, launch, checks), Compared::default());
    let in_step = problem.in_step();
    let (losses, correct, gradient) =
        reference::softmax_cross_entropy(&problem.logits(), &problem.step_labels(), in_step);

    let (stride, outputs) = (dense.outputs.next_multiple_of(4) as usize, dense.outputs as usize);
    let dz = floats(launch, &contents, Binding::Gradient);
    compared.close(&what, &unpadded(&dz, stride, in_step, outputs), &gradient, TOLERANCE)?;
    compared.holds(are_zero(&dz[in_step * stride..]), format_args!("{what}: rows after the minibatch are not 0"))?;

    compared.close(format_args!("{what}: losses"), &losses_of(launch, &contents)[..in_step], &losses, TOLERANCE)?;
    let stats = bytes_of(launch, &contents, Binding::Stats);
    let hits: Vec<bool> = stats.chunks_exact(STATS_BYTES).map(|row| row[12] == 1).collect();
    compared.equal(format_args!("{what}: correct predictions"), &hits[..in_step], &correct[..])?;

    // A team also computes the gradient below if there is a layer below, whose output is its input.
    let goes_below = launch.kernel == "team_head" && problem.input == Input::Activations;
    let bound = launch.bindings.contains(&(Binding::InputGradient, Access::Write));
    compared.equal(format_args!("{what}: whether the gradient below is written"), &bound, &goes_below)?;
    if goes_below {
        let inputs = dense.inputs as usize;
        let dx = floats(launch, &contents, Binding::InputGradient);
        let twin = reference::dense_backward(&gradient, &problem.weights, &problem.x, outputs, true);
        let stride = inputs.next_multiple_of(4);
        let below = unpadded(&dx, stride, in_step, inputs);
        compared.close(format_args!("{what}: below"), &below, &twin, TOLERANCE)?;
        let padding = dx.chunks_exact(stride).all(|row| are_zero(&row[inputs..]));
        compared.holds(padding, format_args!("{what}: padding below is not 0"))?;
    }

    let visited: Vec<u32> = words_of(launch, &contents, Binding::Visited).take(in_step).collect();
    compared.equal(format_args!("{what}: visited rows"), &visited, &problem.visited)?;
    let scalars = &floats(launch, &contents, Binding::State)[SCALARS / 4..][..2];
    let expected = [0.9 * Adam1::SCALARS[0] + 0.1, 0.999 * Adam1::SCALARS[1] + 0.001].map(f64::from);
    compared.close(format_args!("{what}: scalars"), scalars, &expected, TOLERANCE)?;
    compared.agreed()
}

/// Checks what the loss kernels write in an evaluation.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn evaluation(gpu: &Gpu, problem: &Problem, launch: &Launch, checks: Checks) -> Agreed {
    let before = state(problem.dense.batch, problem.lr, Adam1::SCALARS);
    let contents = run_all(gpu, problem, launch, checks).map_err(words)?;
    let (what, mut compared) = (label(problem, launch, checks), Compared::default());
    compared.equal(format_args!("{what}: the state"), bytes_of(launch, &contents, Binding::State), &before[..])?;
    let (losses, ..) = reference::softmax_cross_entropy(&problem.logits(), &problem.step_labels(), problem.in_step());
    let found = &losses_of(launch, &contents)[..losses.len()];
    compared.close(format_args!("{what}: losses"), found, &losses, TOLERANCE)?;
    // With many outputs, the logits are an input.
    if launch.kernel != "row_loss" {
        let outputs = problem.dense.outputs as usize;
        let z = floats(launch, &contents, Binding::Output);
        compared.holds(z.iter().all(|z| z.is_finite()), format_args!("{what}: a part of the logits is not written"))?;
        let z = unpadded(&z, (outputs / 4 + 1) * 4, problem.in_step(), outputs);
        compared.close(format_args!("{what}: logits"), &z, &problem.logits(), TOLERANCE)?;
    }
    compared.agreed()
}

/// Checks that the step counter moves by one.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn closing(gpu: &Gpu, checks: Checks) -> Agreed {
    let mut contents = vec![state(5, 0.0, [0.0; 4])];
    gpu.run_once(&close_step::launch(), &mut contents, checks).map_err(words)?;
    let mut compared = Compared::default();
    compared.equal("close_step: the counter", &contents[0][..4], &(STEP + 1).to_le_bytes())?;
    compared.agreed()
}

/// Checks the product that tiles are measured against.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn textbook(gpu: &Gpu, checks: Checks) -> Agreed {
    let [m, n, k] = [5, 19, 7];
    let value = |at: usize| ((at * 37 + 11) % 23) as f32 - 11.0;
    let [a, b]: [Vec<f32>; 2] = [m * k, k * n].map(|count| (0..count).map(value).collect());
    let launch = textbook::launch(m as u32, n as u32, k as u32);
    let mut contents = [&a, &b, &vec![f32::NAN; m * n]].map(|values| bytemuck::cast_slice::<f32, u8>(values).to_vec());
    gpu.run_once(&launch, &mut contents, checks).map_err(words)?;
    // Small whole numbers: every sum is exact, in any order.
    let product = (0..m * n).map(|at| (0..k).map(|l| f64::from(a[at / n * k + l] * b[l * n + at % n])).sum());
    let mut compared = Compared::default();
    compared.equal("textbook", &floats(&launch, &contents, Binding::Output), &product.collect::<Vec<f64>>())?;
    compared.agreed()
}

/// The losses in the running sums.
fn losses_of(launch: &Launch, contents: &[Vec<u8>]) -> Vec<f64> {
    let stats = bytes_of(launch, contents, Binding::Stats);
    stats.chunks_exact(STATS_BYTES).map(|row| f32::from_le_bytes([row[0], row[1], row[2], row[3]]).into()).collect()
}

/// The words of one of a launch's bindings.
fn words_of(launch: &Launch, contents: &[Vec<u8>], slot: Binding) -> impl Iterator<Item = u32> {
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes_of(launch, contents, slot));
    words.into_iter()
}

fn are_zero(values: &[f64]) -> bool {
    values.iter().all(|&value| value == 0.0)
}
