//! Images: folders of them by class, and single ones.

use std::path::Path;

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

/// Whether a folder has folders, as one for each class; hidden ones are none.
pub(super) fn is_folder(folder: &Path) -> bool {
    let is_class =
        |entry: std::fs::DirEntry| !entry.file_name().to_string_lossy().starts_with('.') && entry.path().is_dir();
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_class)))
}

#[cfg(not(feature = "images"))]
pub(super) use missing::{read, read_folder};

#[cfg(not(feature = "images"))]
mod missing {
    use std::path::Path;

    use super::super::{Dataset, ReadOptions};
    use crate::Error;

    const REASON: &str = "this build reads no images: build it with --features images";

    pub fn read(path: &Path, _: &[u8], _: &ReadOptions) -> Result<Dataset, Error> {
        Err(Error::format(path, REASON))
    }

    pub fn read_folder(folder: &Path, _: &ReadOptions) -> Result<(Dataset, Option<Dataset>), Error> {
        Err(Error::format(folder, REASON))
    }
}

#[cfg(feature = "images")]
pub(super) use decoded::{read, read_folder};

#[cfg(feature = "images")]
mod decoded {
    use std::io::Cursor;
    use std::path::{Path, PathBuf};

    use image::imageops::{FilterType, resize};
    use image::{DynamicImage, ImageReader, Limits};

    use super::super::{Dataset, MOST_BYTES, ReadOptions};
    use super::ImageShape;
    use crate::Error;

    /// The most pixels on a side, and the most bytes that a decoder may take.
    const MOST_ON_A_SIDE: u32 = 1 << 14;
    const MOST_DECODED: u64 = 1 << 28;

    /// One image is one row, to predict on.
    pub fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
        if !options.inputs_only {
            return Err(Error::format(
                path,
                "one image is no set to train on: pass a folder with a folder of images for each class",
            ));
        }
        let image = decode(path, bytes)?;
        let shape = options.image.unwrap_or_else(|| shape_of(&image));
        let in_file = |error: Error| Error::format(path, error.to_string());
        let pixels = pixels(&image, shape);
        Dataset::from_u8(pixels, shape.features().unwrap_or(0), vec![0])
            .and_then(|set| set.with_image_shape(shape))
            .map_err(in_file)
    }

    /// A folder for each class, or `train` and, where there is one, `test`, with such folders in them.
    pub fn read_folder(folder: &Path, options: &ReadOptions) -> Result<(Dataset, Option<Dataset>), Error> {
        let (train, test) = (folder.join("train"), folder.join("test"));
        if !super::is_folder(&train) {
            return Ok((read_classes(folder, options)?, None));
        }
        let train = read_classes(&train, options)?;
        if !test.is_dir() {
            return Ok((train, None));
        }
        let like =
            ReadOptions { class_names: train.class_names().to_vec(), image: train.image_shape(), ..options.clone() };
        let test = read_classes(&test, &like)?;
        Ok((train, Some(test)))
    }

    fn read_classes(folder: &Path, options: &ReadOptions) -> Result<Dataset, Error> {
        let folders: Vec<PathBuf> = entries(folder)?.into_iter().filter(|path| path.is_dir()).collect();
        let found: Vec<String> = folders.iter().map(|path| name(path)).collect::<Result<_, Error>>()?;
        let names = if options.class_names.is_empty() { &found } else { &options.class_names };
        let mut files: Vec<(PathBuf, u32)> = Vec::new();
        for (path, class) in folders.iter().zip(&found) {
            let index = names.iter().position(|name| name == class).ok_or_else(|| {
                Error::format(
                    path,
                    format!("\"{class}\" is none of the model's classes, which are {}", names.join(", ")),
                )
            })?;
            let images = entries(path)?.into_iter().filter(|path| is_image(path));
            files.extend(images.map(|image| (image, index as u32)));
        }
        let Some((first, _)) = files.first() else {
            return Err(Error::format(folder, "it has no PNG or JPEG files in folders named as their classes"));
        };
        let open = |path: &Path| decode(path, &crate::files::read_whole(path)?);
        let shape = match options.image {
            Some(shape) => shape,
            None => shape_of(&open(first)?),
        };
        let width = shape.features().unwrap_or(0);
        let bytes = (files.len() as u64).checked_mul(width as u64).filter(|&bytes| bytes <= MOST_BYTES);
        if bytes.is_none() {
            return Err(Error::format(
                folder,
                format!(
                    "{} images of {shape} take more than 4 GiB: that is the most that fits; make them smaller (image)",
                    files.len()
                ),
            ));
        }
        let mut features = Vec::new();
        for (path, _) in &files {
            features.extend(pixels(&open(path)?, shape));
        }
        let in_folder = |error: Error| Error::format(folder, error.to_string());
        Dataset::from_u8(features, width, files.iter().map(|&(_, class)| class).collect())
            .and_then(|set| set.with_image_shape(shape))
            .and_then(|set| set.with_class_names(names.clone()))
            .map_err(in_folder)
    }

    /// What is in a folder, sorted, without hidden files.
    fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let entries =
            std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(Error::io(folder))?;
        let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let mut paths: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).filter(|path| !hidden(path)).collect();
        paths.sort();
        Ok(paths)
    }

    fn name(path: &Path) -> Result<String, Error> {
        let name = path.file_name().and_then(|name| name.to_str());
        name.map(String::from)
            .ok_or_else(|| Error::format(path, "the folder's name, which is the class', is not UTF-8"))
    }

    fn is_image(path: &Path) -> bool {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg"))
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<DynamicImage, Error> {
        let wrong = |reason: String| Error::format(path, reason);
        let mut reader = ImageReader::new(Cursor::new(bytes));
        let mut limits = Limits::default();
        limits.max_image_width = Some(MOST_ON_A_SIDE);
        limits.max_image_height = Some(MOST_ON_A_SIDE);
        limits.max_alloc = Some(MOST_DECODED);
        reader.limits(limits);
        let reader = reader.with_guessed_format().map_err(|error| wrong(error.to_string()))?;
        reader
            .decode()
            .map(on_white)
            .map_err(|error| wrong(format!("it is not a whole PNG or JPEG image of a size that fits: {error}")))
    }

    /// What is transparent shows white, as on a page: the colors beneath it are whatever a program left there.
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
        // Grey with opacity stays grey.
        if has_color { opaque.into_rgb8().into() } else { opaque.into_luma8().into() }
    }

    fn shape_of(image: &DynamicImage) -> ImageShape {
        let channels = if image.color().has_color() { 3 } else { 1 };
        ImageShape { height: image.height() as usize, width: image.width() as usize, channels }
    }

    /// An image's bytes in a form, resized where it has another size.
    fn pixels(image: &DynamicImage, shape: ImageShape) -> Vec<u8> {
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
}
