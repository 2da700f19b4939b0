//! Dense layer, backward to its input: `dx = (dy·Wᵀ) ⊙ activate′(x)`.

use super::binding::{Access, Binding};
use super::input::Input;
use super::launch::{Cost, Launch};
use super::product::Product;
use super::tile::{Blocks, Tile};
use crate::constants::Constants;
use crate::layout::Dense;
use crate::network::Layer;

/// Blocks of the product: rows of the minibatch × inputs, over the units.
pub fn blocks(dense: Dense) -> Blocks {
    Blocks { m: dense.batch_blocks(), n: dense.inputs.div_ceil(4), k: dense.out_quads() }
}

/// Reads the layer's gradient, weights and input; writes the gradient of the layer below. `below` is the layer
/// that made the input.
pub fn launch(dense: Dense, below: Layer, tile: Tile) -> Launch {
    let in_quads = dense.inputs.div_ceil(4);
    Product {
        kernel: "dense_backward",
        input: Some(Input::Activations),
        mounts: vec![("activation", below.activation.module())],
        constants: Constants::new()
            .u32("BATCH", dense.batch)
            .u32("IN", dense.inputs)
            .u32("IN_QUADS", in_quads)
            .u32("X_QUADS", dense.x_quads())
            .u32("OUT_QUADS", dense.out_quads()),
        other_constants: vec![],
        flags: if below.keeps_derivative() { vec!["keeps_derivative"] } else { vec![] },
        operands: vec![(Binding::Weights, Access::Read), (Binding::Gradient, Access::Read)],
        result: vec![
            (if below.keeps_derivative() { Binding::Derivatives } else { Binding::Input }, Access::Read),
            (Binding::InputGradient, Access::Write),
        ],
        blocks: blocks(dense),
        cost: Cost {
            // The bias has no part in it, nor has its 1.
            flops: 2 * u64::from(dense.batch) * u64::from(dense.inputs) * u64::from(dense.outputs),
            bytes: dense.output_bytes()
                + 64 * u64::from(in_quads) * u64::from(dense.out_quads())
                + 2 * 16 * u64::from(dense.batch) * u64::from(in_quads),
        },
    }
    .launch(tile)
}
