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
}

impl Rows {
    fn quads(self) -> u32 {
        self.width.div_ceil(4)
    }

    fn bytes(self) -> u64 {
        16 * u64::from(self.batch) * u64::from(self.quads())
    }
}

/// `y = activate(x)`, or where it `adds`, `activate(x + residual)`; with dropout where it trains, whose masks `trains` tells from those of others. It reads
/// [`Binding::Input`] and [`Binding::Residual`], laid out as activations.
pub fn forward(rows: Rows, epilogue: Epilogue, adds: bool, trains: Option<usize>, workgroup: u32) -> Launch {
    let y_quads = quads_with_one(rows.width);
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
        sink: Part::new("sink/activations", vec![(Binding::Output, Access::Write)]),
        activation: epilogue,
        flags,
        texts,
        constants,
    }
    .launch(rows, workgroup)
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
        .u32("X_QUADS", quads_with_one(rows.width));
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
    .launch(rows, workgroup)
}

/// What a map is composed of.
pub(super) struct Map {
    pub kernel: &'static str,
    /// The module that has the quads that the stages begin with.
    pub source: Part,
    pub stages: Vec<Part>,
    pub sink: Part,
    pub activation: Epilogue,
    pub flags: Vec<&'static str>,
    pub texts: Vec<(&'static str, String)>,
    pub constants: Constants,
}

impl Map {
    pub fn launch(self, rows: Rows, workgroup: u32) -> Launch {
        let Part { module, mut bindings } = self.source;
        let source = format!("@publish import package::{}::{{quad, row_offset}};\n", module.replace('/', "::"));
        let (stage_mounts, stages) = staged(&self.stages);
        let mut mounts = vec![("sink", self.sink.module), ("activation", self.activation.activation.module())];
        mounts.extend(stage_mounts);
        let (m, n) = (rows.batch.div_ceil(4), rows.quads());
        let constants = self.constants.u32("M", m).u32("N", n).u32("WORKGROUP", workgroup).text();
        bindings.extend(self.stages.into_iter().chain([self.sink]).flat_map(|part| part.bindings));
        let values = |of: &&(Binding, Access)| of.0 != Binding::State;
        let cost = Cost {
            flops: (bindings.iter().filter(values).count() as u64 - 1) * u64::from(rows.batch) * u64::from(rows.width),
            bytes: bindings.iter().filter(values).count() as u64 * rows.bytes(),
        };
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
