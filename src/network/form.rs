//! What goes from layer to layer.

use std::fmt;

use crate::layout::{Image, Sequence};
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
    /// This many tokens, which are numbers that an embedding looks up: the words or the characters of a text.
    Tokens(usize),
    /// A sequence of vectors: what an embedding makes of tokens.
    Sequence(Sequence),
    /// A sequence whose values are features to the layers that follow: place by place.
    FlattenedSequence(Sequence),
}

impl Form {
    /// The number of values.
    pub fn values(self) -> usize {
        match self {
            Form::Features(features) | Form::Tokens(features) => features,
            Form::Sequence(Sequence { length, width }) | Form::FlattenedSequence(Sequence { length, width }) => {
                (length as usize).saturating_mul(width as usize)
            }
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
            Form::Flattened(_) | Form::FlattenedSequence(_) => Form::Features(self.values()),
            other => other,
        }
    }

    /// Values that a dense layer makes an output from: those of a place of a sequence, or all.
    pub(super) fn features(self) -> usize {
        match self {
            Form::Sequence(sequence) => sequence.width as usize,
            _ => self.values(),
        }
    }

    /// The number of pixels, or of places of a sequence: 1 where neither is.
    pub(crate) fn pixels(self) -> u64 {
        match self {
            Form::Image(image) => u64::from(image.height) * u64::from(image.width),
            Form::Sequence(sequence) => sequence.length.into(),
            _ => 1,
        }
    }

    /// The image that it is on the device, where its rows are pixels, or places of a sequence.
    pub(crate) fn image(self) -> Option<Image> {
        match self {
            Form::Image(image) => Some(image),
            Form::Sequence(sequence) => Some(sequence.image()),
            _ => None,
        }
    }

    /// Values that a norm has a mean of for each: a row's features, an image's channels, or the values of a place.
    pub fn channels(self) -> usize {
        match self {
            Form::Image(image) => image.channels as usize,
            Form::Sequence(sequence) => sequence.width as usize,
            _ => self.values(),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::Image(Image { height, width, channels }) => write!(f, "{height}×{width}×{channels}"),
            Form::Sequence(Sequence { length, width }) => write!(f, "{length}×{width}"),
            _ => write!(f, "{}", self.values()),
        }
    }
}

impl Form {
    /// As an error names it: "9 inputs", "an image of 28×28×1 as its input", or "64 tokens as its input".
    pub(super) fn named(self, noun: &str) -> String {
        match &self {
            Form::Image(_) => format!("an image of {self} as its {noun}"),
            Form::Sequence(Sequence { length, width }) => {
                format!("a sequence of {} of {width} as its {noun}", counted(*length as usize, "place"))
            }
            Form::Tokens(length) => format!("{} as its {noun}", counted(*length, "token")),
            _ => counted(self.values(), noun),
        }
    }
}
