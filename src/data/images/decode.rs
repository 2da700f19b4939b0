//! Decodes images to pixels.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{FilterType, resize};
use image::{DynamicImage, ImageReader, Limits};

use crate::data::{Dataset, ReadOptions};
use crate::error::Error;
use crate::files::kinds;
use crate::preprocessing::ImageShape;

/// The most pixels on a side, and the most bytes that a decoder may allocate.
const MOST_ON_A_SIDE: u32 = 1 << 14;
const MOST_DECODED: u64 = 1 << 28;

/// Reads one image as a set of one row, to predict on.
pub fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    if !options.inputs_only {
        return Err(Error::format(
            path,
            "one image is not a set to train on: pass a folder with a folder of images for each class",
        ));
    }
    let image = decode(path, bytes)?;
    let shape = options.image.unwrap_or_else(|| shape_of(&image));
    let in_file = |error: Error| Error::format(path, error.to_string());
    if !shape.is_picture() {
        return Err(Error::format(path, format!("no images are {shape}: they must have one channel or three")));
    }
    let pixels = pixels(&image, shape);
    Dataset::from_u8(pixels, shape.features().unwrap_or(0), vec![0])
        .and_then(|set| set.with_image_shape(shape))
        .map_err(in_file)
}

/// Decodes the image in a file, the first frame of an animation. Transparent pixels become white.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<DynamicImage, Error> {
    let wrong = |reason: String| Error::format(path, reason);
    let mut reader = ImageReader::new(Cursor::new(bytes));
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_ON_A_SIDE);
    limits.max_image_height = Some(MOST_ON_A_SIDE);
    limits.max_alloc = Some(MOST_DECODED);
    reader.limits(limits);
    let reader = reader.with_guessed_format().map_err(|error| wrong(error.to_string()))?;
    let Some(format) = reader.format().filter(image::ImageFormat::reading_enabled) else {
        return Err(wrong(match kinds::of(bytes) {
            Some(kind) => kind.not_read(),
            None => format!("it does not begin as an image does: {}", kinds::READ),
        }));
    };
    let kind = format!("{format:?}");
    reader
        .decode()
        .map(on_white)
        .map_err(|error| wrong(format!("it is not a whole {} image of a size that fits: {error}", kind.to_uppercase())))
}

/// Blends an image with white: the colors of transparent pixels are arbitrary.
fn on_white(image: DynamicImage) -> DynamicImage {
    if !image.color().has_alpha() {
        return image;
    }
    let has_color = image.color().has_color();
    let mut pixels = image.into_rgba8();
    for pixel in pixels.pixels_mut() {
        let [colors @ .., opacity] = &mut pixel.0;
        let opacity = u32::from(*opacity);
        colors
            .iter_mut()
            .for_each(|color| *color = ((u32::from(*color) * opacity + 255 * (255 - opacity) + 127) / 255) as u8);
    }
    let opaque = DynamicImage::ImageRgba8(pixels);
    // Grey with an alpha channel stays grey.
    if has_color { opaque.into_rgb8().into() } else { opaque.into_luma8().into() }
}

pub(super) fn shape_of(image: &DynamicImage) -> ImageShape {
    let channels = if image.color().has_color() { 3 } else { 1 };
    ImageShape { height: image.height() as usize, width: image.width() as usize, channels }
}

/// An image's bytes in the given shape, resized if it has another size.
pub(super) fn pixels(image: &DynamicImage, shape: ImageShape) -> Vec<u8> {
    let (width, height) = (shape.width as u32, shape.height as u32);
    let fits = (image.width(), image.height()) == (width, height);
    if shape.channels == 1 {
        let grey = image.to_luma8();
        if fits { grey } else { resize(&grey, width, height, FilterType::Triangle) }.into_raw()
    } else {
        let colors = image.to_rgb8();
        if fits { colors } else { resize(&colors, width, height, FilterType::Triangle) }.into_raw()
    }
}
