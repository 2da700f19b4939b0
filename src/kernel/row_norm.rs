//! Layer, RMS and group norm: `y = activate(γ·x̂ + β)`, and the gradient by the input.
//!
//! Where each row has a statistic of its own, one dispatch has it and normalizes. A group's statistic is over an image: one dispatch computes them, another
//! normalizes, and so on the way back.

use super::binding::{Access, Binding};
use super::composition::{Part, each_once, staged};
use super::dense_forward::activate;
use super::launch::{Cost, Launch, Partials};
use crate::activation::{Activation, Epilogue};
use crate::constants::Constants;
use crate::layout::quads_with_one;

/// The sizes of a norm in one minibatch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Rows of features, or images, of a minibatch.
    pub batch: u32,
    /// Pixels of an image; 1 for rows of features.
    pub pixels: u32,
    /// Features of a row, or channels of a pixel.
    pub channels: u32,
    /// How many groups of channels have a statistic each, over all pixels of an image: group norm. `None`: layer or RMS norm, whose statistics are over
    /// the channels of each row or pixel. It must divide `channels`.
    pub groups: Option<u32>,
    /// Whether rows are the pixels of images, as [`Image`](crate::layout::Image) lies in memory, and not rows of features with a 1 behind.
    pub is_image: bool,
    /// Whether the mean is subtracted; without it, values are divided by the root of their mean square (RMS norm).
    pub centered: bool,
    /// What is added to the variance. It must be above 0 as an f32: rows past the minibatch's may be constant.
    pub eps: f64,
    /// Whether β is added.
    pub has_bias: bool,
}

impl Norm {
    /// Rows that kernels go over: those of a minibatch that is rounded up to a multiple of four.
    pub(super) fn rows(self) -> u32 {
        self.batch.next_multiple_of(4) * self.pixels
    }

    /// Quads of a row's channels.
    pub(super) fn quads(self) -> u32 {
        self.channels.div_ceil(4)
    }

    /// Quads of a row of input or output.
    fn row_quads(self) -> u32 {
        if self.is_image { self.quads() } else { quads_with_one(self.channels) }
    }

    /// The shape of [`Binding::Moments`]: the mean and 1/σ of each statistic.
    pub fn moments_shape(self) -> [u32; 2] {
        let statistics = self.groups.map_or(self.rows(), |groups| self.batch.next_multiple_of(4) * groups);
        [statistics, 2]
    }

    /// The shape of γ and β, and of their gradient.
    pub fn weights_shape(self) -> [u32; 2] {
        [4, 4 * self.quads()]
    }

    /// Values of a minibatch, without padding.
    pub(super) fn values(self) -> u64 {
        u64::from(self.batch) * u64::from(self.pixels) * u64::from(self.channels)
    }

    /// Bytes of a minibatch's rows, up to the last quad of channels.
    pub(super) fn row_bytes(self) -> u64 {
        16 * u64::from(self.batch) * u64::from(self.pixels) * u64::from(self.quads())
    }

    /// What every kernel of a norm is compiled for.
    pub(super) fn constants(self) -> Constants {
        let (quads, row_quads) = (self.quads(), self.row_quads());
        Constants::new()
            .u32("BATCH", self.batch)
            .u32("ROWS", self.rows())
            .u32("M", self.rows() / 4)
            .u32("CHANNELS", self.channels)
            .u32("QUADS", quads)
            .u32("SPAN", if self.groups.is_some() { self.pixels } else { 1 })
            .u32("GROUPS", self.groups.unwrap_or(1))
            .u32("STATISTICS", self.moments_shape()[0])
            .f32("EPS", self.eps)
            // For the stages and the sinks.
            .u32("IN", self.channels)
            .u32("OUT", self.channels)
            .u32("IN_QUADS", quads)
            .u32("OUT_QUADS", quads)
            .u32("X_QUADS", row_quads)
            .u32("Y_QUADS", row_quads)
    }

    /// Its flags in shaders.
    pub(super) fn flags(self) -> Vec<&'static str> {
        let own = [self.centered.then_some("centered"), self.has_bias.then_some("has_bias")];
        own.into_iter().flatten().collect()
    }
}

/// The text of the module that has the norm's input.
pub(super) const SOURCE: &str = "@publish import package::input::activations::activations as x;\n";

/// `y = activate(γ·x̂ + β)`, or where it `adds`, `activate(γ·x̂ + β + residual)`; with dropout where it trains, whose masks `trains` tells from those of
/// others. It binds [`Binding::Input`], [`Binding::Weights`], [`Binding::Moments`] where it trains or has groups, and what follows as `map::forward`.
///
/// With groups it is two launches: the one that `partials` names has to write the moments first. No sums of slices are bound then.
pub fn forward(norm: Norm, epilogue: Epilogue, adds: bool, trains: Option<usize>, workgroup: u32) -> Launch {
    let (activate, stage_flags, texts) = activate(epilogue, trains);
    let add = adds.then(|| Part::new("stage/add_residual", vec![(Binding::Residual, Access::Read)]));
    let sink = if norm.is_image { "sink/image" } else { "sink/activations" };
    let mut flags = norm.flags();
    flags.extend(stage_flags);
    flags.extend((norm.row_quads() > norm.quads()).then_some("one_in_own_quad"));
    let mut bindings = vec![(Binding::Input, Access::Read), (Binding::Weights, Access::Read)];
    if norm.groups.is_some() {
        bindings.push((Binding::Moments, Access::Read));
    } else if trains.is_some() {
        flags.push("keeps_moments");
        bindings.push((Binding::Moments, Access::Write));
    }
    let last = Kernel {
        root: if norm.groups.is_some() { "norm/group_forward" } else { "norm/rows" },
        stages: add.into_iter().chain([activate]).collect(),
        sink: Part::new(sink, vec![(Binding::Output, Access::Write)]),
        epilogue,
        source: SOURCE.into(),
        flags,
        texts,
        bindings,
        invocations: invocations(norm),
        operations: if norm.groups.is_some() { 4 } else { 9 },
    }
    .launch(norm, workgroup);
    if norm.groups.is_none() {
        return last;
    }
    let bindings = vec![(Binding::Input, Access::Read), (Binding::Moments, Access::Write)];
    let moments = by_statistic("norm/group_moments", norm, 5, bindings, workgroup);
    after(moments, last, norm)
}

/// `dz = dx ⊙ activate′(z)`, `dx` the gradient by the norm's input, or where it `adds`, `(dx + other) ⊙ activate′(z)`; without an epilogue `of` what made
/// the input, the sum alone. It binds [`Binding::Gradient`], [`Binding::Input`], [`Binding::Weights`], [`Binding::Moments`], and what follows as
/// `map::backward`.
///
/// With groups it is two launches, with two means of each statistic between them in [`Binding::Partials`].
pub fn backward(norm: Norm, of: Option<Epilogue>, adds: bool, workgroup: u32) -> Launch {
    let add = adds.then(|| Part::new("stage/add_gradient", vec![(Binding::OtherGradient, Access::Read)]));
    let keeps = of.is_some_and(Epilogue::keeps_derivative);
    let mask = if keeps { Binding::Derivatives } else { Binding::Input };
    let derivative = of.map(|_| Part::new("stage/derivative", vec![(mask, Access::Read)]));
    // A buffer is declared once: where the derivative is computed from the norm's input, by its stage.
    let source = match (&derivative, mask) {
        (Some(_), Binding::Input) => format!("@publish import package::stage_{}::x;\n", usize::from(adds)),
        _ => SOURCE.into(),
    };
    let read = [Binding::Gradient, Binding::Input, Binding::Weights, Binding::Moments].map(|read| (read, Access::Read));
    let mut bindings = read.to_vec();
    bindings.extend(norm.groups.map(|_| (Binding::Partials, Access::Read)));
    let mut flags = norm.flags();
    flags.extend(keeps.then_some("keeps_derivative"));
    let last = Kernel {
        root: if norm.groups.is_some() { "norm/group_backward" } else { "norm/rows_backward" },
        stages: add.into_iter().chain(derivative).collect(),
        sink: Part::new("sink/input_gradient", vec![(Binding::InputGradient, Access::Write)]),
        epilogue: of.unwrap_or(Epilogue::of(Activation::Identity)),
        source,
        flags,
        texts: vec![],
        bindings,
        invocations: invocations(norm),
        operations: if norm.groups.is_some() { 7 } else { 13 },
    }
    .launch(norm, workgroup);
    if norm.groups.is_none() {
        return last;
    }
    let bindings = [&read[..], &[(Binding::Partials, Access::Write)]].concat();
    let sums = by_statistic("norm/group_sums", norm, 6, bindings, workgroup);
    after(sums, last, norm)
}

/// Invocations of a kernel that normalizes: one for four rows, which it has to go over, or for a quad of them.
fn invocations(norm: Norm) -> u32 {
    norm.rows() / 4 * norm.groups.map_or(1, |_| norm.quads())
}

/// A launch of groups after the one that goes over their values.
fn after(first: Launch, last: Launch, norm: Norm) -> Launch {
    let [statistics, values] = norm.moments_shape();
    let shape = [1, statistics, values];
    let first = Launch { partials: Some(Partials { shape, written_by: None }), ..first };
    Launch { partials: Some(Partials { shape, written_by: Some(Box::new(first)) }), ..last }
}

/// The launch of a kernel that goes over a statistic's values in each invocation, or of many values in each workgroup, with the floating-point operations of
/// a value.
fn by_statistic(
    root: &'static str,
    norm: Norm,
    operations: u64,
    bindings: Vec<(Binding, Access)>,
    workgroup: u32,
) -> Launch {
    /// Quads of a statistic that are too many for one invocation.
    const MANY: u64 = 1_024;
    /// Invocations that share them, as many as WebGPU promises: an image of a million pixels is 4,096 for each.
    const SHARING: u32 = 256;
    let statistics = norm.moments_shape()[0];
    let quads = u64::from(norm.pixels) * u64::from(norm.channels / norm.groups.unwrap_or(1)).div_ceil(4);
    let mut own = Own { root, invocations: statistics, operations, bindings, flags: norm.flags() };
    if quads < MANY {
        return launch(norm, own, workgroup);
    }
    own.flags.push("team");
    own.invocations = SHARING * statistics;
    launch(norm, own, SHARING)
}

/// What a kernel of a norm has of its own.
pub(super) struct Own {
    pub root: &'static str,
    pub invocations: u32,
    /// Floating-point operations of a value.
    pub operations: u64,
    pub bindings: Vec<(Binding, Access)>,
    pub flags: Vec<&'static str>,
}

/// The launch of a kernel without stages and sink.
pub(super) fn launch(norm: Norm, own: Own, workgroup: u32) -> Launch {
    let is_values = |bound: &&(Binding, Access)| {
        !matches!(
            bound.0,
            Binding::State
                | Binding::Weights
                | Binding::WeightGradient
                | Binding::Moments
                | Binding::Partials
                | Binding::Stats
        )
    };
    let tensors = own.bindings.iter().filter(is_values).count() as u64;
    Launch {
        kernel: "row_norm",
        variant: String::new(),
        root: own.root,
        mounts: vec![],
        constants: vec![
            ("constants", norm.constants().u32("WORKGROUP", workgroup).text()),
            ("norm_source", SOURCE.into()),
        ],
        flags: own.flags,
        bindings: own.bindings,
        shape: None,
        parts: vec![],
        partials: None,
        workgroup,
        workgroups: own.invocations.div_ceil(workgroup),
        cost: Cost { flops: own.operations * norm.values(), bytes: tensors * norm.row_bytes() },
    }
}

/// A kernel with stages and a sink.
struct Kernel {
    root: &'static str,
    stages: Vec<Part>,
    sink: Part,
    epilogue: Epilogue,
    source: String,
    flags: Vec<&'static str>,
    texts: Vec<(&'static str, String)>,
    bindings: Vec<(Binding, Access)>,
    invocations: u32,
    operations: u64,
}

impl Kernel {
    fn launch(self, norm: Norm, workgroup: u32) -> Launch {
        let Kernel { root, stages, sink, epilogue, source, flags, texts, bindings, invocations, operations } = self;
        let (stage_mounts, staged) = staged(&stages);
        let followed = stages.iter().chain([&sink]).map(|part| &part.bindings);
        let bindings = each_once([&bindings].into_iter().chain(followed));
        let mut launch = launch(norm, Own { root, invocations, operations, bindings, flags }, workgroup);
        launch.mounts = vec![("sink", sink.module), ("activation", epilogue.activation.module())];
        launch.mounts.extend(stage_mounts);
        launch.constants.retain(|(name, _)| *name == "constants");
        launch.constants.extend([("norm_source", source), ("stages", staged)]);
        launch.constants.extend(texts.into_iter().chain(epilogue.activation.own_text()));
        launch
    }
}
