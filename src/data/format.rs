//! Which reader reads what: a file by how it begins or by its extension, a folder by what is in it. A new format is a line here.

use std::path::Path;

#[cfg(feature = "parquet")]
use super::parquet;
use super::sets::Sets;
use super::table::text;
use super::{Dataset, ReadOptions, gzip, idx, images, npy, tensors};
use crate::error::Error;
use crate::files::kinds;

/// A kind of file.
pub struct Format {
    /// What it is called.
    pub word: &'static str,
    extensions: &'static [&'static str],
    /// How it begins, where it always begins alike.
    magic: &'static [&'static [u8]],
    /// The sets in its bytes; the path is for messages.
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
        extensions: images::EXTENSIONS,
        magic: images::BEGINNINGS,
        read: |p, b, o| alone(images::read(p, b, o)),
    },
];

fn alone(set: Result<Dataset, Error>) -> Result<Sets, Error> {
    set.map(Sets::from)
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
    let sets = if !path.is_dir() {
        return read_bytes(path, &crate::files::read_whole(path)?, options);
    } else if idx::is_folder(path) {
        idx::read_directory(path)
    } else if npy::is_folder(path) {
        npy::read_folder(path, options)
    } else if images::is_folder(path) {
        images::read_folder(path, options)
    } else {
        idx::read_directory(path)
    };
    Ok(sets?.each(|set| options.inputs_of(set)))
}

/// What a file's bytes hold; the path says what it is called.
pub(super) fn read_bytes(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Sets, Error> {
    unpacked(path, bytes, options).map(|sets| sets.each(|set| options.inputs_of(set)))
}

fn unpacked(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Sets, Error> {
    if !gzip::is_packed(bytes) || kinds::is_safetensors(bytes) {
        return (of(path, path, bytes)?.read)(path, bytes, options);
    }
    let name = gzip::name_inside(path, bytes);
    // Known before all is unpacked.
    of(path, &name, &gzip::beginning(path, bytes)?)?;
    let inner = gzip::unpacked(path, bytes)?;
    (of(path, &name, &inner)?.read)(path, &inner, options)
}

/// Whether a file, which begins so, is a table in text.
#[cfg(feature = "cli")]
pub(crate) fn is_text_table(path: &Path, begin: &[u8]) -> bool {
    !gzip::is_packed(begin) && of(path, path, begin).is_ok_and(|format| ["csv", "tsv"].contains(&format.word))
}

/// A file's format: as its first bytes say, or else as the extension of its name does. What is nothing else is taken for CSV where it is text.
fn of(path: &Path, name: &Path, bytes: &[u8]) -> Result<&'static Format, Error> {
    if let Some(kind) = kinds::of(bytes) {
        return Err(Error::format(path, kind.not_read()));
    }
    let is_tensors = kinds::is_safetensors(bytes);
    let is_other = is_tensors || kinds::is_text(bytes);
    let is_pnm = !is_tensors && images::is_pnm(bytes);
    // A table may begin with letters that are another format's.
    let begins = |format: &&Format| {
        is_pnm && format.word == "image" || !is_other && format.magic.iter().any(|magic| bytes.starts_with(magic))
    };
    let by_magic = || FORMATS.iter().find(begins);
    let extension = name.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    let by_extension = || FORMATS.iter().find(|format| format.extensions.contains(&extension.as_str()));
    let word = match bytes {
        _ if is_tensors => Some("safetensors"),
        _ if !bytes[..bytes.len().min(512)].contains(&0) => Some("csv"),
        _ => None,
    };
    let otherwise = || FORMATS.iter().find(|format| Some(format.word) == word);
    by_magic()
        .or_else(by_extension)
        .or_else(otherwise)
        .ok_or_else(|| Error::format(path, format!("it is of no kind that is known: {}", kinds::READ)))
}
