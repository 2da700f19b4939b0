//! Convolutions: products whose rows are the patches of images, and direct sums where channels are in groups.
//!
//! A patch is never written to memory: operand A finds it in the image (`input/patches`). The rows of all products are pixels, of the output in the
//! forward pass and for the weights' gradient, of the input on the way back.

pub mod backward;
pub mod forward;
mod grouped;
pub mod update;

use crate::constants::Constants;
use crate::layout::{Conv, Image, Sliding};

/// The texts of the modules that say how a window slides, and what a patch is made of.
fn texts(conv: Conv) -> Vec<(&'static str, String)> {
    let taps = conv.sliding.window.taps();
    let channels = conv.group_channels();
    let image_quads = conv.sliding.input.quads();
    let patch = Constants::new()
        .u32("TAPS", taps)
        .u32("CHANNELS", channels)
        .u32("IMAGE_QUADS", image_quads)
        .u32("TAP_ROWS", if conv.is_packed() { channels } else { 4 * image_quads })
        .u32("GROUPS", conv.groups)
        .u32("GROUP_OUTPUTS", conv.sliding.output.channels / conv.groups)
        .f32("BIAS", if conv.bias { 1.0 } else { 0.0 });
    vec![window(conv.sliding), ("patch_constants", patch.text())]
}

/// The text of the module that says how a window slides over an image: `shaders/window`.
pub(super) fn window(sliding: Sliding) -> (&'static str, String) {
    let Sliding { input, output, window, .. } = sliding;
    let bits = |pixels: u32| u32::BITS - (pixels - 1).leading_zeros();
    // Taps at the windows' far ends; those at their near ends lie outside where there is padding.
    let last = |outputs: u32, at: usize| {
        let [stride, size, dilation] = [window.stride[at], window.size[at], window.dilation[at]].map(u64::from);
        u64::from(outputs - 1) * stride + (size - 1) * dilation
    };
    let leaves = window.padding != [0, 0]
        || last(output.height, 0) >= u64::from(input.height)
        || last(output.width, 1) >= u64::from(input.width);
    let constants = Constants::new()
        .u32("IN_HEIGHT", input.height)
        .u32("IN_WIDTH", input.width)
        .u32("IN_Y_BITS", bits(input.height))
        .u32("IN_X_BITS", bits(input.width))
        .u32("OUT_HEIGHT", output.height)
        .u32("OUT_WIDTH", output.width)
        .u32("OUT_Y_BITS", bits(output.height))
        .u32("OUT_X_BITS", bits(output.width))
        .u32("SIZE_X", window.size[1])
        .u32("STRIDE_Y", window.stride[0])
        .u32("STRIDE_X", window.stride[1])
        .u32("PADDING_Y", window.padding[0])
        .u32("PADDING_X", window.padding[1])
        .u32("DILATION_Y", window.dilation[0])
        .u32("DILATION_X", window.dilation[1])
        .bool("MAY_LEAVE", leaves);
    ("window_constants", constants.text())
}

/// The module that has the rows of a product: one for each pixel of the output.
fn patches(conv: Conv) -> &'static str {
    if conv.is_packed() && conv.groups == 1 { "input/packed_patches" } else { "input/patches" }
}

/// Pixels of an image in one minibatch, as many as a kernel writes.
fn rows(conv: Conv, image: Image) -> u32 {
    conv.sliding.batch.next_multiple_of(4) * image.pixels()
}

/// Bytes of an image in one minibatch.
fn bytes(conv: Conv, image: Image) -> u64 {
    16 * u64::from(conv.sliding.batch) * u64::from(image.pixels()) * u64::from(image.quads())
}

/// Floating-point operations of one pass, without the bias's.
fn flops(conv: Conv) -> u64 {
    let Sliding { batch, output, window, .. } = conv.sliding;
    let outputs = u64::from(batch) * u64::from(output.pixels()) * u64::from(output.channels);
    2 * outputs * u64::from(window.taps()) * u64::from(conv.group_channels())
}

/// Floating-point operations that the bias adds.
fn bias_flops(conv: Conv) -> u64 {
    let Sliding { batch, output, .. } = conv.sliding;
    2 * u64::from(conv.bias) * u64::from(batch) * u64::from(output.pixels()) * u64::from(output.channels)
}
