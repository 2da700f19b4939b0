//! Convolution, backward to its input: `dx = (Σ dy·Wᵀ over the taps that lie on a pixel) ⊙ activate′(x)`.

use super::grouped;
use crate::activation::Epilogue;
use crate::constants::Constants;
use crate::kernel::binding::{Access, Binding};
use crate::kernel::composition::{Composition, Matrix, Operand, Part};
use crate::kernel::input::Input;
use crate::kernel::launch::{Cost, Launch};
use crate::kernel::map::Map;
use crate::kernel::product::Product;
use crate::kernel::tile::{Blocks, Tile};
use crate::layout::Conv;

/// Blocks of the product: the input's pixels × its channels, over the outputs of every tap.
pub fn blocks(conv: Conv) -> Blocks {
    let input = conv.sliding.input;
    let k = conv.sliding.window.taps() * conv.dense().out_quads();
    Blocks { m: input.rows(conv.sliding.batch) / 4, n: input.quads(), k }
}

/// Reads the gradient by the output, the weights and the image that came in; writes the gradient by that image, before the activation of `below`,
/// which made it. Where it `adds`, with the gradient that another reader of the image contributes ([`Binding::OtherGradient`]). Where channels are in groups,
/// the tile says no more than how large a workgroup is.
pub fn launch(conv: Conv, below: Epilogue, adds: bool, tile: Tile) -> Launch {
    let (dense, input) = (conv.dense(), conv.sliding.input);
    let add = adds.then(|| Part::new("stage/add_gradient", vec![(Binding::OtherGradient, Access::Read)]));
    let mask = if below.keeps_derivative() { Binding::Derivatives } else { Binding::Input };
    let derivative = Part::new("stage/derivative", vec![(mask, Access::Read)]);
    let constants = Constants::new()
        .u32("BATCH", conv.sliding.batch)
        .u32("IN", input.channels)
        .u32("IN_QUADS", input.quads())
        .u32("X_QUADS", input.quads())
        .u32("OUT_QUADS", dense.out_quads());
    let texts = super::texts(conv);
    let flags = if below.keeps_derivative() { vec!["keeps_derivative"] } else { vec![] };
    let stages = add.into_iter().chain([derivative]).collect();
    let sink = Part::new("sink/input_gradient", vec![(Binding::InputGradient, Access::Write)]);
    let cost = Cost {
        flops: super::flops(conv),
        bytes: conv.sliding.output_bytes() + dense.weights_bytes() + (2 + u64::from(adds)) * conv.sliding.input_bytes(),
    };
    if conv.groups > 1 {
        let (kernel, source) = ("conv_backward", grouped::source("grouped/input_gradient", Binding::Gradient));
        let sums = Map { kernel, source, stages, sink, activation: below, flags, texts, constants };
        return grouped::launch(sums, conv, input, tile, cost);
    }
    // Under a window of one pixel, a row of the gradient is that of the pixel, and the weights are a matrix as they lie.
    let (gradient, weights) = match conv.is_pointwise() {
        true => (Matrix::GRADIENT, Matrix::WEIGHTS),
        false => (Matrix::GRADIENT_OF_TAPS, Matrix::WEIGHTS_OF_TAPS),
    };
    Product {
        kernel: "conv_backward",
        input: Some(input_of(conv)),
        mounts: vec![("activation", below.activation.module())],
        constants,
        other_constants: texts,
        flags,
        blocks: blocks(conv),
        composition: Composition {
            a: Operand::rows(gradient),
            b: Operand::transposed_blocks(weights),
            scale: Part::new("scale/none", vec![]),
            stages,
            sink,
        },
        cost,
    }
    .launch(tile)
}

/// What rows of the product are made of: pixels as they lie, or the gradient by all outputs that a pixel lies under.
pub fn input_of(conv: Conv) -> Input {
    if conv.is_pointwise() { Input::Activations } else { Input::Patches }
}
