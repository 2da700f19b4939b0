//! The shape of images, and the order of their values.

use serde::{Deserialize, Serialize};

use crate::named::{Elsewhere, Named, by_word};

/// The shape of images whose pixels are a row's features: `[height, width, channels]`, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageShape {
    /// The number of rows of pixels.
    pub height: usize,
    /// The number of pixels in a row.
    pub width: usize,
    /// The number of channels: 1 for grey; 3 for red, green and blue; arrays may have any number.
    pub channels: usize,
}

impl ImageShape {
    /// The number of features in an image; `None` if it overflows or is 0.
    pub(crate) fn features(&self) -> Option<usize> {
        self.height.checked_mul(self.width)?.checked_mul(self.channels).filter(|&features| features > 0)
    }

    /// Whether the images are grey, or red, green and blue: others are neither decoded from files nor shown.
    #[cfg(feature = "cli")]
    pub(crate) fn is_picture(&self) -> bool {
        matches!(self.channels, 1 | 3)
    }
}

impl std::fmt::Display for ImageShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}×{}", self.height, self.width, self.channels)
    }
}

/// The place of the channels in an array of images. A set has them last, wherever its file has them: those that come first are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelOrder {
    /// `[rows, channels, height, width]`, as in PyTorch.
    First,
    /// `[rows, height, width, channels]`, as in TensorFlow and in image files.
    Last,
}

impl Named for ChannelOrder {
    const WHAT: &'static str = "a place of channels";
    const WORDS: &'static [(&'static str, Self)] = &[("first", ChannelOrder::First), ("last", ChannelOrder::Last)];
    const ELSEWHERE: Elsewhere =
        &[(&["nchw", "chw", "channels-first"], "first"), (&["nhwc", "hwc", "channels-last"], "last")];
}

by_word!(ChannelOrder);
