//! What shaders know of a window that slides over an image: of `shaders/window` and of `shaders/pool/windows`.

use crate::constants::Constants;
use crate::layout::Sliding;

/// The sizes of the images and of the window. Of a pair, Y is down and X is across.
pub(super) fn constants(sliding: Sliding) -> Constants {
    let Sliding { input, output, window, .. } = sliding;
    Constants::new()
        .u32("IN_HEIGHT", input.height)
        .u32("IN_WIDTH", input.width)
        .u32("OUT_HEIGHT", output.height)
        .u32("OUT_WIDTH", output.width)
        .u32("PADDING_Y", window.padding[0])
        .u32("PADDING_X", window.padding[1])
        .u32("STRIDE_Y", window.stride[0])
        .u32("STRIDE_X", window.stride[1])
        .u32("WINDOW_HEIGHT", window.size[0])
        .u32("WINDOW_WIDTH", window.size[1])
}
