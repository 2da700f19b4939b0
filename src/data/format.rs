//! The choice of a reader: for a file by its first bytes or its extension, for a folder by its contents. A new format is one line here.

#[cfg(feature = "cli")]
use std::io::Read;
use std::path::Path;

#[cfg(feature = "parquet")]
use super::parquet;
use super::sets::Sets;
use super::table::text;
use super::{Dataset, ReadOptions, cifar, gzip, idx, images, npy, tensors, texts};
use crate::error::Error;
use crate::files::kinds;

/// A file format.
pub struct Format {
    /// The format's name.
    pub word: &'static str,
    extensions: &'static [&'static str],
    /// The bytes that files of this format begin with, one of several; empty where there are no such bytes.
    magic: &'static [&'static [u8]],
    /// Reads the sets in a file's bytes; the path is for messages.
    pub read: fn(&Path, &[u8], &ReadOptions) -> Result<Sets, Error>,
}

/// Every file format.
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
    Format { word: "cifar", extensions: &["bin"], magic: &[], read: |p, b, o| alone(cifar::read(p, b, o)) },
    // Its files may be named anything: see `is_a_text`.
    Format { word: "text", extensions: &[], magic: &[], read: texts::read },
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

/// Reads the sets at a path, a file or a folder.
pub(super) fn read(path: &Path, options: &ReadOptions) -> Result<Sets, Error> {
    let sets = if !path.is_dir() {
        return read_bytes(path, &crate::files::read_whole(path)?, options);
    } else if idx::is_folder(path) {
        idx::read_directory(path)
    } else if npy::is_folder(path) {
        npy::read_folder(path, options)
    } else if cifar::is_folder(path) {
        cifar::read_folder(path, options)
    } else if images::is_folder(path) {
        images::read_folder(path, options)
    } else {
        idx::read_directory(path)
    };
    sets?.each(|set| options.inputs_of(path, set))
}

/// Reads the sets in a file's bytes; the path gives its extension, and is for messages.
pub(super) fn read_bytes(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Sets, Error> {
    unpacked(path, bytes, options)?.each(|set| options.inputs_of(path, set))
}

fn unpacked(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Sets, Error> {
    if !gzip::is_packed(bytes) || kinds::is_safetensors(bytes) {
        return (asked_for(path, path, bytes, options)?.read)(path, bytes, options);
    }
    let name = gzip::name_inside(path, bytes);
    // Refuses unknown formats before all is unpacked.
    asked_for(path, &name, &gzip::beginning(path, bytes)?, options)?;
    let inner = gzip::unpacked(path, bytes)?;
    (asked_for(path, &name, &inner, options)?.read)(path, &inner, options)
}

/// Whether a file with these first bytes is a table in text.
#[cfg(feature = "cli")]
pub(crate) fn is_text_table(path: &Path, begin: &[u8]) -> bool {
    !gzip::is_packed(begin) && of(path, path, begin).is_ok_and(|format| ["csv", "tsv"].contains(&format.word))
}

/// The most bytes of a file that are read to know its format.
#[cfg(feature = "cli")]
const MOST_OF_BEGINNING: u64 = 1 << 20;

/// Whether a file or a folder has arrays: of all sets, theirs alone may have the channels of images first or last.
#[cfg(feature = "cli")]
pub(crate) fn is_of_arrays(path: &Path) -> bool {
    if path.is_dir() {
        return !idx::is_folder(path) && npy::is_folder(path);
    }
    let mut begin = Vec::new();
    let read = crate::files::open(path).map(|file| file.take(MOST_OF_BEGINNING).read_to_end(&mut begin));
    matches!(read, Ok(Ok(_))) && begins_as_arrays(path, &begin)
}

/// Whether a file that begins with these bytes has arrays.
#[cfg(feature = "cli")]
pub(crate) fn begins_as_arrays(path: &Path, begin: &[u8]) -> bool {
    let format = if !gzip::is_packed(begin) || kinds::is_safetensors(begin) {
        of(path, path, begin)
    } else {
        gzip::beginning(path, begin).and_then(|inner| of(path, &gzip::name_inside(path, begin), &inner))
    };
    format.is_ok_and(|format| ["safetensors", "npz", "npy"].contains(&format.word))
}

/// A file's format, for these options: a text where they take texts and it is of no other format.
fn asked_for(path: &Path, name: &Path, bytes: &[u8], options: &ReadOptions) -> Result<&'static Format, Error> {
    let text = FORMATS.iter().find(|format| format.word == "text");
    match text.filter(|_| options.takes_texts() && is_a_text(name, bytes)) {
        Some(text) => Ok(text),
        None => of(path, name, bytes),
    }
}

/// Whether a file is named as a text, or begins as one and is named as no other format.
fn is_a_text(name: &Path, bytes: &[u8]) -> bool {
    let extension = name.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    let is_other = FORMATS.iter().any(|format| format.extensions.contains(&extension.as_str()));
    extension == "txt" || kinds::is_text(bytes) && !kinds::is_safetensors(bytes) && !is_other
}

/// A file's format, by its first bytes, or else by the extension of its name. Text of no other format is taken for CSV.
fn of(path: &Path, name: &Path, bytes: &[u8]) -> Result<&'static Format, Error> {
    let is_cifar = cifar::begins(name, bytes);
    if let Some(kind) = kinds::of(bytes).filter(|_| !is_cifar) {
        return Err(Error::format(path, kind.not_read()));
    }
    let is_tensors = kinds::is_safetensors(bytes);
    let is_other = is_tensors || kinds::is_text(bytes);
    let is_pnm = !is_tensors && images::is_pnm(bytes);
    // A table may begin with letters that are another format's magic bytes, as BM.
    let begins = |format: &&Format| {
        if is_cifar {
            return format.word == "cifar";
        }
        is_pnm && format.word == "image" || !is_other && format.magic.iter().any(|magic| bytes.starts_with(magic))
    };
    let by_magic = || FORMATS.iter().find(begins);
    let extension = name.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    // Any program may call a text .bin.
    let is_text = kinds::is_text(bytes) && !bytes.is_empty();
    let has =
        |format: &&Format| format.extensions.contains(&extension.as_str()) && !(format.word == "cifar" && is_text);
    let by_extension = || FORMATS.iter().find(has);
    let word = match bytes {
        _ if is_tensors => Some("safetensors"),
        _ if !bytes[..bytes.len().min(512)].contains(&0) => Some("csv"),
        _ => None,
    };
    let otherwise = || FORMATS.iter().find(|format| Some(format.word) == word);
    by_magic()
        .or_else(by_extension)
        .or_else(otherwise)
        .ok_or_else(|| Error::format(path, format!("its format is not known: {}", kinds::READ)))
}
