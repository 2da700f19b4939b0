//! Dense layer, weight gradient and optimizer step in one pass: `dW = xᵀ·dy`, then `W ← updated(W, dW)`.

use super::binding::{Access, Binding};
use super::composition::{Composition, Matrix, Operand, Part};
use super::input::Input;
use super::launch::{Cost, Launch};
use super::product::Product;
use super::tile::{Blocks, Tile};
use crate::constants::Constants;
use crate::layout::Dense;
use crate::training::{Training, UpdateParts};

/// Blocks of the product: inputs and bias × units, over the rows of the minibatch.
pub fn blocks(dense: Dense) -> Blocks {
    Blocks { m: dense.x_quads(), n: dense.out_quads(), k: dense.batch_blocks() }
}

/// What an update has to know of the step and the layer that it is part of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    /// Whether the gradient is kept in memory, and no weight is changed.
    pub keeps_gradient: bool,
    /// Whether it is the last launch, which moves the step counter on.
    pub closes: bool,
    /// Whether the gradients are still to be divided by the sum of the rows' weights.
    pub weighted_mean: bool,
    /// Whether the layer has no bias, so that the row of the weights after its inputs stays 0. A convolution's patches see to that by themselves.
    pub without_bias: bool,
    /// Whether it is over a strip of the rows, and keeps the sum of all strips.
    pub in_strips: bool,
}

/// What an update does with a gradient of weights.
pub(super) struct Updating {
    pub sink: Part,
    pub scale: Part,
    pub parts: UpdateParts,
    /// How often the bytes of the weights pass between memory and the kernel.
    pub weights_moved: u64,
}

impl Updating {
    pub fn of(training: Training<'_>, step: Step) -> Self {
        let optimizer = training.optimizer;
        let mut weights_moved = 1;
        let sink = if step.keeps_gradient {
            let module = if step.in_strips { "sink/strips" } else { "sink/weight_gradient" };
            Part::new(module, vec![(Binding::WeightGradient, Access::Write)])
        } else {
            weights_moved = 2 * (1 + u64::from(optimizer.slots()));
            let mut bindings = vec![(Binding::Weights, Access::Write), (Binding::State, Access::Write)];
            bindings.extend((optimizer.slots() > 0).then_some((Binding::OptimizerSlots, Access::Write)));
            Part::new("sink/optimizer", bindings)
        };
        let mut scale = vec![];
        let mut parts = training.update_parts();
        if step.keeps_gradient {
            parts.flags.push("keeps_gradient");
        }
        if step.closes {
            parts.flags.push("closes_step");
        }
        if step.weighted_mean {
            parts.flags.push("weighted_mean");
            scale.push((Binding::Stats, Access::Read));
        }
        let module = if step.in_strips { "scale/strips" } else { "scale/mean" };
        Updating { sink, scale: Part::new(module, scale), parts, weights_moved }
    }
}

/// Reads the layer's input and gradient, updates its weights and the optimizer's slots.
pub fn launch(dense: Dense, input: Input, training: Training<'_>, tile: Tile, step: Step) -> Launch {
    let Updating { mut sink, scale, mut parts, weights_moved } = Updating::of(training, step);
    if step.without_bias {
        sink.module = match step.keeps_gradient {
            true => "sink/weight_gradient_without_bias",
            false => "sink/optimizer_without_bias",
        };
        parts.constants.push(("bias_constants", Constants::new().u32("BIAS_ROW", dense.inputs).text()));
    }
    Product {
        kernel: "dense_update",
        input: Some(input),
        mounts: vec![("input", input.module()), parts.mount],
        constants: Constants::new()
            .u32("BATCH", dense.batch)
            .u32("X_QUADS", dense.x_quads())
            .u32("OUT_QUADS", dense.out_quads()),
        other_constants: parts.constants,
        flags: parts.flags,
        blocks: blocks(dense),
        composition: Composition {
            a: Operand::recorded_input_columns(input, dense.batch),
            b: Operand::blocks(Matrix::GRADIENT),
            scale,
            stages: vec![],
            sink,
        },
        cost: Cost {
            flops: dense.flops(),
            bytes: input.bytes(dense) + dense.output_bytes() + weights_moved * dense.weights_bytes(),
        },
    }
    .launch(tile)
}
