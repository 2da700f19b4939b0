//! The form of images.

use serde::{Deserialize, Serialize};

/// The form of the images that rows of features are: `[height, width, channels]`, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageShape {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
}

impl ImageShape {
    /// The features of an image; `None` where they cannot be counted, or where the channels are neither 1 nor 3.
    pub(crate) fn features(&self) -> Option<usize> {
        let features = self.height.checked_mul(self.width)?.checked_mul(self.channels)?;
        (matches!(self.channels, 1 | 3) && features > 0).then_some(features)
    }
}

impl std::fmt::Display for ImageShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}×{}", self.height, self.width, self.channels)
    }
}
