//! Convolution, weight gradient and optimizer step in one pass: `dW = patchesᵀ·dy`, then `W ← updated(W, dW)`.

use super::grouped;
use crate::constants::Constants;
use crate::kernel::composition::{Composition, Matrix, Operand};
use crate::kernel::dense_update::{Step, Updating};
use crate::kernel::input::Input;
use crate::kernel::launch::{Cost, Launch};
use crate::kernel::product::Product;
use crate::kernel::tile::{Blocks, Tile};
use crate::layout::Conv;
use crate::training::Training;

/// Blocks of the product: the patch and the bias × the output's channels, over the output's pixels.
pub fn blocks(conv: Conv) -> Blocks {
    let dense = conv.dense();
    Blocks { m: dense.x_quads(), n: dense.out_quads(), k: dense.batch_blocks() }
}

/// Reads the image and the gradient by the output, updates the weights and the optimizer's slots, or keeps the gradient. The gradient must be 0 in images
/// past the minibatch's. Where channels are in groups, it is two launches, and the tile says no more than how large the workgroups of the first are.
pub fn launch(conv: Conv, training: Training<'_>, tile: Tile, step: Step) -> Launch {
    let dense = conv.dense();
    let updating = Updating::of(training, step);
    let cost = Cost {
        flops: super::flops(conv) + super::bias_flops(conv),
        bytes: conv.sliding.input_bytes()
            + conv.sliding.output_bytes()
            + updating.weights_moved * dense.weights_bytes(),
    };
    if conv.groups > 1 {
        return grouped::update(conv, updating, tile, cost);
    }
    let Updating { sink, scale, parts, .. } = updating;
    Product {
        kernel: "conv_update",
        input: Some(Input::Activations),
        mounts: vec![("input", super::patches(conv)), parts.mount],
        constants: Constants::new().u32("BATCH", conv.sliding.batch).u32("OUT_QUADS", dense.out_quads()),
        other_constants: [parts.constants, super::texts(conv)].concat(),
        flags: parts.flags,
        blocks: blocks(conv),
        composition: Composition {
            a: Operand::recorded_input_columns(Input::Activations, dense.batch),
            b: Operand::blocks(Matrix::GRADIENT),
            scale,
            stages: vec![],
            sink,
        },
        cost,
    }
    .launch(tile)
}
