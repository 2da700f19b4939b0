//! How tensors lie in device memory: rows of quads (four elements), minibatches of blocks of four rows. Nothing else knows of padding.

/// The sizes of one dense layer in one minibatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Rows of a minibatch.
    pub batch: u32,
    /// Features that come in.
    pub inputs: u32,
    /// Units that go out.
    pub outputs: u32,
}

impl Dense {
    /// Quads (groups of four) in a row of the input: its features and the 1 that the bias is multiplied by.
    pub fn x_quads(self) -> u32 {
        quads_with_one(self.inputs)
    }

    /// Quads in a row of the weights.
    pub fn out_quads(self) -> u32 {
        self.outputs.div_ceil(4)
    }

    /// Quads in a row of the output as the next layer reads it.
    pub fn y_quads(self) -> u32 {
        quads_with_one(self.outputs)
    }

    /// Whether the 1 after a row's last output begins a quad of its own: the outputs fill whole quads.
    pub(crate) fn one_in_own_quad(self) -> bool {
        self.y_quads() > self.out_quads()
    }

    /// Groups of four rows in a minibatch.
    pub fn batch_blocks(self) -> u32 {
        self.batch.div_ceil(4)
    }

    /// Shape of the weights in device memory: `[inputs and bias, outputs]`, both rounded up to multiples of four.
    pub fn weights_shape(self) -> [u32; 2] {
        [4 * self.x_quads(), 4 * self.out_quads()]
    }

    /// Multiply-adds of one product of this layer, as floating-point operations.
    pub(crate) fn flops(self) -> u64 {
        2 * u64::from(self.batch) * u64::from(self.inputs + 1) * u64::from(self.outputs)
    }

    /// Quads of the weights, padding included.
    pub fn weight_quads(self) -> u32 {
        4 * self.x_quads() * self.out_quads()
    }

    /// Bytes of the weights, padding included.
    pub(crate) fn weights_bytes(self) -> u64 {
        let [rows, columns] = self.weights_shape();
        4 * u64::from(rows) * u64::from(columns)
    }

    /// Bytes of the output in one minibatch, up to its last quad.
    pub(crate) fn output_bytes(self) -> u64 {
        16 * u64::from(self.batch) * u64::from(self.out_quads())
    }
}

/// Quads in a row of `features` values followed by a 1.
pub(crate) fn quads_with_one(features: u32) -> u32 {
    features / 4 + 1
}

/// The sizes of an image, channels last. In device memory it is a row of quads for each of its pixels: `4 · quads` channels, of which those past the last
/// are 0. Images have no 1 after their rows, in activations and in gradients alike. A minibatch is rounded up to a multiple of four images, all of which
/// kernels write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Image {
    /// Pixels down.
    pub height: u32,
    /// Pixels across.
    pub width: u32,
    /// Values of a pixel.
    pub channels: u32,
}

impl Image {
    /// The number of pixels.
    pub fn pixels(self) -> u32 {
        self.height * self.width
    }

    /// Quads of a pixel.
    pub fn quads(self) -> u32 {
        self.channels.div_ceil(4)
    }

    /// Pixels that kernels write in a minibatch: those of a multiple of four images.
    pub(crate) fn rows(self, batch: u32) -> u32 {
        batch.next_multiple_of(4) * self.pixels()
    }

    /// Values of a minibatch, without padding.
    pub(crate) fn values(self, batch: u32) -> u64 {
        u64::from(batch) * u64::from(self.pixels()) * u64::from(self.channels)
    }

    /// Bytes of a minibatch, whose pixels are padded to quads.
    pub(crate) fn bytes(self, batch: u32) -> u64 {
        16 * u64::from(batch) * u64::from(self.pixels()) * u64::from(self.quads())
    }

    /// The most pixels of an image under a global average pool: an invocation goes over one image, four pixels an iteration ([`Window::fits_pools`]).
    pub const MOST_POOLED: u32 = 250_000;

    /// Whether it is small enough for a global average pool.
    pub fn fits_global_pool(self) -> bool {
        self.pixels() <= Image::MOST_POOLED
    }
}

/// The sizes of a sequence of vectors: of the tokens of a text, for example. On the device it is an image of one pixel down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sequence {
    /// Places of the sequence.
    pub length: u32,
    /// Values of a place.
    pub width: u32,
}

impl Sequence {
    /// The image that it is on the device, and in a graph.
    pub fn image(self) -> Image {
        Image { height: 1, width: self.length, channels: self.width }
    }
}

/// How the tokens of a set lie in device memory, without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenLayout {
    /// Bytes of a token: 1, 2 or 4.
    pub bytes: u32,
    /// Whether rows overlap: each place of a text begins one.
    pub overlaps: bool,
}

impl TokenLayout {
    /// Tokens from the first of a row to that of the next.
    pub fn stride(self, places: u32) -> u32 {
        if self.overlaps { 1 } else { places }
    }

    /// Tokens, or labels, of this many rows.
    pub(crate) fn tokens(self, rows: u64, places: u32) -> u64 {
        match rows {
            0 => 0,
            _ => (rows - 1) * u64::from(self.stride(places)) + u64::from(places),
        }
    }
}

/// How the values of a minibatch lie in device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Rows of a minibatch that is rounded up to a multiple of four: samples, or pixels of images.
    pub rows: u32,
    /// Values of a row.
    pub width: u32,
    /// Whether rows are pixels, which have no 1 behind them.
    pub is_image: bool,
}

impl Extent {
    /// Of a tensor `[rows, features]` or `[rows, height, width, channels]`.
    pub fn of(shape: &[u32]) -> Self {
        let (batch, width) = (shape.first().copied().unwrap_or(0), shape.last().copied().unwrap_or(0));
        let pixels: u32 = shape.iter().skip(1).rev().skip(1).product();
        Extent { rows: batch.next_multiple_of(4) * pixels, width, is_image: shape.len() == 4 }
    }

    /// Quads of a row of a gradient.
    pub fn quads(self) -> u32 {
        self.width.div_ceil(4)
    }

    /// Quads of a row of activations.
    pub fn quads_of_activations(self) -> u32 {
        if self.is_image { self.quads() } else { quads_with_one(self.width) }
    }
}

/// How a window slides over an image. Every pair is down, then across.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Pixels of the window.
    pub size: [u32; 2],
    /// Pixels from one window to the next.
    pub stride: [u32; 2],
    /// Pixels of padding above and left of the image. What is below and right of it follows from the output's size.
    pub padding: [u32; 2],
    /// Pixels from one tap of a window to the next: 1 where they are neighbours.
    pub dilation: [u32; 2],
}

impl Window {
    /// The number of taps.
    pub fn taps(self) -> u32 {
        self.size[0] * self.size[1]
    }

    /// Whether it is small enough for the pools that have windows: up to 126 × 125, for example. An invocation goes over four windows, and llvmpipe, Mesa's
    /// software driver, ends an invocation's loops without a word after 65,535 iterations of all of them together.
    pub fn fits_pools(self) -> bool {
        const MOST_ITERATIONS: u64 = 16_000;
        let [height, width] = self.size.map(u64::from);
        height * (width + 1) <= MOST_ITERATIONS
    }
}

/// The sizes of windows that slide over the images of a minibatch: of a pool, whose output has as many channels as its input, or of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sliding {
    /// Images of a minibatch.
    pub batch: u32,
    /// The image that comes in.
    pub input: Image,
    /// The image that goes out.
    pub output: Image,
    /// The window.
    pub window: Window,
}

impl Sliding {
    /// Bytes of the images that come in.
    pub(crate) fn input_bytes(self) -> u64 {
        self.input.bytes(self.batch)
    }

    /// Bytes of the images that go out.
    pub(crate) fn output_bytes(self) -> u64 {
        self.output.bytes(self.batch)
    }
}

/// The sizes of one convolution in one minibatch.
///
/// Its weights lie as those of a [`Dense`] layer: a row for each tap and channel that an output is made from, then the bias. A pixel of four channels or more
/// has whole quads of rows a tap (`row = 4 · quads · tap + channel`), and those past its last channel are 0. Of fewer channels, and in groups, rows are packed
/// (`row = channels · tap + channel`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// How it slides.
    pub sliding: Sliding,
    /// Groups of channels, which know nothing of each other.
    pub groups: u32,
    /// Whether it has a bias. Without one the bias's row of the weights, and of their gradient, is 0.
    pub bias: bool,
}

impl Conv {
    /// Channels that an output is made from.
    pub fn group_channels(self) -> u32 {
        self.sliding.input.channels / self.groups
    }

    /// Whether the weights' rows are packed.
    pub fn is_packed(self) -> bool {
        self.groups > 1 || self.sliding.input.channels < 4
    }

    /// Whether each output is made of one pixel, the one in its own place, so that rows of the image are rows of the product: a dense layer of each place.
    pub fn is_pointwise(self) -> bool {
        let Window { size, stride, padding, .. } = self.sliding.window;
        !self.is_packed() && (size, stride, padding) == ([1, 1], [1, 1], [0, 0])
    }

    /// The product as that of a dense layer, whose rows are the output's pixels: of a minibatch that is rounded up to a multiple of four images.
    pub fn dense(self) -> Dense {
        let Sliding { batch, input, output, window } = self.sliding;
        let channels = if self.is_packed() { self.group_channels() } else { 4 * input.quads() };
        Dense { batch: output.rows(batch), inputs: window.taps() * channels, outputs: output.channels }
    }
}
