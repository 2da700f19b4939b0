//! Pools: the largest value or the mean under each window of an image, or of the whole image, and the gradients by that image.
//!
//! All but the forward pass of the global one are maps, whose source reads what is under a window, or, on the way back, the windows over a pixel: no
//! gradient is scattered, and the windows over a pixel add up in a fixed order. Windows have no dilation, each has a pixel of the image under it, and they
//! are no larger than [`Window::fits_pools`] says.

use super::binding::{Access, Binding};
use super::composition::Part;
use super::launch::{Cost, Launch};
use super::map::Map;
use super::window;
use crate::activation::{Activation, Epilogue};
use crate::constants::Constants;
use crate::layout::{Image, Sliding, Window, quads_with_one};

/// Words of a quad of [`Binding::Winners`], which has `[BATCH₄, height, width, ceil(C / 4)]` of them, of the output's size: 1 where a window has at most 256
/// taps, else 2.
pub fn winner_words(window: Window) -> u32 {
    1 + u32::from(window.taps() > 256)
}

/// Whether a convolution's kernel takes in a max pool that follows it: of 2 × 2 windows side by side, which a product has in blocks of four rows.
pub fn can_be_fused(sliding: Sliding) -> bool {
    let Sliding { input, output, window, .. } = sliding;
    let is_plain = window == Window { size: [2, 2], stride: [2, 2], padding: [0, 0], dilation: [1, 1] };
    is_plain && [output.height, output.width] == [input.height / 2, input.width / 2]
}

/// The largest value under each window. Padding never wins; of equal values the first wins; what is not a number wins over what is. It reads
/// [`Binding::Input`] and writes [`Binding::Output`], both laid out as images; where it `keeps_winners`, for [`max_backward`], also [`Binding::Winners`].
pub fn max_forward(sliding: Sliding, keeps_winners: bool, workgroup: u32) -> Launch {
    let mut flags = window_flags(sliding);
    let mut source = vec![(Binding::Input, Access::Read)];
    if keeps_winners {
        flags.push("keeps_winners");
        flags.extend(winner_flag(sliding.window));
        source.push((Binding::Winners, Access::Write));
    }
    let winners = if keeps_winners { winner_bytes(sliding) } else { 0 };
    forward("max_pool", Part::new("pool/max", source), flags, sliding, winners, workgroup)
}

/// The gradient by a max pool's input: what each pixel has won. With `below`, the epilogue of what made the input, it is the gradient before that; where it
/// `adds`, [`Binding::OtherGradient`] is added first. It reads [`Binding::Gradient`] and [`Binding::Winners`], for the derivative [`Binding::Input`] or
/// [`Binding::Derivatives`], and writes [`Binding::InputGradient`], all laid out as images.
pub fn max_backward(sliding: Sliding, below: Option<Epilogue>, adds: bool, workgroup: u32) -> Launch {
    let source = vec![(Binding::Gradient, Access::Read), (Binding::Winners, Access::Read)];
    let flags = winner_flag(sliding.window).into_iter().collect();
    let read = sliding.output_bytes() + winner_bytes(sliding);
    Backward { kernel: "max_pool_backward", source: Part::new("pool/max_gradient", source), flags, read, below, adds }
        .launch(sliding.batch, sliding.input, covers(sliding), window_constants(sliding), workgroup)
}

/// The mean under each window, without the padding. It reads [`Binding::Input`] and writes [`Binding::Output`], both laid out as images.
pub fn average_forward(sliding: Sliding, workgroup: u32) -> Launch {
    let source = Part::new("pool/average", vec![(Binding::Input, Access::Read)]);
    forward("average_pool", source, window_flags(sliding), sliding, 0, workgroup)
}

/// The gradient by an average pool's input. It reads [`Binding::Gradient`]; all else is as with [`max_backward`].
pub fn average_backward(sliding: Sliding, below: Option<Epilogue>, adds: bool, workgroup: u32) -> Launch {
    Backward {
        kernel: "average_pool_backward",
        source: Part::new("pool/average_gradient", vec![(Binding::Gradient, Access::Read)]),
        flags: window_flags(sliding),
        read: sliding.output_bytes(),
        below,
        adds,
    }
    .launch(sliding.batch, sliding.input, covers(sliding), window_constants(sliding), workgroup)
}

/// The mean of each image's pixels. It reads [`Binding::Input`], laid out as images, and writes [`Binding::Output`], a row of activations an image, with
/// its 1.
pub fn global_average_forward(batch: u32, image: Image, workgroup: u32) -> Launch {
    debug_assert!(image.fits_global_pool(), "{image:?} is too large");
    let (images, y_quads) = (batch.next_multiple_of(4), quads_with_one(image.channels));
    let constants = Constants::new()
        .u32("IMAGES", images)
        .u32("OUT", image.channels)
        .u32("PIXELS", image.pixels())
        .u32("WORKGROUP", workgroup)
        .u32("X_QUADS", image.quads())
        .u32("Y_QUADS", y_quads);
    Launch {
        kernel: "global_average_pool",
        variant: String::new(),
        root: "global_average_pool",
        mounts: vec![],
        constants: vec![("constants", constants.text())],
        flags: vec![],
        bindings: vec![(Binding::Input, Access::Read), (Binding::Output, Access::Write)],
        shape: None,
        parts: vec![],
        partials: None,
        workgroup,
        workgroups: (images * y_quads).div_ceil(workgroup),
        cost: Cost { flops: image.values(batch), bytes: image.bytes(batch) + row_bytes(batch, y_quads) },
    }
}

/// The gradient by a global average pool's input. It reads [`Binding::Gradient`], a row of gradients an image; all else is as with [`max_backward`].
pub fn global_average_backward(
    batch: u32,
    image: Image,
    below: Option<Epilogue>,
    adds: bool,
    workgroup: u32,
) -> Launch {
    Backward {
        kernel: "global_average_pool_backward",
        source: Part::new("pool/global_average_gradient", vec![(Binding::Gradient, Access::Read)]),
        flags: vec![],
        read: row_bytes(batch, image.quads()),
        below,
        adds,
    }
    .launch(batch, image, 1, Constants::new().u32("PIXELS", image.pixels()), workgroup)
}

/// A forward pass with windows, which writes `others` bytes besides its output.
fn forward(
    kernel: &'static str,
    source: Part,
    flags: Vec<&'static str>,
    sliding: Sliding,
    others: u64,
    workgroup: u32,
) -> Launch {
    let Sliding { batch, input, output, window } = sliding;
    let constants = window_constants(sliding)
        .u32("OUT", output.channels)
        .u32("OUT_QUADS", output.quads())
        .u32("X_QUADS", input.quads());
    let cost = Cost {
        flops: output.values(batch) * u64::from(window.taps()),
        bytes: sliding.input_bytes() + sliding.output_bytes() + others,
    };
    Map {
        kernel,
        source,
        stages: vec![],
        sink: Part::new("sink/image", vec![(Binding::Output, Access::Write)]),
        activation: Epilogue::of(Activation::Identity),
        flags,
        texts: vec![],
        constants,
    }
    .launch(output.rows(batch) / 4, output.quads(), cost, workgroup)
}

/// A backward pass, whose source reads `read` bytes.
struct Backward {
    kernel: &'static str,
    source: Part,
    flags: Vec<&'static str>,
    read: u64,
    below: Option<Epilogue>,
    adds: bool,
}

impl Backward {
    /// To the images of a minibatch, each value of which is a sum of at most `terms`.
    fn launch(self, batch: u32, image: Image, terms: u64, constants: Constants, workgroup: u32) -> Launch {
        let Backward { kernel, source, mut flags, read, below, adds } = self;
        let keeps = below.is_some_and(Epilogue::keeps_derivative);
        flags.extend(keeps.then_some("keeps_derivative"));
        let mask = if keeps { Binding::Derivatives } else { Binding::Input };
        let add = adds.then(|| Part::new("stage/add_gradient", vec![(Binding::OtherGradient, Access::Read)]));
        let derivative = below.map(|_| Part::new("stage/derivative", vec![(mask, Access::Read)]));
        let stages: Vec<Part> = add.into_iter().chain(derivative).collect();
        let quads = image.quads();
        let constants =
            constants.u32("IN", image.channels).u32("IN_QUADS", quads).u32("OUT_QUADS", quads).u32("X_QUADS", quads);
        let others = stages.len() as u64;
        let cost =
            Cost { flops: (terms + others) * image.values(batch), bytes: read + (1 + others) * image.bytes(batch) };
        Map {
            kernel,
            source,
            stages,
            sink: Part::new("sink/input_gradient", vec![(Binding::InputGradient, Access::Write)]),
            activation: below.unwrap_or(Epilogue::of(Activation::Identity)),
            flags,
            texts: vec![],
            constants,
        }
        .launch(image.rows(batch) / 4, quads, cost, workgroup)
    }
}

/// What the shaders of `pool/` know of windows.
fn window_constants(sliding: Sliding) -> Constants {
    let Sliding { input, output, window, .. } = sliding;
    debug_assert!(window.fits_pools(), "{window:?} is too large");
    debug_assert!(window.dilation == [1, 1] && input.channels == output.channels, "{sliding:?} is no pool");
    window::constants(sliding)
}

/// The flag of windows none of which has padding in it.
fn window_flags(sliding: Sliding) -> Vec<&'static str> {
    let Sliding { input, output, window, .. } = sliding;
    let ends = |at: usize, windows: u32| (windows - 1) * window.stride[at] + window.size[at];
    let is_whole =
        window.padding == [0, 0] && ends(0, output.height) <= input.height && ends(1, output.width) <= input.width;
    is_whole.then_some("whole_windows").into_iter().collect()
}

/// The flag of winners that need more than 8 bits.
fn winner_flag(window: Window) -> Option<&'static str> {
    (winner_words(window) > 1).then_some("winners_16")
}

/// The most windows over a pixel.
fn covers(sliding: Sliding) -> u64 {
    let Window { size, stride, .. } = sliding.window;
    let most = |at: usize, windows: u32| u64::from(size[at].div_ceil(stride[at]).min(windows));
    most(0, sliding.output.height) * most(1, sliding.output.width)
}

fn winner_bytes(sliding: Sliding) -> u64 {
    sliding.output_bytes() / 4 * u64::from(winner_words(sliding.window))
}

fn row_bytes(batch: u32, quads: u32) -> u64 {
    16 * u64::from(batch) * u64::from(quads)
}
