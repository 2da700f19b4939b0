//! Augmentation: random changes of the images that a network trains on.

use crate::error::Error;
use crate::layout::Image;

/// Random changes of the images that a network trains on, drawn anew for each image in each step, on the device, from the run's seed: the same seed gives the
/// same images on every adapter, and after a resume. Evaluations and predictions see the images as they are.
///
/// The order is torchvision's usual one: `RandomCrop`, `RandomHorizontalFlip`, the scaling of the features, cutout. So the padding of a crop is black: 0 in the
/// set, and scaled with the image, by the shift and the scale of the pixel at the border next to it. A set of f32 is scaled as it is read, so there the padding is
/// 0 after scaling, the mean where features are standardized. What is cut out is 0 after scaling.
///
/// ```
/// use wgrad::Augmentation;
///
/// // What residual networks are trained with on CIFAR-10.
/// let usual = Augmentation { crop_padding: 4, flip: true, ..Augmentation::default() };
/// # assert_eq!(usual.cutout, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Augmentation {
    /// Shifted crops: the image is padded by this many black pixels on each side and cropped to its own size at a random place.
    /// `torchvision.transforms.RandomCrop(size, padding=crop_padding)`. 0 for none.
    pub crop_padding: u32,
    /// Whether half of the images, drawn at random, are mirrored left to right.
    pub flip: bool,
    /// The side, in pixels, of a square of zeros whose centre is a random pixel, so that the border may clip it: the cutout of DeVries and Taylor (2017).
    /// 0 for none.
    pub cutout: u32,
}

impl Augmentation {
    /// Checks that a network has images to augment, and that they are large enough. `image` is the network's input, where that is an image.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where the input is no image, or where padding or square are larger than the image's shorter side.
    pub(crate) fn check(self, image: Option<Image>) -> Result<(), Error> {
        let Some(Image { height, width, .. }) = image else {
            return Err(Error::Option(
                "augmentation (crop_padding, flip, cutout) changes images, and this network's input is rows of features: leave it \
                 out, or train a network of images (Network::image; in run.toml a list of layers with convolutions, pools or a flatten, on a set of images)"
                    .into(),
            ));
        };
        let side = height.min(width);
        for (name, pixels) in [("crop_padding", self.crop_padding), ("cutout", self.cutout)] {
            if pixels > side {
                return Err(Error::Option(format!(
                    "{name} is {pixels}: it must be at most {side}, the shorter side of images of {height} × {width} pixels"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a padding or a square that is larger than the image and accepted, one of its size that is refused, and a network of rows that is accepted.
    #[test]
    fn images_must_be_there_and_large_enough() {
        let image = Some(Image { height: 9, width: 5, channels: 3 });
        let of = |crop_padding, cutout| Augmentation { crop_padding, flip: true, cutout };
        assert!(of(5, 5).check(image).is_ok());
        for (augmentation, word) in [(of(6, 0), "crop_padding is 6"), (of(0, 6), "cutout is 6")] {
            let said = augmentation.check(image).unwrap_err().to_string();
            assert!(said.contains(word) && said.contains("at most 5") && said.contains("9 × 5"), "{said}");
            assert!(augmentation.check(None).unwrap_err().to_string().contains("rows of features"));
        }
    }
}
