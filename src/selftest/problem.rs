//! One kernel's problem: sizes, random operands in f64, and the bytes that the device gets for them.

use super::compared::Random;
use super::reference;
use crate::error::Error;
use crate::gpu::{Checks, Gpu};
use crate::kernel::{Access, Binding, Input, Launch};
use crate::layout::Dense;
use crate::optimizer::{Optimizer, Rule};
use crate::schedule::{Decay, Schedule};
use crate::training::Training;

/// A set larger than the minibatch, so that a gather that does nothing is seen.
pub const ROWS: u32 = 50;
/// The number of steps that are done before.
pub const STEP: u32 = 2;
/// One entry of the running sums: loss, compensation, weight, correct, judged, share, bad_step.
pub const STATS_BYTES: usize = 28;
/// The seed in the step state.
pub const SEED: u64 = 0x1234_5678_9abc_def0;

/// One problem: sizes and random operands, unpadded and in f64.
pub struct Problem {
    /// The layer.
    pub dense: Dense,
    /// The whole set, or the activations of the minibatch, `[rows, inputs]`.
    pub source: Vec<f64>,
    /// The rows of the minibatch, `[rows in step, inputs]`.
    pub x: Vec<f64>,
    /// The indices of these rows in the set.
    pub visited: Vec<u32>,
    /// `[inputs, outputs]`
    pub weights: Vec<f64>,
    /// `[outputs]`
    pub bias: Vec<f64>,
    /// The gradient by the layer's output, `[rows in step, outputs]`.
    pub dy: Vec<f64>,
    /// A class for each row of the set.
    pub labels: Vec<usize>,
    /// Where the rows come from.
    pub input: Input,
    /// The learning rate in the step state.
    pub lr: f64,
}

impl Problem {
    /// A random problem of this size.
    pub fn new((batch, inputs, outputs): (u32, u32, u32), input: Input) -> Self {
        let dense = Dense { batch, inputs, outputs };
        let random = &mut Random(u64::from(batch * 7919 + inputs * 31 + outputs));
        let (inputs, outputs) = (inputs as usize, outputs as usize);
        let from_set = input.is_of_set();
        let rows = if from_set { ROWS as usize } else { batch as usize };
        let source: Vec<f64> = match input {
            Input::SetU8 => (0..rows * inputs).map(|_| f64::from(random.bits() as u8) / 255.0).collect(),
            // ReLU's output: many zeros, and no negative value.
            Input::Activations | Input::Flattened | Input::Patches => {
                random.values(rows * inputs).into_iter().map(|value| value.max(0.0)).collect()
            }
            Input::SetF32 => random.values(rows * inputs),
            Input::SetF16 => {
                random.values(rows * inputs).into_iter().map(|value| half::f16::from_f64(value).into()).collect()
            }
        };
        let per_epoch = ROWS.div_ceil(batch);
        let first = STEP % per_epoch * batch;
        let in_step = if from_set { batch.min(ROWS - first) } else { batch };
        let visited: Vec<u32> =
            (first..first + in_step).map(|at| reference::row_of(at % ROWS, ROWS, SEED, STEP / per_epoch)).collect();
        let x = if from_set {
            visited.iter().flat_map(|&row| &source[row as usize * inputs..][..inputs]).copied().collect()
        } else {
            source.clone()
        };
        Problem {
            x,
            source,
            // The weights are as large as initial ones, so that the logits are neither all equal nor extreme.
            weights: random
                .values(inputs * outputs)
                .into_iter()
                .map(|value| f64::from((value * (3.0 / inputs as f64).sqrt()) as f32))
                .collect(),
            bias: random.values(outputs),
            dy: random.values(in_step as usize * outputs),
            labels: (0..ROWS).map(|_| random.below(outputs)).collect(),
            visited,
            dense,
            input,
            lr: Adam1::TWIN.lr,
        }
    }

    /// The number of rows in the minibatch.
    pub fn in_step(&self) -> usize {
        self.visited.len()
    }

    /// The labels of the minibatch's rows.
    pub fn step_labels(&self) -> Vec<usize> {
        self.visited.iter().map(|&row| self.labels[row as usize]).collect()
    }

    /// The bytes for each binding of a launch; what it writes is poisoned with NaN.
    pub fn contents(&self, launch: &Launch) -> Vec<Vec<u8>> {
        let (inputs, outputs) = (self.dense.inputs as usize, self.dense.outputs as usize);
        let batch = self.dense.batch as usize;
        launch
            .bindings
            .iter()
            .map(|&(binding, access)| {
                let poisoned = if access == Access::Write { self.poisoned(binding) } else { None };
                match (binding, poisoned) {
                    // The logits are an input of `row_loss`.
                    (Binding::Output, None) => {
                        let mut rows = padded(&self.logits(), outputs, self.in_step(), (outputs / 4 + 1) * 4);
                        rows.resize(batch.next_multiple_of(4) * (outputs / 4 + 1) * 4, 0.0);
                        bytes(&rows)
                    }
                    (Binding::OptimizerSlots, _) => bytes(&interleaved(&self.moments(), outputs, inputs)),
                    (_, Some(poisoned)) => poisoned,
                    (binding, None) => self.content(binding, launch),
                }
            })
            .collect()
    }

    /// The bytes of what a launch reads.
    fn content(&self, binding: Binding, launch: &Launch) -> Vec<u8> {
        let (inputs, outputs) = (self.dense.inputs as usize, self.dense.outputs as usize);
        let batch = self.dense.batch as usize;
        match binding {
            Binding::Input if self.input == Input::SetU8 => rows_with_one(&self.source, inputs, ROWS as usize)
                .iter()
                .map(|value| (value * 255.0).round() as u8)
                .collect(),
            Binding::Input if self.input == Input::SetF16 => rows_with_one(&self.source, inputs, ROWS as usize)
                .iter()
                .flat_map(|&value| half::f16::from_f32(value).to_le_bytes())
                .collect(),
            Binding::Input => bytes(&rows_with_one(&self.source, inputs, self.source.len() / inputs)),
            Binding::Targets => self.labels.iter().flat_map(|&label| (label as u32).to_le_bytes()).collect(),
            Binding::Visited => {
                let places = self.visited.iter().copied().chain(std::iter::repeat(0)).take(batch);
                places.flat_map(u32::to_le_bytes).collect()
            }
            Binding::Weights => {
                let stride = outputs.next_multiple_of(4);
                let mut rows = padded(&self.weights, outputs, inputs, stride);
                rows.extend(padded(&self.bias, outputs, 1, stride));
                rows.resize((inputs / 4 + 1) * 4 * stride, 0.0);
                bytes(&rows)
            }
            Binding::State => state(self.dense.batch, self.lr, Adam1::SCALARS),
            Binding::Gradient if launch.kernel.starts_with("dense") => {
                let mut rows = padded(&self.dy, outputs, self.in_step(), outputs.next_multiple_of(4));
                rows.resize(batch.next_multiple_of(4) * outputs.next_multiple_of(4), 0.0);
                bytes(&rows)
            }
            Binding::Stats => vec![0; STATS_BYTES * batch],
            Binding::Partials => {
                let sums = launch.partials.as_ref().map_or(0, |partials| partials.shape.iter().product::<u32>());
                bytes(&vec![f32::NAN; sums as usize])
            }
            // `run_all` refuses a launch that binds one.
            _ => vec![],
        }
    }

    /// What fills a result that a launch is to write whole: NaN.
    fn poisoned(&self, binding: Binding) -> Option<Vec<u8>> {
        let (inputs, outputs) = (self.dense.inputs as usize, self.dense.outputs as usize);
        let batch = self.dense.batch as usize;
        let floats = match binding {
            Binding::Output => batch.next_multiple_of(4) * (outputs / 4 + 1) * 4,
            Binding::Gradient => batch.next_multiple_of(4) * outputs.next_multiple_of(4),
            Binding::InputGradient => batch.next_multiple_of(4) * inputs.next_multiple_of(4),
            Binding::Visited => batch,
            _ => return None,
        };
        Some(bytes(&vec![f32::NAN; floats]))
    }

    /// The logits, rounded as the kernel that wrote them would have.
    pub fn logits(&self) -> Vec<f64> {
        let logits = reference::dense_forward(&self.x, &self.weights, &self.bias, false);
        logits.into_iter().map(|value| f64::from(value as f32)).collect()
    }

    /// Adam's moments before the step, for every row of weights and then the bias.
    pub fn moments(&self) -> [Vec<f64>; 2] {
        let random = &mut Random(99);
        let count = (self.dense.inputs as usize + 1) * self.dense.outputs as usize;
        [random.values(count), random.values(count).into_iter().map(f64::abs).collect()]
    }
}

/// Adam with the bias corrections of step 3.
pub struct Adam1;

impl Adam1 {
    /// The step.
    pub const T: i32 = 3;
    /// Its hyperparameters.
    pub const TWIN: reference::Adam = reference::Adam { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-7 };
    /// Its scalars in the step state.
    pub const SCALARS: [f32; 4] = [0.271, 0.002997001, 0.0, 0.0];

    /// The same optimizer, as a user describes it.
    pub fn optimizer() -> Optimizer {
        let reference::Adam { lr, beta1, beta2, eps } = Self::TWIN;
        Optimizer { lr, ..Optimizer::new(Rule::Adam { beta1, beta2, eps, amsgrad: false }) }
    }
}

/// The bytes of the step state.
pub fn state(batch: u32, lr: f64, scalars: [f32; 4]) -> Vec<u8> {
    let bits = u32::BITS - (ROWS - 1).leading_zeros();
    let words = [STEP, ROWS, ROWS.div_ceil(batch), bits, SEED as u32, (SEED >> 32) as u32, 1, (lr as f32).to_bits()];
    // The first epoch began in step 0; a constant schedule, which has no values; the scalars before and the gradients' norm, for now none.
    let rate = [(lr as f32).to_bits(), 0, 0, 0];
    [&words[..], &[0; 4], &rate, &[0; 4], &scalars.map(f32::to_bits), &[0; 4], &[0; 4]]
        .concat()
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect()
}

/// The offset of the scalars in the step state, in bytes.
pub const SCALARS: usize = 80;

/// Training with nothing besides the optimizer.
pub fn plain(optimizer: &Optimizer) -> Training<'_> {
    const CONSTANT: &Schedule = &Schedule::new(Decay::Constant);
    Training::new(optimizer, CONSTANT)
}

/// Rows of `width` values at a stride, zeros between.
fn padded(values: &[f64], width: usize, rows: usize, stride: usize) -> Vec<f32> {
    let mut result = vec![0.0; rows * stride];
    for (at, &value) in values.iter().enumerate().take(rows * width) {
        result[at / width * stride + at % width] = value as f32;
    }
    result
}

/// Rows of features with a 1 after the last, rounded up to four rows.
fn rows_with_one(values: &[f64], width: usize, rows: usize) -> Vec<f32> {
    let stride = (width / 4 + 1) * 4;
    let mut result = padded(values, width, rows, stride);
    for row in result.chunks_exact_mut(stride) {
        row[width] = 1.0;
    }
    result.resize(rows.next_multiple_of(4) * stride, 0.0);
    result
}

/// Two values beside each weight, four weights at a time.
fn interleaved(moments: &[Vec<f64>; 2], outputs: usize, inputs: usize) -> Vec<f32> {
    let stride = outputs.next_multiple_of(4);
    let [m, v] = moments.each_ref().map(|values| {
        let mut rows = padded(values, outputs, inputs + 1, stride);
        rows.resize((inputs / 4 + 1) * 4 * stride, 0.0);
        rows
    });
    m.chunks_exact(4).zip(v.chunks_exact(4)).flat_map(|(m, v)| m.iter().chain(v).copied()).collect()
}

/// Runs a launch, after the one that it needs first, and gives back the contents of its bindings.
///
/// # Errors
///
/// As [`Gpu::run_once`].
pub fn run_all(gpu: &Gpu, problem: &Problem, launch: &Launch, checks: Checks) -> Result<Vec<Vec<u8>>, Error> {
    let mut contents = problem.contents(launch);
    // Without run-time checks, a kernel would access memory past the end of an empty buffer.
    if let Some(((binding, _), _)) = launch.bindings.iter().zip(&contents).find(|(_, content)| content.is_empty()) {
        return Err(Error::Option(format!("{} binds {binding:?}, which no problem has", launch.kernel)));
    }
    if let Some(first) = launch.partials.as_ref().and_then(|partials| partials.written_by.as_ref()) {
        let sums = run_all(gpu, problem, first, checks)?;
        for ((binding, _), content) in launch.bindings.iter().zip(&mut contents) {
            if *binding == Binding::Partials {
                *content = bytes_of(first, &sums, Binding::Partials).to_vec();
            }
        }
    }
    gpu.run_once(launch, &mut contents, checks)?;
    Ok(contents)
}

/// The bytes of one of a launch's bindings; empty if it has no such binding.
pub fn bytes_of<'a>(launch: &Launch, contents: &'a [Vec<u8>], binding: Binding) -> &'a [u8] {
    let place = launch.bindings.iter().position(|&(bound, _)| bound == binding);
    place.and_then(|place| contents.get(place)).map_or(&[], Vec::as_slice)
}

/// The f32 of one of a launch's bindings.
pub fn floats(launch: &Launch, contents: &[Vec<u8>], binding: Binding) -> Vec<f64> {
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(bytes_of(launch, contents, binding));
    values.into_iter().map(f64::from).collect()
}

/// The first `width` columns of the first `rows` rows.
pub fn unpadded(values: &[f64], stride: usize, rows: usize, width: usize) -> Vec<f64> {
    values.chunks_exact(stride).take(rows).flat_map(|row| &row[..width]).copied().collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}
