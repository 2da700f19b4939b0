//! Windows that slide over images, as layers describe them.

use super::Form;
use super::layer::WIDEST;
use crate::layout::{Image, Sliding, Window};
use crate::named::counted;

/// Two numbers, down and across. One number is both.
///
/// ```
/// use wgrad::{ConvLayer, Pair};
///
/// assert_eq!(Pair::from(3), Pair([3, 3]));
/// assert_eq!(ConvLayer::new(32, [3, 1]).kernel, [3, 1]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub [usize; 2]);

impl From<usize> for Pair {
    fn from(both: usize) -> Pair {
        Pair([both; 2])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(pair: [usize; 2]) -> Pair {
        Pair(pair)
    }
}

/// The pixels of zeros around an image that a convolution slides over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Padding {
    /// None.
    #[default]
    Valid,
    /// As many as make the output ⌈pixels / stride⌉ pixels; of an odd number, the one more is below or right of the image, as TensorFlow and ONNX'
    /// `SAME_UPPER` have it.
    Same,
    /// This many above and below, and left and right.
    Pixels([usize; 2]),
}

/// A window, and how it slides.
pub(super) struct Slide {
    /// What messages call the window: "kernel".
    pub called: &'static str,
    pub size: [usize; 2],
    pub stride: [usize; 2],
    pub padding: Padding,
    pub dilation: [usize; 2],
}

/// A window along one side of an image.
struct Side {
    /// Pixels of padding before and after the image.
    padding: [usize; 2],
    /// The image's pixels with the padding.
    padded: usize,
    /// Pixels from the window's first to its last, both included.
    extent: usize,
}

impl Slide {
    fn side(&self, side: usize, pixels: u32) -> Side {
        let (pixels, stride) = (pixels as usize, self.stride[side].max(1));
        let extent = self.dilation[side].saturating_mul(self.size[side].saturating_sub(1)).saturating_add(1);
        let padding = match self.padding {
            Padding::Valid => [0, 0],
            Padding::Pixels(padding) => [padding[side]; 2],
            Padding::Same => {
                let before_last = pixels.div_ceil(stride).saturating_sub(1).saturating_mul(stride);
                let all = before_last.saturating_add(extent).saturating_sub(pixels);
                [all / 2, all - all / 2]
            }
        };
        let padded = padding.iter().fold(pixels, |all, &padding| all.saturating_add(padding));
        Side { padding, padded, extent }
    }

    fn sides(&self, Image { height, width, .. }: Image) -> [Side; 2] {
        [self.side(0, height), self.side(1, width)]
    }

    /// Pixels of padding above, left of, below and right of an image.
    pub fn pads(&self, input: Image) -> [usize; 4] {
        let [down, across] = self.sides(input).map(|side| side.padding);
        [down[0], across[0], down[1], across[1]]
    }

    /// How it slides over an image, to one of as many channels. Of an image that is smaller than the window, to none of any pixels.
    pub fn over(&self, batch: u32, input: Image, channels: usize) -> Sliding {
        let sides = self.sides(input);
        let [height, width] = [0, 1].map(|side| {
            let Side { padded, extent, .. } = sides[side];
            narrow(padded.checked_sub(extent).map_or(0, |room| room / self.stride[side].max(1) + 1))
        });
        let window = Window {
            size: self.size.map(narrow),
            stride: self.stride.map(narrow),
            padding: [narrow(sides[0].padding[0]), narrow(sides[1].padding[0])],
            dilation: self.dilation.map(narrow),
        };
        Sliding { batch, input, output: Image { height, width, channels: narrow(channels) }, window }
    }

    /// Whether it can slide over an image, to one of as many channels.
    pub fn check(&self, input: Image, channels: usize) -> Result<(), String> {
        let Slide { called, size, stride, dilation, .. } = *self;
        for (name, numbers) in [(called, size), ("stride", stride), ("dilation", dilation)] {
            if !numbers.iter().all(|number| (1..=WIDEST).contains(number)) {
                return Err(format!("a {name} of {}: both numbers must be from 1 to {WIDEST}", sizes(numbers)));
            }
        }
        let sides = self.sides(input);
        if let Some(padded) = sides.iter().map(|side| side.padded).find(|&padded| padded > WIDEST) {
            return Err(format!("a padding with which it is {padded} pixels long: at most {WIDEST} are allowed"));
        }
        if sides.iter().any(|side| side.extent > side.padded) {
            let dilated = if dilation == [1, 1] { "" } else { " with its dilation" };
            let [extent, padded] = [sides.each_ref().map(|side| side.extent), sides.each_ref().map(|side| side.padded)];
            return Err(format!(
                "a {called} of {}{dilated}: it must fit into the image, which is {} with its padding",
                sizes(extent),
                sizes(padded)
            ));
        }
        check_values(Form::Image(self.over(1, input, channels).output))
    }
}

/// Whether an image that goes out can have this many values; the reason why not continues "it has …".
pub(super) fn check_values(output: Form) -> Result<(), String> {
    match output.values() {
        values if values > WIDEST => {
            Err(format!("an image of {output}, {values} values: at most {WIDEST} are allowed"))
        }
        _ => Ok(()),
    }
}

/// The image that a layer takes, or why it takes no features: continues "it has 9 inputs and …".
pub(super) fn image(input: Form) -> Result<Image, String> {
    match input {
        Form::Image(image) => Ok(image),
        Form::Flattened(image) => Err(format!(
            "takes an image: they are one of {} that was flattened, so move the flatten to after this layer",
            Form::Image(image)
        )),
        Form::Tokens(_) | Form::Sequence(_) | Form::FlattenedSequence(_) => {
            Err("takes an image, and there is no image in a network of tokens".into())
        }
        Form::Features(features) => Err(format!(
            "takes an image: the network's input must be described as one, by its height, width and channels, and what flatten, dense and \
             global_avg_pool give ({} here) is none",
            counted(features, "feature")
        )),
    }
}

/// Sizes down and across, as messages have them.
pub(super) fn sizes([down, across]: [usize; 2]) -> String {
    format!("{down}×{across}")
}

/// A size of an image. One that is too large for it is refused as the largest.
pub(super) fn narrow(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
