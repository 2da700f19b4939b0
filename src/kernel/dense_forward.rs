//! Dense layer, forward: `y = activate(x·W + b)`.

use super::tile::{Blocks, Product, Tile};
use super::{Access, Constants, Cost, Dense, Input, Launch, Slot};
use crate::Activation;

/// Blocks of the product: rows of the minibatch × units, over the inputs.
pub fn blocks(dense: Dense) -> Blocks {
    Blocks { m: dense.batch_blocks(), n: dense.out_quads(), k: dense.x_quads() }
}

/// Reads the input and the weights, writes the activations (or logits, where the activation is the identity).
pub fn launch(dense: Dense, input: Input, activation: Activation, tile: Tile) -> Launch {
    let mut bindings = input.visiting();
    bindings.extend([(Slot::Weights, Access::Read), (Slot::Output, Access::Write)]);
    let mut flags = vec![];
    if activation.keeps_derivative() {
        flags.push("keeps_derivative");
        bindings.push((Slot::Derivatives, Access::Write));
    }
    Product {
        kernel: "dense_forward",
        mounts: vec![("input", input.module()), ("activation", activation.module())],
        constants: Constants::new()
            .u32("BATCH", dense.batch)
            .u32("X_QUADS", dense.x_quads())
            .u32("OUT", dense.outputs)
            .u32("OUT_QUADS", dense.out_quads())
            .u32("Y_QUADS", dense.y_quads()),
        other_constants: vec![],
        flags,
        bindings,
        blocks: blocks(dense),
        cost: Cost {
            flops: dense.flops(),
            bytes: dense.input_bytes(input) + dense.weights_bytes() + dense.output_bytes(),
        },
    }
    .launch(tile)
}
