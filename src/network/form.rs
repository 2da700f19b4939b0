//! What goes from layer to layer.

use std::fmt;

use crate::layout::Image;
use crate::named::counted;

/// The form of a sample on its way through a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// This many features.
    Features(usize),
    /// An image.
    Image(Image),
    /// An image whose values are features to the layers that follow: channel by channel, as PyTorch flattens it.
    Flattened(Image),
}

impl Form {
    /// The number of values.
    pub fn values(self) -> usize {
        match self {
            Form::Features(features) => features,
            Form::Image(Image { height, width, channels }) | Form::Flattened(Image { height, width, channels }) => {
                [height, width, channels]
                    .into_iter()
                    .fold(1, |product: usize, side| product.saturating_mul(side as usize))
            }
        }
    }

    /// What comes into a list of layers within a layer that this comes into.
    pub(super) fn within(self) -> Form {
        match self {
            Form::Flattened(_) => Form::Features(self.values()),
            other => other,
        }
    }

    /// The number of pixels: 1 where no image is.
    pub(crate) fn pixels(self) -> u64 {
        match self {
            Form::Image(image) => u64::from(image.height) * u64::from(image.width),
            _ => 1,
        }
    }

    /// Values that a norm has a mean of for each: a row's features, or an image's channels.
    pub fn channels(self) -> usize {
        match self {
            Form::Image(image) => image.channels as usize,
            _ => self.values(),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::Image(Image { height, width, channels }) => write!(f, "{height}×{width}×{channels}"),
            _ => write!(f, "{}", self.values()),
        }
    }
}

impl Form {
    /// As an error names it: "9 inputs", or "an image of 28×28×1 as its input".
    pub(super) fn named(self, noun: &str) -> String {
        match self {
            Form::Image(_) => format!("an image of {self} as its {noun}"),
            _ => counted(self.values(), noun),
        }
    }
}
