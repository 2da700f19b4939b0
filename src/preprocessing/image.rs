//! The shape of images.

use serde::{Deserialize, Serialize};

/// The shape of images whose pixels are a row's features: `[height, width, channels]`, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageShape {
    /// The number of rows of pixels.
    pub height: usize,
    /// The number of pixels in a row.
    pub width: usize,
    /// The number of channels: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
}

impl ImageShape {
    /// The number of features in an image; `None` if it overflows, or if the number of channels is neither 1 nor 3.
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
