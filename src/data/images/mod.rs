//! Reads images: folders with a folder for each class, and single files.

#[cfg(feature = "images")]
mod classes;
#[cfg(feature = "images")]
mod decode;

use std::path::Path;

#[cfg(feature = "images")]
pub(super) use classes::read_folder;
#[cfg(feature = "images")]
pub(super) use decode::read;

use crate::files::folder;

/// The file extensions of images.
pub(super) const EXTENSIONS: &[&str] =
    &["png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif", "tif", "tiff", "pgm", "ppm", "pbm", "pnm"];

/// The first bytes of image formats, except for PNM, which begins as text may.
pub(super) const BEGINNINGS: &[&[u8]] = &[b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*"];

/// Whether a file has the header of PNM, which is text: P1 to P6, then two sizes; a line with `#` is a comment.
pub(super) fn is_pnm(bytes: &[u8]) -> bool {
    let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]);
    let mut words = begin.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_ascii_whitespace);
    let is_kind = words.next().is_some_and(|word| matches!(word, "P1" | "P2" | "P3" | "P4" | "P5" | "P6"));
    is_kind && words.take(2).filter(|word| word.parse::<u32>().is_ok()).count() == 2
}

/// Whether a file has the extension of an image.
fn is_named_image(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// Whether a folder has folders, as of classes, or images.
pub(super) fn is_folder(folder: &Path) -> bool {
    folder::entries(folder).is_ok_and(|entries| entries.iter().any(|path| path.is_dir() || is_named_image(path)))
}

#[cfg(not(feature = "images"))]
pub(super) use missing::{read, read_folder};

#[cfg(not(feature = "images"))]
mod missing {
    use std::path::Path;

    use super::super::sets::Sets;
    use super::super::{Dataset, ReadOptions};
    use crate::error::Error;

    const REASON: &str = "this build reads no images: build it with --features images";

    pub fn read(path: &Path, _: &[u8], _: &ReadOptions) -> Result<Dataset, Error> {
        Err(Error::format(path, REASON))
    }

    pub fn read_folder(folder: &Path, _: &ReadOptions) -> Result<Sets, Error> {
        Err(Error::format(folder, REASON))
    }
}
