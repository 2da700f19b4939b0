//! Convolutions: products whose rows are the patches of images, and direct sums where channels are in groups.
//!
//! A patch is never written to memory: operand A finds it in the image (`input/patches`). The rows of all products are pixels, of the output in the
//! forward pass and for the weights' gradient, of the input on the way back.

pub mod backward;
pub mod forward;
mod grouped;
pub mod update;

use super::window;
use crate::constants::Constants;
use crate::layout::{Conv, Sliding, Window};

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
    vec![window_text(conv.sliding), ("patch_constants", patch.text())]
}

/// The text of the module that says how a window slides over an image: `shaders/window`.
fn window_text(sliding: Sliding) -> (&'static str, String) {
    let Sliding { input, output, window: Window { size, stride, padding, dilation }, .. } = sliding;
    let bits = |pixels: u32| u32::BITS - (pixels - 1).leading_zeros();
    // Taps at the windows' far ends; those at their near ends lie outside where there is padding.
    let last = |outputs: u32, at: usize| {
        let [stride, size, dilation] = [stride[at], size[at], dilation[at]].map(u64::from);
        u64::from(outputs - 1) * stride + (size - 1) * dilation
    };
    let leaves = padding != [0, 0]
        || last(output.height, 0) >= u64::from(input.height)
        || last(output.width, 1) >= u64::from(input.width);
    let constants = window::constants(sliding)
        .u32("IN_Y_BITS", bits(input.height))
        .u32("IN_X_BITS", bits(input.width))
        .u32("OUT_Y_BITS", bits(output.height))
        .u32("OUT_X_BITS", bits(output.width))
        .u32("DILATION_Y", dilation[0])
        .u32("DILATION_X", dilation[1])
        .bool("MAY_LEAVE", leaves);
    ("window_constants", constants.text())
}

/// The module that has the rows of a product: one for each pixel of the output.
fn patches(conv: Conv) -> &'static str {
    match conv.is_packed() && conv.groups == 1 {
        true => "input/packed_patches",
        false if conv.is_pointwise() => "input/pixels",
        false => "input/patches",
    }
}

/// Floating-point operations of one pass, without the bias's.
fn flops(conv: Conv) -> u64 {
    let Sliding { batch, output, window, .. } = conv.sliding;
    2 * output.values(batch) * u64::from(window.taps()) * u64::from(conv.group_channels())
}

/// Floating-point operations that the bias adds.
fn bias_flops(conv: Conv) -> u64 {
    2 * u64::from(conv.bias) * conv.sliding.output.values(conv.sliding.batch)
}
