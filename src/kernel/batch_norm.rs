//! Batch norm, of the rows of a minibatch or of the pixels of its images: `y = (x − mean)/√(σ² + eps) · γ + β`, channel by channel.
//!
//! In training two launches, [`statistics`] of slices of the rows, and [`apply`], in which every workgroup joins the slices in a fixed order and norms its
//! values. On the way back two as well, [`sums`] and [`apply_backward`]. Where an adapter has too few bindings for that, [`merge`] and [`merge_backward`]
//! join the slices in between. In an evaluation [`apply`] alone, with the statistics that training kept.
//! Rows past the minibatch's have no part in statistics. All but an evaluation's read from the step state how many rows count, so they have to run before
//! the launch that moves its counter on.

use super::binding::{Access, Binding};
use super::composition::{Part, each_once, staged};
use super::dense_forward::activate;
use super::launch::{Cost, Launch, Partials};
use super::tile::Family;
use crate::activation::Epilogue;
use crate::constants::Constants;
use crate::layout::quads_with_one;

/// Rows of a slice for each invocation that shares it, at least, where there are as many.
const LEAST_ROWS: u32 = 16;

/// Slices of the rows, at most: every workgroup of [`apply`] joins them.
const MOST_SLICES: u32 = 64;

/// Slices where every invocation joins them: about as many at most, but those of this many workgroups.
const MOST_SLICES_ALONE: u32 = 32;
const WORKGROUPS_OF_SLICES: u32 = 8;

/// Neighbouring quads of channels that a workgroup has at least, where there are as many: 64 bytes.
const LEAST_QUADS: u32 = 4;

/// How a batch norm's invocations are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Team {
    /// Invocations of a workgroup, which share the joining of slices.
    pub workgroup: u32,
    /// Workgroups of a launch, about: more would join the slices more often, fewer leave processors without work.
    pub workgroups: u32,
    /// Whether every invocation joins all slices, instead of a workgroup's together.
    pub is_alone: bool,
}

impl Team {
    /// For a GPU workgroups as large as every adapter has them. For a processor's cores small ones without a barrier: on lavapipe kernels with one take twice
    /// as long.
    pub fn of(family: Family) -> Self {
        match family {
            Family::Hardware => Team { workgroup: 256, workgroups: 512, is_alone: false },
            _ => Team { workgroup: family.row_workgroup(), workgroups: 32, is_alone: true },
        }
    }
}

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
    /// How its invocations are spread.
    pub team: Team,
}

/// What of the channels' quads a workgroup has.
#[derive(Clone, Copy)]
struct Share {
    /// How many quads.
    quads: u32,
    /// Invocations for each.
    lanes: u32,
    /// How many such shares there are.
    count: u32,
}

impl Share {
    /// The share of the quads that leaves the fewest invocations idle; of equal ones the largest, as neighbours are read side by side.
    fn of(quads: u32, workgroup: u32) -> Self {
        let share = |count: u32| {
            let own = quads.div_ceil(count);
            Share { quads: own, lanes: workgroup / own, count }
        };
        let fewest = quads.div_ceil(workgroup);
        let most = (quads / LEAST_QUADS).max(fewest);
        let busy = |share: &Share| u64::from(quads * share.lanes) * 1000 / u64::from(share.count);
        (fewest..=most).rev().map(share).max_by_key(busy).unwrap_or(share(fewest))
    }
}

/// How rows are cut into slices: by the sizes alone.
#[derive(Clone, Copy)]
struct Slices {
    /// How many.
    count: u32,
    /// Neighbouring rows of each.
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

    fn share(self) -> Share {
        Share::of(self.quads(), self.team.workgroup)
    }

    /// Workgroups that have the same quads, about.
    fn workgroups_each(self) -> u32 {
        (self.team.workgroups / self.share().count).max(1)
    }

    /// Blocks of four rows that an invocation of `apply` has.
    fn blocks_each(self) -> u32 {
        self.row_blocks().div_ceil(self.share().lanes * self.workgroups_each())
    }

    fn slices(self) -> Slices {
        let (rows, lanes) = (self.batch * self.pixels, self.share().lanes);
        // What the lanes of a workgroup have are slices, or parts of one.
        let (most, each) = if self.team.is_alone {
            ((MOST_SLICES_ALONE / lanes).max(WORKGROUPS_OF_SLICES), lanes)
        } else {
            (MOST_SLICES, 1)
        };
        let wanted = rows.div_ceil(LEAST_ROWS * lanes).min(most).min(self.workgroups_each());
        let chunk = rows.div_ceil(wanted);
        Slices { count: rows.div_ceil(chunk) * each, chunk }
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
        let (share, slices) = (self.share(), self.slices());
        Constants::new()
            .u32("BATCH", self.batch)
            .u32("PIXELS", self.pixels)
            .u32("CHANNELS", self.channels)
            .u32("QUADS", self.quads())
            .u32("X_QUADS", self.x_quads())
            .u32("TEAM_QUADS", share.quads)
            .u32("QUAD_GROUPS", share.count)
            .u32("LANES", share.lanes)
            .u32("SLICES", slices.count)
            .u32("CHUNK", slices.chunk)
            .u32("WORKGROUP", self.team.workgroup)
            .f32("EPS", self.eps)
            .f32("MOMENTUM", self.momentum)
            .f32("KEPT", 1.0 - self.momentum)
    }

    /// A launch of this many workgroups for each share of the quads, which join what module `part` has.
    fn launch(
        self,
        root: &'static str,
        part: &'static str,
        bindings: Vec<(Binding, Access)>,
        workgroups: u32,
        cost: Cost,
    ) -> Launch {
        Launch {
            kernel: "batch_norm",
            variant: root.trim_start_matches("batch_norm/").replace('_', " "),
            root,
            mounts: vec![("part", part)],
            constants: vec![("constants", self.constants().text())],
            flags: if self.team.is_alone { vec!["alone"] } else { vec![] },
            bindings,
            shape: None,
            parts: vec![],
            partials: None,
            workgroup: self.team.workgroup,
            workgroups: workgroups * self.share().count,
            cost,
        }
    }

    /// A launch that writes slices' statistics or sums.
    fn of_slices(
        self,
        root: &'static str,
        part: &'static str,
        mut bindings: Vec<(Binding, Access)>,
        (flops, read): (u64, u64),
    ) -> Launch {
        bindings.extend([(Binding::State, Access::Write), (Binding::Partials, Access::Write)]);
        let cost = Cost { flops: flops * self.values(), bytes: read * self.bytes() + bytes_of(&self.partials_shape()) };
        let rows = self.batch * self.pixels;
        self.launch(root, part, bindings, rows.div_ceil(self.slices().chunk), cost).with_partials(self)
    }

    /// A launch that joins slices' statistics or sums, and does nothing else.
    fn of_quads(self, root: &'static str, part: &'static str, bindings: Vec<(Binding, Access)>) -> Launch {
        let sums = bytes_of(&self.partials_shape());
        let cost = Cost { flops: sums, bytes: sums + bytes_of(&self.weights_shape()) * bindings.len() as u64 };
        self.launch(root, part, bindings, 1, cost).with_partials(self)
    }

    /// A launch that goes through all rows, with stages and a sink after it.
    fn of_rows(
        self,
        root: &'static str,
        part: &'static str,
        reads: Vec<(Binding, Access)>,
        stages: Vec<Part>,
        sink: Part,
    ) -> Launch {
        let blocks_each = self.blocks_each();
        let (stage_mounts, text) = staged(&stages);
        let bindings = each_once([&reads].into_iter().chain(stages.iter().chain([&sink]).map(|part| &part.bindings)));
        let passes = |of: &&(Binding, Access)| {
            use Binding::{Derivatives, Gradient, Input, InputGradient, OtherGradient, Output, Residual};
            matches!(of.0, Derivatives | Gradient | Input | InputGradient | OtherGradient | Output | Residual)
        };
        let moved = bindings.iter().filter(passes).count() as u64;
        let cost = Cost { flops: 2 * moved * self.values(), bytes: moved * self.bytes() };
        let workgroups = self.row_blocks().div_ceil(blocks_each * self.share().lanes);
        let mut launch = self.launch(root, part, bindings, workgroups, cost);
        launch.mounts.push(("sink", sink.module));
        launch.mounts.extend(stage_mounts);
        let constants = self
            .constants()
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

impl Launch {
    /// Reading or writing the slices of this norm.
    fn with_partials(mut self, norm: BatchNorm) -> Self {
        self.partials = Some(Partials { shape: norm.partials_shape(), written_by: None });
        self
    }
}

/// Bytes of f32 of this shape.
fn bytes_of(shape: &[u32]) -> u64 {
    4 * shape.iter().map(|&side| u64::from(side)).product::<u64>()
}

/// The modules of what is joined: statistics, and sums of the gradient.
const SPREAD: &str = "batch_norm/spread";
const PAIR: &str = "batch_norm/pair";

/// Who joins the slices, where there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joins {
    /// A launch before, as the adapter has too few bindings for both.
    Before,
    /// The launch that uses what is joined.
    Itself,
}

/// Reads [`Binding::Input`], writes mean and squared deviations of each slice to [`Binding::Partials`]. It reads [`Binding::State`].
pub fn statistics(norm: BatchNorm) -> Launch {
    norm.of_slices("batch_norm/statistics", SPREAD, vec![(Binding::Input, Access::Read)], (8, 1))
}

/// What joining the statistics binds: it reads [`Binding::Partials`] and [`Binding::State`], writes [`Binding::Moments`], and where it `moves_running`, moves
/// [`Binding::Running`] on by a step.
fn of_moments(moves_running: bool) -> Vec<(Binding, Access)> {
    let running = moves_running.then_some((Binding::Running, Access::Write));
    [(Binding::Partials, Access::Read), (Binding::State, Access::Write), (Binding::Moments, Access::Write)]
        .into_iter()
        .chain(running)
        .collect()
}

/// Joins what [`statistics`] wrote: writes [`Binding::Moments`], and where it `moves_running`, moves [`Binding::Running`] on by a step. It reads
/// [`Binding::State`].
pub fn merge(norm: BatchNorm, moves_running: bool) -> Launch {
    let mut launch = norm.of_quads("batch_norm/merge", SPREAD, of_moments(moves_running));
    launch.flags.extend(moves_running.then_some("moves_running"));
    launch
}

/// What [`apply`] norms by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// The minibatch's own, which it joins as [`merge`] does, or reads from [`Binding::Moments`].
    Minibatch {
        /// Who joins them.
        joins: Joins,
        /// Whether joining them moves [`Binding::Running`] on.
        moves_running: bool,
    },
    /// Those of training, in [`Binding::Running`].
    Running,
}

/// `y = activate((x − mean)/√(σ² + eps) · γ + β)`, or where it `adds`, `activate(… + residual)`; with dropout where it trains, whose masks `trains` tells from
/// those of others. It reads [`Binding::Input`] and [`Binding::Residual`], and writes [`Binding::Output`] laid out as they are.
pub fn apply(norm: BatchNorm, by: Statistics, epilogue: Epilogue, adds: bool, trains: Option<usize>) -> Launch {
    let (activate, mut flags, texts) = activate(epilogue, trains);
    let add = adds.then(|| Part::new("stage/add_residual", vec![(Binding::Residual, Access::Read)]));
    let mut bindings = [Binding::Input, Binding::Weights].map(|binding| (binding, Access::Read)).to_vec();
    let joins = matches!(by, Statistics::Minibatch { joins: Joins::Itself, .. });
    match by {
        Statistics::Minibatch { joins: Joins::Itself, moves_running } => {
            bindings.extend(of_moments(moves_running));
            flags.push("joins");
            flags.extend(moves_running.then_some("moves_running"));
        }
        Statistics::Minibatch { joins: Joins::Before, .. } => {
            bindings.push((Binding::Moments, Access::Read));
            flags.push("reads_moments");
        }
        Statistics::Running => {
            bindings.push((Binding::Running, Access::Read));
            flags.push("evaluates");
        }
    }
    flags.extend((!norm.is_image && norm.x_quads() > norm.quads()).then_some("one_in_own_quad"));
    let sink = if norm.is_image { "sink/image" } else { "sink/activations" };
    let stages = add.into_iter().chain([activate]).collect();
    let sink = Part::new(sink, vec![(Binding::Output, Access::Write)]);
    let mut launch = norm.of_rows("batch_norm/apply", SPREAD, bindings, stages, sink);
    launch.mounts.push(("activation", epilogue.activation.module()));
    launch.constants.extend(texts.into_iter().chain(epilogue.activation.own_text()));
    launch.flags.extend(flags);
    if joins { launch.with_partials(norm) } else { launch }
}

/// Reads [`Binding::Input`], the gradient by the norm's output and [`Binding::Moments`], writes each slice's Σ dy and Σ dy·x̂ to [`Binding::Partials`]. It reads
/// [`Binding::State`].
pub fn sums(norm: BatchNorm) -> Launch {
    let reads = [Binding::Input, Binding::Gradient, Binding::Moments].map(|binding| (binding, Access::Read)).to_vec();
    norm.of_slices("batch_norm/sums", PAIR, reads, (4, 2))
}

/// Adds to a launch what joining the sums takes: it reads [`Binding::Partials`], [`Binding::Moments`], [`Binding::Weights`] and [`Binding::State`], and
/// [`Binding::Stats`] for the sum of weights where the loss is a `weighted_mean`; it writes [`Binding::WeightGradient`].
fn of_weight_gradient(bindings: &mut Vec<(Binding, Access)>, flags: &mut Vec<&'static str>, weighted_mean: bool) {
    let stats = weighted_mean.then_some(Binding::Stats);
    let reads = [Binding::Partials, Binding::Moments, Binding::Weights].into_iter().chain(stats);
    bindings.extend(reads.map(|binding| (binding, Access::Read)));
    bindings.extend([Binding::State, Binding::WeightGradient].map(|binding| (binding, Access::Write)));
    flags.push("keeps_gradient");
    flags.extend(weighted_mean.then_some("weighted_mean"));
}

/// Joins what [`sums`] wrote: writes [`Binding::WeightGradient`], divided by the sum of the rows' weights where it is a `weighted_mean`, and
/// [`Binding::Coefficients`] for [`apply_backward`]. It reads [`Binding::Moments`], [`Binding::Weights`] and [`Binding::State`], and [`Binding::Stats`] for the
/// sum of weights.
pub fn merge_backward(norm: BatchNorm, weighted_mean: bool) -> Launch {
    let (mut bindings, mut flags) = (vec![], vec![]);
    of_weight_gradient(&mut bindings, &mut flags, weighted_mean);
    bindings.push((Binding::Coefficients, Access::Write));
    let mut launch = norm.of_quads("batch_norm/merge_backward", PAIR, bindings);
    launch.mounts.push(("input", "input/activations"));
    launch.flags.extend(flags);
    launch
}

/// `dx = γ/σ · (dy − (Σ dy + x̂ · Σ dy·x̂)/n)`, and 0 in rows past the minibatch's; then, where it `adds`, plus [`Binding::OtherGradient`], and times the
/// derivative of what made x, from [`Binding::Input`] or [`Binding::Derivatives`]. It reads [`Binding::Gradient`], [`Binding::Input`],
/// and [`Binding::State`], and writes [`Binding::InputGradient`]. Where it joins the sums itself, it binds what [`merge_backward`] does but for
/// [`Binding::Coefficients`], which it reads otherwise.
pub fn apply_backward(
    norm: BatchNorm,
    joins: Joins,
    below: Option<Epilogue>,
    adds: bool,
    weighted_mean: bool,
) -> Launch {
    let keeps = below.is_some_and(Epilogue::keeps_derivative);
    let mask = if keeps { Binding::Derivatives } else { Binding::Input };
    let add = adds.then(|| Part::new("stage/add_gradient", vec![(Binding::OtherGradient, Access::Read)]));
    let derivative = below.map(|_| Part::new("stage/derivative", vec![(mask, Access::Read)]));
    let stages: Vec<Part> = add.into_iter().chain(derivative).collect();
    // A kernel declares no buffer twice: where the derivative's stage, which is the last, reads x as well, it is that stage's.
    let normalized = match below {
        Some(_) if !keeps => format!("stage_{}::x", stages.len() - 1),
        _ => "input::activations as x".into(),
    };
    let mut bindings = [Binding::Gradient, Binding::Input].map(|binding| (binding, Access::Read)).to_vec();
    let mut flags = vec![];
    match joins {
        Joins::Itself => {
            of_weight_gradient(&mut bindings, &mut flags, weighted_mean);
            flags.push("joins");
        }
        Joins::Before => bindings.extend([(Binding::Coefficients, Access::Read), (Binding::State, Access::Write)]),
    }
    let sink = Part::new("sink/input_gradient", vec![(Binding::InputGradient, Access::Write)]);
    let mut launch = norm.of_rows("batch_norm/apply_backward", PAIR, bindings, stages, sink);
    launch.mounts.push(("input", "input/activations"));
    launch.constants.push(("normalized", format!("@publish import package::{normalized};\n")));
    if let Some(below) = below {
        launch.mounts.push(("activation", below.activation.module()));
        launch.constants.extend(below.activation.own_text());
    }
    flags.extend(keeps.then_some("keeps_derivative"));
    launch.flags.extend(flags);
    if joins == Joins::Itself { launch.with_partials(norm) } else { launch }
}
