//! Convolution, forward: `y = activate(x ∗ W + b)`, with dropout where it trains.

use super::grouped;
use crate::activation::Epilogue;
use crate::constants::Constants;
use crate::kernel::binding::{Access, Binding};
use crate::kernel::composition::{Composition, Matrix, Operand, Part};
use crate::kernel::dense_forward::activate;
use crate::kernel::input::Input;
use crate::kernel::launch::{Cost, Launch};
use crate::kernel::map::Map;
use crate::kernel::product::Product;
use crate::kernel::tile::{Blocks, Tile};
use crate::layout::Conv;

/// Blocks of the product: the output's pixels × its channels, over the patch.
pub fn blocks(conv: Conv) -> Blocks {
    let dense = conv.dense();
    // Whole quads have the bias in one of its own, which is left out where there is none.
    let k = if conv.bias || conv.is_packed() { dense.x_quads() } else { dense.inputs / 4 };
    Blocks { m: dense.batch_blocks(), n: dense.out_quads(), k }
}

/// Reads the image and the weights, writes the activations, an image without 1. `trains` is as in
/// [`dense_forward`](crate::kernel::dense_forward::launch). Where it `adds`, it binds [`Binding::Residual`], an image of the output's sizes. Where channels
/// are in groups, the tile says no more than how large a workgroup is.
pub fn launch(conv: Conv, epilogue: Epilogue, trains: Option<usize>, adds: bool, tile: Tile) -> Launch {
    let dense = conv.dense();
    let (activate, flags, texts) = activate(epilogue, trains);
    let add = adds.then(|| Part::new("stage/add_residual", vec![(Binding::Residual, Access::Read)]));
    let constants = Constants::new()
        .u32("BATCH", conv.sliding.batch)
        .u32("OUT", dense.outputs)
        .u32("OUT_QUADS", dense.out_quads())
        .u32("Y_QUADS", dense.out_quads());
    let texts = texts.into_iter().chain(epilogue.activation.own_text()).chain(super::texts(conv)).collect();
    let stages = add.into_iter().chain([activate]).collect();
    let sink = Part::new("sink/image", vec![(Binding::Output, Access::Write)]);
    let output = super::bytes(conv, conv.sliding.output);
    let cost = Cost {
        flops: super::flops(conv) + super::bias_flops(conv),
        bytes: super::bytes(conv, conv.sliding.input) + dense.weights_bytes() + (1 + u64::from(adds)) * output,
    };
    if conv.groups > 1 {
        let (kernel, source) = ("conv_forward", grouped::source("grouped/forward", Binding::Input));
        let sums = Map { kernel, source, stages, sink, activation: epilogue, flags, texts, constants };
        return grouped::launch(sums, conv, conv.sliding.output, tile, cost);
    }
    Product {
        kernel: "conv_forward",
        input: Some(Input::Activations),
        mounts: vec![("input", super::patches(conv)), ("activation", epilogue.activation.module())],
        constants,
        other_constants: texts,
        flags,
        blocks: blocks(conv),
        composition: Composition {
            a: Operand::input_rows(Input::Activations),
            b: Operand::blocks(Matrix::WEIGHTS),
            scale: Part::new("scale/none", vec![]),
            stages,
            sink,
        },
        cost,
    }
    .launch(tile)
}
