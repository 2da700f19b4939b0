//! Dense layer, backward to its input: `dx = (dy·Wᵀ) ⊙ activate′(x)`.

use super::binding::{Access, Binding};
use super::composition::{Composition, Matrix, Operand, Part};
use super::input::Input;
use super::launch::{Cost, Launch};
use super::product::Product;
use super::tile::{Blocks, Tile};
use crate::activation::Epilogue;
use crate::constants::Constants;
use crate::layout::Dense;

/// Blocks of the product: rows of the minibatch × inputs, over the units.
pub fn blocks(dense: Dense) -> Blocks {
    Blocks { m: dense.batch_blocks(), n: dense.inputs.div_ceil(4), k: dense.out_quads() }
}

/// Reads the layer's gradient, weights and input; writes the gradient of the layer below. `below` is the layer
/// that made the input.
pub fn launch(dense: Dense, below: Epilogue, tile: Tile) -> Launch {
    launch_with(dense, Input::Activations, below, false, tile)
}

/// [`launch`]; where it `adds`, with the gradient that another reader of the layer's input contributes: `dx = (dy·Wᵀ + other) ⊙ activate′(x)`,
/// with `other` of the shape of `dx`. It binds [`Binding::OtherGradient`] then. `input` says how the activations below lie.
pub fn launch_with(dense: Dense, input: Input, below: Epilogue, adds: bool, tile: Tile) -> Launch {
    let in_quads = dense.inputs.div_ceil(4);
    let add = adds.then(|| Part::new("stage/add_gradient", vec![(Binding::OtherGradient, Access::Read)]));
    let mask = if below.keeps_derivative() { Binding::Derivatives } else { Binding::Input };
    let derivative = Part::new("stage/derivative", vec![(mask, Access::Read)]);
    Product {
        kernel: "dense_backward",
        input: Some(input),
        mounts: vec![("activation", below.activation.module())],
        constants: Constants::new()
            .u32("BATCH", dense.batch)
            .u32("IN", dense.inputs)
            .u32("IN_QUADS", in_quads)
            .u32("X_QUADS", if input == Input::Flattened { in_quads } else { dense.x_quads() })
            .u32("OUT_QUADS", dense.out_quads()),
        other_constants: vec![],
        flags: if below.keeps_derivative() { vec!["keeps_derivative"] } else { vec![] },
        blocks: blocks(dense),
        composition: Composition {
            a: Operand::rows(Matrix::GRADIENT),
            b: Operand::transposed_blocks(Matrix::WEIGHTS),
            scale: Part::new("scale/none", vec![]),
            stages: add.into_iter().chain([derivative]).collect(),
            sink: Part::new("sink/input_gradient", vec![(Binding::InputGradient, Access::Write)]),
        },
        cost: Cost {
            // The bias has no part in it, nor has its 1.
            flops: 2 * u64::from(dense.batch) * u64::from(dense.inputs) * u64::from(dense.outputs),
            bytes: dense.output_bytes()
                + 64 * u64::from(in_quads) * u64::from(dense.out_quads())
                + (2 + u64::from(adds)) * 16 * u64::from(dense.batch) * u64::from(in_quads),
        },
    }
    .launch(tile)
}
