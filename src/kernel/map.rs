//! Stages by themselves, element by element, where no product has them in its epilogue: sums, activations and dropout, and their derivatives.
//!
//! A map reads and writes each value once, and computes with it what a product would have before it stored it.

use super::binding::{Access, Binding};
use super::composition::{Part, staged};
use super::dense_forward::activate;
use super::launch::{Cost, Launch};
use crate::activation::Epilogue;
use crate::constants::Constants;
use crate::layout::quads_with_one;

/// A tensor of a minibatch that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Rows of the minibatch.
    pub batch: u32,
    /// Features of a row.
    pub width: u32,
    /// Whether rows are the pixels of images, and have no 1 behind them: those of a minibatch that is rounded up to four images.
    pub is_image: bool,
}

impl Rows {
    fn quads(self) -> u32 {
        self.width.div_ceil(4)
    }

    /// Quads of a row of activations.
    fn quads_of_activations(self) -> u32 {
        if self.is_image { self.quads() } else { quads_with_one(self.width) }
    }

    fn bytes(self) -> u64 {
        16 * u64::from(self.batch) * u64::from(self.quads())
    }
}

/// `y = activate(x)`, or where it `adds`, `activate(x + residual)`; with dropout where it trains, whose masks `trains` tells from those of others. It reads
/// [`Binding::Input`] and [`Binding::Residual`], laid out as activations.
pub fn forward(rows: Rows, epilogue: Epilogue, adds: bool, trains: Option<usize>, workgroup: u32) -> Launch {
    let y_quads = rows.quads_of_activations();
    let (activate, mut flags, texts) = activate(epilogue, trains);
    flags.extend((y_quads > rows.quads()).then_some("one_in_own_quad"));
    let add = adds.then(|| Part::new("stage/add_residual", vec![(Binding::Residual, Access::Read)]));
    let constants = Constants::new()
        .u32("BATCH", rows.batch)
        .u32("OUT", rows.width)
        .u32("OUT_QUADS", rows.quads())
        .u32("X_QUADS", y_quads)
        .u32("Y_QUADS", y_quads);
    Map {
        kernel: "map",
        source: Part::new("input/activations", vec![(Binding::Input, Access::Read)]),
        stages: add.into_iter().chain([activate]).collect(),
        sink: Part::new(
            if rows.is_image { "sink/image" } else { "sink/activations" },
            vec![(Binding::Output, Access::Write)],
        ),
        activation: epilogue,
        flags,
        texts,
        constants,
    }
    .launch_over(rows, workgroup)
}

/// `dz = dy ⊙ activate′(z)`, or where it `adds`, `(dy + other) ⊙ activate′(z)`; without an epilogue, the sum alone. It reads [`Binding::Gradient`] and
/// [`Binding::OtherGradient`], and [`Binding::Input`] or [`Binding::Derivatives`] for the derivative, as `dense_backward` does.
pub fn backward(rows: Rows, of: Option<Epilogue>, adds: bool, workgroup: u32) -> Launch {
    let add = adds.then(|| Part::new("stage/add_gradient", vec![(Binding::OtherGradient, Access::Read)]));
    let keeps = of.is_some_and(Epilogue::keeps_derivative);
    let mask = if keeps { Binding::Derivatives } else { Binding::Input };
    let derivative = of.map(|_| Part::new("stage/derivative", vec![(mask, Access::Read)]));
    let constants = Constants::new()
        .u32("BATCH", rows.batch)
        .u32("IN", rows.width)
        .u32("IN_QUADS", rows.quads())
        .u32("OUT_QUADS", rows.quads())
        .u32("X_QUADS", rows.quads_of_activations());
    Map {
        kernel: "map",
        source: Part::new("matrix/gradient", vec![(Binding::Gradient, Access::Read)]),
        stages: add.into_iter().chain(derivative).collect(),
        sink: Part::new("sink/input_gradient", vec![(Binding::InputGradient, Access::Write)]),
        activation: of.unwrap_or(Epilogue::of(crate::activation::Activation::Identity)),
        flags: if keeps { vec!["keeps_derivative"] } else { vec![] },
        texts: vec![],
        constants,
    }
    .launch_over(rows, workgroup)
}

/// What a map is composed of. Kernels whose rows are made from several places of a tensor are maps too: their source has one function more to it.
pub(super) struct Map {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Where rows begin and the quads that the stages begin with.
    pub source: Part,
    /// In the order in which they are applied.
    pub stages: Vec<Part>,
    pub sink: Part,
    /// The activation that a stage applies or has the derivative of.
    pub activation: Epilogue,
    pub flags: Vec<&'static str>,
    pub texts: Vec<(&'static str, String)>,
    pub constants: Constants,
}

impl Map {
    /// One value in and one out for each element.
    fn launch_over(self, rows: Rows, workgroup: u32) -> Launch {
        let tensors = self.bindings().iter().filter(|(binding, _)| *binding != Binding::State).count() as u64;
        let cost = Cost {
            flops: (tensors - 1) * u64::from(rows.batch) * u64::from(rows.width),
            bytes: tensors * rows.bytes(),
        };
        self.launch(rows.batch.div_ceil(4), rows.quads(), cost, workgroup)
    }

    /// The source's, the stages' and the sink's.
    fn bindings(&self) -> Vec<(Binding, Access)> {
        let parts = [&self.source].into_iter().chain(&self.stages).chain([&self.sink]);
        parts.flat_map(|part| part.bindings.iter().copied()).collect()
    }

    /// Of `m` groups of four rows, `n` quads each.
    pub fn launch(self, m: u32, n: u32, cost: Cost, workgroup: u32) -> Launch {
        let bindings = self.bindings();
        let module = self.source.module.replace('/', "::");
        let source = format!("@publish import package::{module}::{{quad, row_offset}};\n");
        let (stage_mounts, stages) = staged(&self.stages);
        let mut mounts = vec![("sink", self.sink.module), ("activation", self.activation.activation.module())];
        mounts.extend(stage_mounts);
        let constants = self.constants.u32("M", m).u32("N", n).u32("WORKGROUP", workgroup).text();
        Launch {
            kernel: self.kernel,
            variant: String::new(),
            root: "map",
            mounts,
            constants: [("constants", constants), ("source_a", source), ("stages", stages)]
                .into_iter()
                .chain(self.texts)
                .chain(self.activation.activation.own_text())
                .collect(),
            flags: self.flags,
            bindings,
            shape: None,
            parts: vec![],
            partials: None,
            workgroup,
            workgroups: (m * n).div_ceil(workgroup),
            cost,
        }
    }
}
