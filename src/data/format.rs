//! Which reader reads what: a file by its extension or by how it begins, a folder by what is in it. A new format is a line here.

use std::path::Path;

#[cfg(feature = "parquet")]
use super::parquet;
use super::table::text;
use super::{Dataset, ReadOptions, idx, images, npy, tensors};
use crate::Error;

type Sets = (Dataset, Option<Dataset>);

/// A kind of file.
pub struct Format {
    /// What it is called.
    pub word: &'static str,
    extensions: &'static [&'static str],
    /// How it begins, where it always begins alike.
    magic: &'static [&'static [u8]],
    /// A set, and one of test rows where it has them; the path is for messages.
    pub read: fn(&Path, &[u8], &ReadOptions) -> Result<Sets, Error>,
}

/// Every kind of file.
pub const FORMATS: &[Format] = &[
    Format { word: "safetensors", extensions: &["safetensors"], magic: &[], read: tensors::read },
    Format { word: "npz", extensions: &["npz"], magic: &[b"PK\x03\x04"], read: npy::read_npz },
    Format { word: "npy", extensions: &["npy"], magic: &[b"\x93NUMPY"], read: |p, b, o| alone(npy::read(p, b, o)) },
    Format { word: "csv", extensions: &["csv"], magic: &[], read: |p, b, o| alone(text::read(p, b, o)) },
    Format { word: "tsv", extensions: &["tsv", "tab"], magic: &[], read: |p, b, o| alone(text::read_tsv(p, b, o)) },
    Format {
        word: "parquet",
        extensions: &["parquet"],
        magic: &[b"PAR1"],
        read: |p, b, o| alone(parquet::read(p, b, o)),
    },
    Format {
        word: "image",
        extensions: &["png", "jpg", "jpeg"],
        magic: &[b"\x89PNG", b"\xff\xd8\xff"],
        read: |p, b, o| alone(images::read(p, b, o)),
    },
];

fn alone(set: Result<Dataset, Error>) -> Result<Sets, Error> {
    set.map(|set| (set, None))
}

#[cfg(not(feature = "parquet"))]
mod parquet {
    use super::{Dataset, Error, Path, ReadOptions};

    pub fn read(path: &Path, _: &[u8], _: &ReadOptions) -> Result<Dataset, Error> {
        Err(Error::format(path, "this build reads no Parquet: build it with --features parquet"))
    }
}

/// What is at a path.
pub(super) fn read(path: &Path, options: &ReadOptions) -> Result<Sets, Error> {
    if !path.is_dir() {
        let bytes = crate::files::read_whole(path)?;
        return (of(path, &bytes).read)(path, &bytes, options);
    }
    if idx::is_folder(path) {
        idx::read_directory(path)
    } else if npy::is_folder(path) {
        npy::read_folder(path, options)
    } else if images::is_folder(path) {
        images::read_folder(path, options)
    } else {
        idx::read_directory(path)
    }
}

/// Whether a file, which begins so, is a table in text.
#[cfg(feature = "cli")]
pub(crate) fn is_text_table(path: &Path, begin: &[u8]) -> bool {
    ["csv", "tsv"].contains(&of(path, begin).word)
}

/// A file's format: as its extension says, or else its first bytes. What is nothing else is taken for safetensors where it has such a
/// header, and for CSV where not.
pub(super) fn of(path: &Path, bytes: &[u8]) -> &'static Format {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    let by_extension = FORMATS.iter().find(|format| format.extensions.contains(&extension.as_str()));
    let by_magic = || FORMATS.iter().find(|format| format.magic.iter().any(|magic| bytes.starts_with(magic)));
    let is_text = bytes.get(8) != Some(&b'{') && !bytes[..bytes.len().min(512)].contains(&0);
    let otherwise = || if is_text { named("csv") } else { named("safetensors") };
    by_extension.or_else(by_magic).or_else(otherwise).unwrap_or(&FORMATS[0])
}

fn named(word: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.word == word)
}
