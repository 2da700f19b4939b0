//! Batch norm, of the rows of a minibatch or of the pixels of its images: `y = (x − mean)/√(σ² + eps) · γ + β`, channel by channel.
//!
//! In training three launches, [`statistics`], [`merge`] and [`apply`]: slices of the rows, their statistics joined in a fixed order, and the values. In an
//! evaluation [`apply`] alone, with the statistics that training kept. On the way back three as well, [`sums`], [`merge_backward`] and [`apply_backward`].
//! Rows past the minibatch's have no part in statistics. All but `apply` read from the step state how many rows count, so they have to run before
//! the launch that moves its counter on.

use super::binding::{Access, Binding};
use super::composition::{Part, each_once, staged};
use super::dense_forward::activate;
use super::launch::{Cost, Launch, Partials};
use crate::activation::Epilogue;
use crate::constants::Constants;
use crate::layout::quads_with_one;

/// Rows of a slice, at least, where there are as many.
const LEAST_ROWS: u32 = 16;

/// Invocations that statistics are spread over, where there are rows for them.
const INVOCATIONS: u32 = 2048;

/// The fewest and the most slices: of many channels, whose quads are parallel by themselves, and of few.
const MOST_SLICES: [u32; 2] = [32, 512];

/// Quads of channels that neighbouring slices read side by side.
const NEIGHBOURS: u32 = 32;

/// Blocks of four rows that an invocation of [`apply`] has at most.
const MOST_ROW_BLOCKS: u32 = 8;

/// The sizes and numbers of one batch norm in one minibatch.
///
/// It binds its weights as a matrix of one input: γ in row 0, β in row 1 of `[4, 4 · quads]`; the running statistics likewise, the mean in row 0, the variance
/// in row 1. A minibatch of one value a channel has no variance: a plan has to refuse it, as PyTorch does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Samples of a minibatch.
    pub batch: u32,
    /// Pixels of a sample: 1 where it is a row of features.
    pub pixels: u32,
    /// Channels of a pixel, or features of a row.
    pub channels: u32,
    /// Whether samples lie as images, without a 1 after each row, or as rows of activations.
    pub is_image: bool,
    /// What is added to the variance.
    pub eps: f64,
    /// The share of a minibatch's statistics in the running ones.
    pub momentum: f64,
}

/// How rows are cut into slices: by the sizes alone.
#[derive(Clone, Copy)]
struct Slices {
    /// How many.
    count: u32,
    /// Slices that take neighbouring rows in turn.
    lanes: u32,
    /// Rows that those share.
    chunk: u32,
}

impl BatchNorm {
    fn quads(self) -> u32 {
        self.channels.div_ceil(4)
    }

    fn x_quads(self) -> u32 {
        if self.is_image { self.quads() } else { quads_with_one(self.channels) }
    }

    /// Blocks of four rows, padding included.
    fn row_blocks(self) -> u32 {
        self.batch.div_ceil(4) * self.pixels
    }

    /// Blocks of four rows that an invocation of `apply` has.
    fn blocks_each(self) -> u32 {
        (self.row_blocks() * self.quads() / INVOCATIONS).clamp(1, MOST_ROW_BLOCKS)
    }

    fn slices(self) -> Slices {
        let rows = self.batch * self.pixels;
        let most = (INVOCATIONS / self.quads()).clamp(MOST_SLICES[0], MOST_SLICES[1]);
        let wanted = rows.div_ceil(LEAST_ROWS).min(most);
        let lanes = (NEIGHBOURS / self.quads()).clamp(1, wanted);
        let chunk = rows.div_ceil(wanted / lanes).next_multiple_of(lanes);
        Slices { count: rows.div_ceil(chunk) * lanes, lanes, chunk }
    }

    /// The shape of the slices' statistics and sums, `[slices, 2, 4 · quads]`, of [`Binding::Partials`].
    pub fn partials_shape(self) -> [u32; 3] {
        [self.slices().count, 2, 4 * self.quads()]
    }

    /// The shape of [`Binding::Moments`]: mean, 1/√(σ² + eps).
    pub fn moments_shape(self) -> [u32; 2] {
        [2, 4 * self.quads()]
    }

    /// The shape of the weights, their gradient, [`Binding::Running`] and [`Binding::Coefficients`].
    pub fn weights_shape(self) -> [u32; 2] {
        [4, 4 * self.quads()]
    }

    /// Bytes of the values, or of their gradient, in one minibatch.
    fn bytes(self) -> u64 {
        16 * u64::from(self.batch) * u64::from(self.pixels) * u64::from(self.quads())
    }

    fn values(self) -> u64 {
        u64::from(self.batch) * u64::from(self.pixels) * u64::from(self.channels)
    }

    fn constants(self) -> Constants {
        let Slices { count, lanes, chunk } = self.slices();
        Constants::new()
            .u32("BATCH", self.batch)
            .u32("PIXELS", self.pixels)
            .u32("CHANNELS", self.channels)
            .u32("QUADS", self.quads())
            .u32("X_QUADS", self.x_quads())
            .u32("SLICES", count)
            .u32("LANES", lanes)
            .u32("CHUNK", chunk)
            .f32("EPS", self.eps)
            .f32("MOMENTUM", self.momentum)
            .f32("KEPT", 1.0 - self.momentum)
    }

    /// A launch of this many invocations, by itself.
    fn launch(
        self,
        root: &'static str,
        bindings: Vec<(Binding, Access)>,
        invocations: u32,
        workgroup: u32,
        cost: Cost,
    ) -> Launch {
        Launch {
            kernel: "batch_norm",
            variant: root.trim_start_matches("batch_norm/").replace('_', " "),
            root,
            mounts: vec![],
            constants: vec![("constants", self.constants().u32("WORKGROUP", workgroup).text())],
            flags: vec![],
            bindings,
            shape: None,
            parts: vec![],
            partials: None,
            workgroup,
            workgroups: invocations.div_ceil(workgroup),
            cost,
        }
    }

    /// A launch that writes slices' statistics or sums.
    fn of_slices(
        self,
        root: &'static str,
        mut bindings: Vec<(Binding, Access)>,
        workgroup: u32,
        (flops, read): (u64, u64),
    ) -> Launch {
        bindings.extend([(Binding::State, Access::Write), (Binding::Partials, Access::Write)]);
        let shape = self.partials_shape();
        let cost = Cost { flops: flops * self.values(), bytes: read * self.bytes() + bytes_of(&shape) };
        let mut launch = self.launch(root, bindings, self.slices().count * self.quads(), workgroup, cost);
        launch.partials = Some(Partials { shape, written_by: None });
        launch
    }

    /// A launch that adds slices' statistics or sums up.
    fn of_quads(
        self,
        root: &'static str,
        mut bindings: Vec<(Binding, Access)>,
        written: &[Binding],
        workgroup: u32,
    ) -> Launch {
        bindings.push((Binding::State, Access::Write));
        bindings.extend(written.iter().map(|&binding| (binding, Access::Write)));
        let shape = self.partials_shape();
        let sums = bytes_of(&shape);
        let cost = Cost { flops: sums, bytes: sums + bytes_of(&self.weights_shape()) * bindings.len() as u64 };
        let mut launch = self.launch(root, bindings, self.quads(), workgroup, cost);
        launch.partials = Some(Partials { shape, written_by: None });
        launch
    }

    /// A launch that goes through all rows, with stages and a sink after it.
    fn of_rows(
        self,
        root: &'static str,
        reads: Vec<(Binding, Access)>,
        stages: Vec<Part>,
        sink: Part,
        workgroup: u32,
    ) -> Launch {
        let blocks_each = self.blocks_each();
        let (stage_mounts, text) = staged(&stages);
        let mut mounts = vec![("sink", sink.module)];
        mounts.extend(stage_mounts);
        let bindings = each_once([&reads].into_iter().chain(stages.iter().chain([&sink]).map(|part| &part.bindings)));
        let passes = |of: &&(Binding, Access)| {
            use Binding::{Derivatives, Gradient, Input, InputGradient, OtherGradient, Output, Residual};
            matches!(of.0, Derivatives | Gradient | Input | InputGradient | OtherGradient | Output | Residual)
        };
        let moved = bindings.iter().filter(passes).count() as u64;
        let cost = Cost { flops: 2 * moved * self.values(), bytes: moved * self.bytes() };
        let parts = self.row_blocks().div_ceil(blocks_each) * self.quads();
        let mut launch = self.launch(root, bindings, parts, workgroup, cost);
        launch.mounts = mounts;
        let constants = self
            .constants()
            .u32("WORKGROUP", workgroup)
            .u32("M", self.row_blocks())
            .u32("ROW_BLOCKS", blocks_each)
            .u32("OUT", self.channels)
            .u32("OUT_QUADS", self.quads())
            .u32("Y_QUADS", self.x_quads())
            .u32("IN", self.channels)
            .u32("IN_QUADS", self.quads());
        launch.constants = vec![("constants", constants.text()), ("stages", text)];
        launch
    }
}

/// Bytes of f32 of this shape.
fn bytes_of(shape: &[u32]) -> u64 {
    4 * shape.iter().map(|&side| u64::from(side)).product::<u64>()
}

/// Reads [`Binding::Input`], writes mean and squared deviations of each slice to [`Binding::Partials`]. It reads [`Binding::State`].
pub fn statistics(norm: BatchNorm, workgroup: u32) -> Launch {
    norm.of_slices("batch_norm/statistics", vec![(Binding::Input, Access::Read)], workgroup, (8, 1))
}

/// Joins what [`statistics`] wrote: writes [`Binding::Moments`], and where it `moves_running`, moves [`Binding::Running`] on by a step. It reads
/// [`Binding::State`].
pub fn merge(norm: BatchNorm, moves_running: bool, workgroup: u32) -> Launch {
    let reads = vec![(Binding::Partials, Access::Read)];
    let written: Vec<Binding> =
        moves_running.then_some(Binding::Running).into_iter().chain([Binding::Moments]).collect();
    let mut launch = norm.of_quads("batch_norm/merge", reads, &written, workgroup);
    launch.flags.extend(moves_running.then_some("moves_running"));
    launch
}

/// What [`apply`] norms by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// The minibatch's own, as [`merge`] wrote them to [`Binding::Moments`].
    Minibatch,
    /// Those of training, in [`Binding::Running`].
    Running,
}

/// `y = activate((x − mean)/√(σ² + eps) · γ + β)`, or where it `adds`, `activate(… + residual)`; with dropout where it trains, whose masks `trains` tells from
/// those of others. It reads [`Binding::Input`] and [`Binding::Residual`], and writes [`Binding::Output`] laid out as they are.
pub fn apply(
    norm: BatchNorm,
    by: Statistics,
    epilogue: Epilogue,
    adds: bool,
    trains: Option<usize>,
    workgroup: u32,
) -> Launch {
    let (activate, mut flags, texts) = activate(epilogue, trains);
    let add = adds.then(|| Part::new("stage/add_residual", vec![(Binding::Residual, Access::Read)]));
    let (statistics, flag) = match by {
        Statistics::Minibatch => (Binding::Moments, None),
        Statistics::Running => (Binding::Running, Some("evaluates")),
    };
    flags.extend(flag);
    flags.extend((!norm.is_image && norm.x_quads() > norm.quads()).then_some("one_in_own_quad"));
    let sink = if norm.is_image { "sink/image" } else { "sink/activations" };
    let reads = [Binding::Input, statistics, Binding::Weights].map(|binding| (binding, Access::Read)).to_vec();
    let stages = add.into_iter().chain([activate]).collect();
    let sink = Part::new(sink, vec![(Binding::Output, Access::Write)]);
    let mut launch = norm.of_rows("batch_norm/apply", reads, stages, sink, workgroup);
    launch.mounts.push(("activation", epilogue.activation.module()));
    launch.constants.extend(texts.into_iter().chain(epilogue.activation.own_text()));
    launch.flags = flags;
    launch
}

/// Reads [`Binding::Input`], the gradient by the norm's output and [`Binding::Moments`], writes each slice's Σ dy and Σ dy·x̂ to [`Binding::Partials`]. It reads
/// [`Binding::State`].
pub fn sums(norm: BatchNorm, workgroup: u32) -> Launch {
    let reads = [Binding::Input, Binding::Gradient, Binding::Moments].map(|binding| (binding, Access::Read)).to_vec();
    norm.of_slices("batch_norm/sums", reads, workgroup, (4, 2))
}

/// Adds up what [`sums`] wrote: writes [`Binding::WeightGradient`], divided by the sum of the rows' weights where it is a `weighted_mean`, and
/// [`Binding::Coefficients`] for [`apply_backward`]. It reads [`Binding::Moments`], [`Binding::Weights`] and [`Binding::State`], and [`Binding::Stats`] for the
/// sum of weights.
pub fn merge_backward(norm: BatchNorm, weighted_mean: bool, workgroup: u32) -> Launch {
    let mut reads = vec![Binding::Partials, Binding::Moments, Binding::Weights];
    reads.extend(weighted_mean.then_some(Binding::Stats));
    let reads = reads.into_iter().map(|binding| (binding, Access::Read)).collect();
    let written = [Binding::WeightGradient, Binding::Coefficients];
    let mut launch = norm.of_quads("batch_norm/merge_backward", reads, &written, workgroup);
    launch.mounts.push(("input", "input/activations"));
    launch.flags = vec!["keeps_gradient"];
    launch.flags.extend(weighted_mean.then_some("weighted_mean"));
    launch
}

/// `dx = γ/σ · (dy − (Σ dy + x̂ · Σ dy·x̂)/n)`, and 0 in rows past the minibatch's; then, where it `adds`, plus [`Binding::OtherGradient`], and times the
/// derivative of what made x, from [`Binding::Input`] or [`Binding::Derivatives`]. It reads [`Binding::Gradient`], [`Binding::Input`],
/// [`Binding::Coefficients`] and [`Binding::State`], and writes [`Binding::InputGradient`].
pub fn apply_backward(norm: BatchNorm, below: Option<Epilogue>, adds: bool, workgroup: u32) -> Launch {
    let keeps = below.is_some_and(Epilogue::keeps_derivative);
    let mask = if keeps { Binding::Derivatives } else { Binding::Input };
    let add = adds.then(|| Part::new("stage/add_gradient", vec![(Binding::OtherGradient, Access::Read)]));
    let derivative = below.map(|_| Part::new("stage/derivative", vec![(mask, Access::Read)]));
    let stages: Vec<Part> = add.into_iter().chain(derivative).collect();
    // A kernel declares no buffer twice: where the derivative's stage, which is the last, reads x as well, it is that stage's.
    let normalized = match below {
        Some(_) if !keeps => format!("stage_{}::x", stages.len() - 1),
        _ => "input::activations::activations as x".into(),
    };
    let mut reads =
        [Binding::Gradient, Binding::Input, Binding::Coefficients].map(|binding| (binding, Access::Read)).to_vec();
    reads.push((Binding::State, Access::Write));
    let sink = Part::new("sink/input_gradient", vec![(Binding::InputGradient, Access::Write)]);
    let mut launch = norm.of_rows("batch_norm/apply_backward", reads, stages, sink, workgroup);
    launch.constants.push(("normalized", format!("@publish import package::{normalized};\n")));
    if let Some(below) = below {
        launch.mounts.push(("activation", below.activation.module()));
        launch.constants.extend(below.activation.own_text());
    }
    launch.flags.extend(keeps.then_some("keeps_derivative"));
    launch
}
