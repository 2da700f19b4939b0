//! Reads NumPy's files: an array (`.npy`), a folder of arrays, and a zip archive of arrays (`.npz`).
//!
//! The format's description: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

mod header;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use header::Header;
use zip::ZipArchive;

use super::array::Array;
use super::arrays::{self, Arrays};
use super::sets::Sets;
use super::{Dataset, ReadOptions};
use crate::error::Error;

/// Reads a single array as features to predict on.
pub(super) fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    if !options.inputs_only {
        return Err(Error::format(
            path,
            "an array alone has no targets: put x.npy and y.npy or t.npy in a folder, or save both by numpy.savez",
        ));
    }
    arrays::sets(&Files { path, arrays: HashMap::from([("x".into(), Cow::Borrowed(bytes))]) }, options)
        .map(|sets| sets.train)
}

/// The array files of a set in a folder, each with its name. Names may be in any case.
fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(String, PathBuf)> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .filter_map(|path| {
            let is_array = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"));
            let name = path.file_stem().filter(|_| is_array)?.to_str()?.to_string();
            arrays::meaning(&name).map(|_| (name, path))
        })
        .collect();
    found.sort();
    found
}

/// Whether a folder holds the arrays of a set.
pub(super) fn is_folder(folder: &Path) -> bool {
    let is_features = |(name, _): &(String, PathBuf)| arrays::meaning(name).is_some_and(|(letter, _)| letter == 'x');
    files(folder).iter().any(is_features)
}

/// Reads `x.npy` with `y.npy` or `t.npy`, and the other arrays of a set.
pub(super) fn read_folder(folder: &Path, options: &ReadOptions) -> Result<Sets, Error> {
    let read = |(name, path): (String, PathBuf)| Ok((name, Cow::Owned(crate::files::read_whole(&path)?)));
    let arrays = files(folder).into_iter().map(read).collect::<Result<_, Error>>()?;
    arrays::sets(&Files { path: folder, arrays }, options)
}

/// Reads the sets in the arrays of an archive.
pub(super) fn read_npz(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Sets, Error> {
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
        let Some((header, rest)) = self.open(name)? else { return Ok(None) };
        let wrong = |reason: String| Error::format(self.path, format!("{name}: {reason}"));
        let count = header.bytes().map_err(wrong)?;
        if rest.len() as u64 != count {
            return Err(wrong(header.disagrees(count, rest.len() as u64)));
        }
        header.array(Cow::Borrowed(rest)).map(Some).map_err(wrong)
    }

    fn words(&self, name: &str) -> Result<Option<Vec<String>>, Error> {
        let Some((header, mut rest)) = self.open(name)? else { return Ok(None) };
        header.words(&mut rest).map_err(|reason| Error::format(self.path, format!("{name}: {reason}")))
    }
}

impl Files<'_> {
    /// The header of an array, and its bytes.
    fn open(&self, name: &str) -> Result<Option<(Header, &[u8])>, Error> {
        let Some(bytes) = self.arrays.get(name) else { return Ok(None) };
        let mut rest = &bytes[..];
        let header = Header::read(&mut rest);
        header
            .map(|header| Some((header, rest)))
            .map_err(|reason| Error::format(self.path, format!("{name}: {reason}")))
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
        self.open(name, |header, file| {
            let count = header.bytes()?;
            // Reads no more than the header asks for, however much the archive inflates to. Memory grows with what is read.
            let mut bytes = Vec::new();
            file.take(count + 1).read_to_end(&mut bytes).map_err(|error| format!("it cannot be inflated: {error}"))?;
            if bytes.len() as u64 != count {
                return Err(header.disagrees(count, bytes.len() as u64));
            }
            header.array(Cow::Owned(bytes))
        })
    }

    fn words(&self, name: &str) -> Result<Option<Vec<String>>, Error> {
        self.open(name, |header, file| header.words(file)).map(Option::flatten)
    }
}

impl Archive<'_> {
    /// Applies a function to an array's header and the stream of its bytes, if the archive has the array.
    fn open<T>(
        &self,
        name: &str,
        take: impl FnOnce(Header, &mut dyn Read) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        let wrong = |reason: String| Error::format(self.path, format!("{name}: {reason}"));
        let mut archive = self.archive.borrow_mut();
        let mut file = match archive.by_name(&format!("{name}.npy")) {
            Ok(file) => file,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let header = Header::read(&mut file).map_err(wrong)?;
        take(header, &mut file).map(Some).map_err(wrong)
    }
}
