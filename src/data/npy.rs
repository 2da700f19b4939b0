//! NumPy's files: an array (`.npy`), a folder of some, and a zip archive of some (`.npz`).
//!
//! The format's description: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. The one line of Python in a
//! header is read here: the crates that do it bring a parser generator along.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;

use zip::ZipArchive;

use super::arrays::{self, Array, Arrays, Element};
use super::{Dataset, MOST_BYTES, ReadOptions};
use crate::Error;

/// A header that is longer is none: NumPy's own are 128 bytes.
const MOST_HEADER: usize = 1 << 16;

/// An array alone: features to predict on.
pub(super) fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    if !options.inputs_only {
        return Err(Error::format(
            path,
            "an array alone has no targets: put x.npy and y.npy or t.npy in a folder, or save both by numpy.savez",
        ));
    }
    arrays::sets(&Files { path, arrays: HashMap::from([("x".into(), Cow::Borrowed(bytes))]) }, options)
        .map(|(set, _)| set)
}

/// Whether a folder holds arrays.
pub(super) fn is_folder(folder: &Path) -> bool {
    folder.join("x.npy").is_file() || folder.join("x_train.npy").is_file()
}

/// `x.npy` with `y.npy` or `t.npy`.
pub(super) fn read_folder(folder: &Path, options: &ReadOptions) -> Result<(Dataset, Option<Dataset>), Error> {
    let mut arrays = HashMap::new();
    for name in
        ["x", "y", "t", "w"].iter().flat_map(|name| ["", "_train", "_test"].map(|suffix| format!("{name}{suffix}")))
    {
        let file = folder.join(format!("{name}.npy"));
        if file.exists() {
            arrays.insert(name, Cow::Owned(crate::files::read_whole(&file)?));
        }
    }
    arrays::sets(&Files { path: folder, arrays }, options)
}

/// The arrays of an archive.
pub(super) fn read_npz(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<(Dataset, Option<Dataset>), Error> {
    let archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| Error::format(path, format!("it is not a whole .npz file: {error}")))?;
    arrays::sets(&Archive { path, archive: RefCell::new(archive) }, options)
}

struct Files<'a> {
    path: &'a Path,
    arrays: HashMap<String, Cow<'a, [u8]>>,
}

impl Arrays for Files<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn noun(&self) -> &'static str {
        "array"
    }

    fn names(&self) -> Vec<String> {
        self.arrays.keys().cloned().collect()
    }

    fn get(&self, name: &str) -> Result<Option<Array<'_>>, Error> {
        let Some(bytes) = self.arrays.get(name) else { return Ok(None) };
        let wrong = |reason: String| Error::format(self.path, format!("{name}: {reason}"));
        let mut rest = &bytes[..];
        let header = Header::read(&mut rest).map_err(wrong)?;
        let count = header.bytes().map_err(wrong)?;
        if rest.len() as u64 != count {
            return Err(wrong(header.disagrees(count, rest.len() as u64)));
        }
        Ok(Some(header.array(Cow::Borrowed(rest))))
    }
}

struct Archive<'a> {
    path: &'a Path,
    archive: RefCell<ZipArchive<Cursor<&'a [u8]>>>,
}

impl Arrays for Archive<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn noun(&self) -> &'static str {
        "array"
    }

    fn names(&self) -> Vec<String> {
        let archive = self.archive.borrow();
        let names = archive.file_names().filter_map(Result::ok);
        names.map(|name| name.strip_suffix(".npy").unwrap_or(&name).to_string()).collect()
    }

    fn get(&self, name: &str) -> Result<Option<Array<'_>>, Error> {
        let wrong = |reason: String| Error::format(self.path, format!("{name}: {reason}"));
        let mut archive = self.archive.borrow_mut();
        let mut file = match archive.by_name(&format!("{name}.npy")) {
            Ok(file) => file,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let header = Header::read(&mut file).map_err(wrong)?;
        let count = header.bytes().map_err(wrong)?;
        // Never more than the header asks for, whatever the archive inflates to; and not allocated at once.
        let mut bytes = Vec::new();
        file.by_ref()
            .take(count + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| wrong(format!("it cannot be inflated: {error}")))?;
        if bytes.len() as u64 != count {
            return Err(wrong(header.disagrees(count, bytes.len() as u64)));
        }
        Ok(Some(header.array(Cow::Owned(bytes))))
    }
}

/// What comes before the values.
struct Header {
    element: Element,
    big_endian: bool,
    /// The first index is the one that changes fastest.
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn read(stream: &mut impl Read) -> Result<Header, String> {
        let ended = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "it ends inside its header: the file is cut short".to_string(),
            _ => format!("it cannot be read: {error}"),
        };
        let mut begin = [0; 8];
        stream.read_exact(&mut begin).map_err(ended)?;
        if !begin.starts_with(b"\x93NUMPY") {
            return Err("it does not begin as a .npy file does".into());
        }
        let mut length = [0; 4];
        let words = if begin[6] == 1 { 2 } else { 4 };
        stream.read_exact(&mut length[..words]).map_err(ended)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MOST_HEADER {
            return Err(format!("its header says that it has {length} bytes: at most {MOST_HEADER} are read"));
        }
        let mut text = vec![0; length];
        stream.read_exact(&mut text).map_err(ended)?;
        let text = String::from_utf8(text).map_err(|_| "its header is not text".to_string())?;
        Header::parse(&text).ok_or_else(|| {
            let begin: String = text.trim().chars().take(200).collect();
            format!("its header is {begin:?}: it must describe an array of whole numbers, f2, f4 or f8")
        })
    }

    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`
    fn parse(text: &str) -> Option<Header> {
        let value = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
        let descr = value("descr")?.strip_prefix('\'')?.split_once('\'')?.0;
        let shape = value("shape")?.strip_prefix('(')?.split_once(')')?.0;
        let fortran = match value("fortran_order")? {
            word if word.starts_with("True") => true,
            word if word.starts_with("False") => false,
            _ => return None,
        };
        let element = match descr.get(1..)? {
            "b1" => Element::Bool,
            "u1" => Element::U8,
            "i1" => Element::I8,
            "u2" => Element::U16,
            "i2" => Element::I16,
            "u4" => Element::U32,
            "i4" => Element::I32,
            "u8" => Element::U64,
            "i8" => Element::I64,
            "f2" => Element::F16,
            "f4" => Element::F32,
            "f8" => Element::F64,
            _ => return None,
        };
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let shape: Vec<usize> = sizes.map(|size| size.parse().ok()).collect::<Option<_>>()?;
        (shape.len() <= 32).then_some(Header { element, big_endian: descr.starts_with('>'), fortran, shape })
    }

    /// The bytes of its values.
    fn bytes(&self) -> Result<u64, String> {
        let sizes =
            self.shape.iter().try_fold(self.element.bytes() as u64, |product, &size| product.checked_mul(size as u64));
        sizes
            .filter(|&bytes| bytes <= MOST_BYTES)
            .ok_or_else(|| format!("its header asks for {:?} values: at most 4 GiB fit", self.shape))
    }

    fn disagrees(&self, count: u64, found: u64) -> String {
        let found = if found < count { format!("only {found}: it is cut short") } else { "more".into() };
        format!("its header says {:?}, that is {count} bytes, and the file has {found}", self.shape)
    }

    /// The values in our order: little-endian, row-major.
    fn array(self, bytes: Cow<'_, [u8]>) -> Array<'_> {
        let Header { element, big_endian, fortran, shape } = self;
        let mut bytes = bytes;
        let size = element.bytes();
        if big_endian && size > 1 {
            bytes.to_mut().chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        if fortran && shape.len() > 1 {
            bytes = Cow::Owned(row_major(&bytes, &shape, size));
        }
        Array { element, shape, bytes }
    }
}

/// Values whose first index changes fastest, in the order in which the last one does.
fn row_major(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut ordered = Vec::with_capacity(bytes.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..bytes.len() / size {
        let place = index.iter().zip(shape).rev().fold(0, |place, (at, size)| place * size + at);
        ordered.extend_from_slice(&bytes[place * size..(place + 1) * size]);
        for (at, &size) in index.iter_mut().zip(shape).rev() {
            *at += 1;
            if *at < size {
                break;
            }
            *at = 0;
        }
    }
    ordered
}
