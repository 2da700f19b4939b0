//! Convolutions.

use serde_json::{Map, Value as Json};

use super::Form;
use super::forward::Forward;
use super::kind::{Describe, Own};
use super::layer::WIDEST;
use super::parameter::{ParameterKind, RowOrder};
use super::window::{Padding, Pair, Slide, image, narrow, sizes};
use super::words::Words;
use crate::graph::{Conv2d, Value};
use crate::layout::{Conv, Image};

/// A convolution of an image: each channel that goes out is, at every place of a window, a weighted sum of the values under the window, and a bias.
/// Fukushima, "Neocognitron", 1980; LeCun et al., "Gradient-based learning applied to document recognition", Proceedings of the IEEE, 1998. As PyTorch's
/// `Conv2d`, the kernel is not turned around.
///
/// ```
/// use wgrad::{Activation, ConvLayer, Layer, Network};
///
/// // Depthwise: as many groups as channels.
/// let conv = ConvLayer::new(16, 3).stride(2).same().groups(16).without_bias();
/// let network = Network::image(28, 28, 1)
///     .conv(16, 3, Activation::Relu)
///     .with(Layer::new(conv).with_activation(Activation::Relu))
///     .flatten()
///     .dense(10, Activation::Identity);
/// assert_eq!(network.shape(), "28×28×1-26×26×16-13×13×16-2704-10");
/// assert!(network.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConvLayer {
    /// Channels that go out.
    pub channels: usize,
    /// Pixels of the window, down and across.
    pub kernel: [usize; 2],
    /// Pixels from one window to the next.
    pub stride: [usize; 2],
    /// Zeros around the image.
    pub padding: Padding,
    /// Pixels from one of a window's pixels to the next: 1 where they are neighbours.
    pub dilation: [usize; 2],
    /// Groups that the channels which come in and those which go out are divided into, each made from its own.
    pub groups: usize,
    /// Whether each channel that goes out has a bias.
    pub bias: bool,
}

impl ConvLayer {
    /// A convolution to this many channels, with a window of this many pixels down and across. Its stride and its dilation are 1; it has no padding, one
    /// group, and a bias.
    pub fn new(channels: usize, kernel: impl Into<Pair>) -> Self {
        let Pair(kernel) = kernel.into();
        let (stride, dilation) = ([1; 2], [1; 2]);
        ConvLayer { channels, kernel, stride, padding: Padding::Valid, dilation, groups: 1, bias: true }
    }

    /// The convolution with this many pixels from one window to the next, down and across.
    #[must_use]
    pub fn stride(self, stride: impl Into<Pair>) -> Self {
        ConvLayer { stride: stride.into().0, ..self }
    }

    /// The convolution with this many pixels of zeros above and below, and left and right.
    #[must_use]
    pub fn padding(self, padding: impl Into<Pair>) -> Self {
        ConvLayer { padding: Padding::Pixels(padding.into().0), ..self }
    }

    /// The convolution with [`Padding::Same`]: with a stride of 1, the image that goes out is as large as the one that comes in.
    #[must_use]
    pub fn same(self) -> Self {
        ConvLayer { padding: Padding::Same, ..self }
    }

    /// The convolution with this many pixels from one of a window's pixels to the next: Yu & Koltun, ICLR 2016.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<Pair>) -> Self {
        ConvLayer { dilation: dilation.into().0, ..self }
    }

    /// The convolution in this many groups: Krizhevsky et al., NeurIPS 2012.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        ConvLayer { groups, ..self }
    }

    /// The convolution without a bias, as before a batch norm, which takes a bias away again.
    #[must_use]
    pub fn without_bias(self) -> Self {
        ConvLayer { bias: false, ..self }
    }

    fn slide(&self) -> Slide {
        let &ConvLayer { kernel: size, stride, padding, dilation, .. } = self;
        Slide { called: Self::KERNEL, size, stride, padding, dilation }
    }

    /// Pixels of padding above, left of, below and right of an image.
    pub(crate) fn pads(&self, input: Image) -> [usize; 4] {
        self.slide().pads(input)
    }

    fn conv(&self, batch: u32, input: Image) -> Conv {
        let sliding = self.slide().over(batch, input, self.channels);
        Conv { sliding, groups: narrow(self.groups), bias: self.bias }
    }

    /// Channels that each output is made from.
    fn group_channels(&self, input: Image) -> usize {
        input.channels as usize / self.groups.max(1)
    }

    const KERNEL: &'static str = "kernel";
    const GROUPS: &'static str = "groups";
}

impl Describe for ConvLayer {
    const WORD: &'static str = "conv";
    const OF_IMAGES: bool = true;

    fn parameters(&self, input: Form) -> Vec<Own> {
        let Form::Image(image) = input else { return vec![] };
        let [down, across] = self.kernel;
        let (channels, places) = (self.group_channels(image), down.saturating_mul(across));
        let rows = RowOrder { channels, places, whole_quads: !self.conv(1, image).is_packed(), by_place: false };
        let kind = ParameterKind::Kernel { size: self.kernel };
        let (inputs, outputs) = (places.saturating_mul(channels), self.channels);
        vec![Own { part: None, inputs, outputs, kind, bias: self.bias, rows }]
    }

    fn output(&self, input: Form) -> Form {
        match input {
            Form::Image(image) => Form::Image(self.conv(1, image).sliding.output),
            other => other,
        }
    }

    fn check(&self, input: Form) -> Result<(), String> {
        let image = image(input)?;
        let &ConvLayer { channels, kernel, groups, .. } = self;
        if !(1..=WIDEST).contains(&channels) {
            return Err(format!("{channels} channels that go out: there must be from 1 to {WIDEST}"));
        }
        let divides = |channels: usize| groups > 0 && channels.is_multiple_of(groups);
        if !divides(channels) || !divides(image.channels as usize) {
            return Err(format!(
                "groups of {groups}: they must divide both the {} that come in and the {channels} that go out",
                image.channels
            ));
        }
        self.slide().check(image, channels)?;
        let taps = kernel[0].saturating_mul(kernel[1]);
        // Sums over a group are not cut into slices, and llvmpipe, Mesa's software driver, ends an invocation's loops without a word after 65,535 iterations of
        // all of them together.
        const MOST_IN_GROUPS: usize = 60_000;
        let of_group = taps.saturating_mul(1 + self.group_channels(image).max(channels / groups));
        if groups > 1 && of_group > MOST_IN_GROUPS {
            return Err(format!(
                "groups of {groups} and a kernel of {}, whose taps times the channels of a group, and 1, are {of_group}: at most {MOST_IN_GROUPS} are allowed",
                sizes(kernel)
            ));
        }
        match taps.saturating_mul(self.group_channels(image)) {
            values if values > WIDEST => Err(format!(
                "a kernel of {}, {values} values with its channels: at most {WIDEST} are allowed",
                sizes(kernel)
            )),
            _ => Ok(()),
        }
    }

    fn write(&self, x: Value, input: Form, forward: &mut Forward) -> Value {
        let Form::Image(image) = input else { return x };
        let (parameter, weights) = forward.parameter();
        let conv = self.conv(forward.batch(x), image);
        forward.op(Conv2d { parameter, conv }, vec![x, weights])
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        let channels = words.count(Self::WORD)?;
        let conv = ConvLayer::new(channels, words.pair(Self::KERNEL, None)?);
        Ok(ConvLayer {
            stride: words.pair("stride", Some([1; 2]))?,
            padding: words.padding()?,
            dilation: words.pair("dilation", Some([1; 2]))?,
            groups: words.count_or(Self::GROUPS, 1)?,
            bias: words.bias()?,
            ..conv
        })
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), self.channels.into());
        words.insert(Self::KERNEL.into(), super::words::of_pair(self.kernel));
        super::words::add_pair(words, "stride", self.stride, [1; 2]);
        match self.padding {
            Padding::Valid => None,
            Padding::Same => words.insert("padding".into(), "same".into()),
            Padding::Pixels(pixels) => words.insert("padding".into(), super::words::of_pair(pixels)),
        };
        super::words::add_pair(words, "dilation", self.dilation, [1; 2]);
        if self.groups != 1 {
            words.insert(Self::GROUPS.into(), self.groups.into());
        }
        super::words::add_bias(words, self.bias);
    }
}
