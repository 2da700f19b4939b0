//! Files packed by gzip.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use flate2::read::MultiGzDecoder;

use super::MOST_BYTES;
use crate::error::Error;

/// The number of bytes that decide the format of the file inside.
const BEGINNING: u64 = 1 << 16;

/// Whether a file begins with gzip's magic bytes.
pub(super) fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x1f\x8b")
}

/// The name of the file inside: the packed file's without `.gz`, or else the one in gzip's header.
pub(super) fn name_inside(path: &Path, bytes: &[u8]) -> PathBuf {
    let is_gz = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    let name = if is_gz { path.with_extension("") } else { path.to_path_buf() };
    if is_gz && name.extension().is_some() {
        return name;
    }
    let header = GzDecoder::new(bytes);
    let inside = header.header().and_then(|header| header.filename());
    inside.map_or(name, |inside| PathBuf::from(String::from_utf8_lossy(inside).into_owned()))
}

/// The first bytes of the file inside.
pub(super) fn beginning(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    unpack(path, bytes, BEGINNING)
}

/// All bytes of the file inside.
pub(super) fn unpacked(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let inside = unpack(path, bytes, MOST_BYTES + 1)?;
    if inside.len() as u64 > MOST_BYTES {
        return Err(Error::format(path, "it unpacks to more than 4 GiB: that is the most that is read"));
    }
    Ok(inside)
}

/// At most `most` bytes of the file inside. The memory grows with what is read, as gzip does not give the size in advance.
fn unpack(path: &Path, bytes: &[u8], most: u64) -> Result<Vec<u8>, Error> {
    let mut inside = Vec::new();
    MultiGzDecoder::new(bytes).take(most).read_to_end(&mut inside).map_err(|error| match error.kind() {
        std::io::ErrorKind::OutOfMemory => Error::format(path, "it unpacks to more than the memory holds"),
        _ => Error::format(path, format!("it is not a whole gzip file: {error}")),
    })?;
    Ok(inside)
}
