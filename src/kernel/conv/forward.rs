//! Convolution, forward: `y = activate(x ∗ W + b)`, with dropout where it trains, and the max pool between the sum and the activation.

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
use crate::layout::{Conv, Image};

/// Blocks of the product: the output's pixels × its channels, over the patch.
pub fn blocks(conv: Conv) -> Blocks {
    let dense = conv.dense();
    // Whole quads have the bias in one of its own, which is left out where there is none.
    let k = if conv.bias || conv.is_packed() { dense.x_quads() } else { dense.inputs / 4 };
    Blocks { m: dense.batch_blocks(), n: dense.out_quads(), k }
}

/// The same where a max pool follows: a block has the four pixels under a window, and pixels that no window covers are in none.
pub fn blocks_of_windows(conv: Conv) -> Blocks {
    Blocks { m: pooled(conv).rows(conv.sliding.batch), ..blocks(conv) }
}

/// The image that comes out of the pool.
fn pooled(conv: Conv) -> Image {
    let Image { height, width, channels } = conv.sliding.output;
    Image { height: height / 2, width: width / 2, channels }
}

/// Reads the image and the weights, writes the activations, an image without 1. `trains` is as in
/// [`dense_forward`](crate::kernel::dense_forward::launch). Where it `adds`, it binds [`Binding::Residual`], an image of the output's sizes. Where channels
/// are in groups, the tile says no more than how large a workgroup is.
pub fn launch(conv: Conv, epilogue: Epilogue, trains: Option<usize>, adds: bool, tile: Tile) -> Launch {
    launch_with(conv, false, epilogue, trains, adds, tile)
}

/// [`launch`]; where it `pools`, with a max pool that [`can_be_fused`](crate::kernel::pool::can_be_fused) behind the sum and the residual, and before the
/// activation and the dropout. It writes the pool's output then, and where it trains, [`Binding::Winners`] as
/// [`max_forward`](crate::kernel::pool::max_forward) does. Channels are in one group.
pub fn launch_with(
    conv: Conv,
    pools: bool,
    epilogue: Epilogue,
    trains: Option<usize>,
    adds: bool,
    tile: Tile,
) -> Launch {
    debug_assert!(!pools || conv.groups == 1, "no kernel pools what is in groups");
    let dense = conv.dense();
    let (activate, mut flags, texts) = activate(epilogue, trains);
    let residual = (Binding::Residual, Access::Read);
    let add = (adds && !pools).then(|| Part::new("stage/add_residual", vec![residual]));
    let constants = constants(conv);
    let texts = texts.into_iter().chain(epilogue.activation.own_text()).chain(super::texts(conv)).collect();
    let stages = add.into_iter().chain([activate]).collect();
    let input = if pools && conv.is_pointwise() { "input/patches" } else { super::patches(conv) };
    let mut mounts = vec![("input", input), ("activation", epilogue.activation.module())];
    let output = conv.sliding.output_bytes();
    let (sink, written) = if pools {
        flags.push("by_windows");
        flags.extend(trains.map(|_| "keeps_winners"));
        flags.extend(adds.then_some("adds_to_pixels"));
        mounts.extend(adds.then_some(("sum", "stage/add_residual")));
        pooled_sink(conv, trains.is_some(), adds.then_some(residual))
    } else {
        (Part::new("sink/image", vec![(Binding::Output, Access::Write)]), output)
    };
    let cost = Cost {
        flops: super::flops(conv) + super::bias_flops(conv),
        bytes: conv.sliding.input_bytes() + dense.weights_bytes() + written + if adds { output } else { 0 },
    };
    if conv.groups > 1 {
        let (kernel, source) = ("conv_forward", grouped::source("grouped/forward", Binding::Input));
        let sums = Map { kernel, source, stages, sink, activation: epilogue, flags, texts, constants };
        return grouped::launch(sums, conv, conv.sliding.output, tile, cost);
    }
    Product {
        kernel: "conv_forward",
        input: Some(input_of(conv, pools)),
        mounts,
        constants,
        other_constants: texts,
        flags,
        blocks: if pools { blocks_of_windows(conv) } else { blocks(conv) },
        composition: Composition {
            a: match input_of(conv, pools) {
                Input::Patches => Operand::patches(),
                input => Operand::input_rows(input),
            },
            b: Operand::blocks(Matrix::WEIGHTS),
            scale: Part::new("scale/none", vec![]),
            stages,
            sink,
        },
        cost,
    }
    .launch(tile)
}

/// What rows of the product are made of: pixels as they lie, or what is under a window. A tile of windows takes the pixels under one together, which are no neighbours in memory.
pub fn input_of(conv: Conv, pools: bool) -> Input {
    if conv.is_pointwise() && !pools { Input::Activations } else { Input::Patches }
}

/// The sizes that all modules of the kernel know.
fn constants(conv: Conv) -> Constants {
    let dense = conv.dense();
    Constants::new()
        .u32("BATCH", conv.sliding.batch)
        .u32("OUT", dense.outputs)
        .u32("OUT_QUADS", dense.out_quads())
        .u32("Y_QUADS", dense.out_quads())
}

/// The sink that pools, and the bytes that it writes. It binds what is added to each pixel.
fn pooled_sink(conv: Conv, keeps_winners: bool, residual: Option<(Binding, Access)>) -> (Part, u64) {
    let winners = keeps_winners.then_some((Binding::Winners, Access::Write));
    let bindings = [(Binding::Output, Access::Write)].into_iter().chain(winners).chain(residual);
    let written = pooled(conv).bytes(conv.sliding.batch);
    (Part::new("sink/pooled_image", bindings.collect()), written + if keeps_winners { written / 4 } else { 0 })
}
