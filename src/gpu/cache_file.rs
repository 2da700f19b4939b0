//! The file of compiled kernels, which is taken only where it is whole.

use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

/// The largest cache file that is read, more than the kernels of a few networks take. A larger one is replaced.
const MOST_BYTES: u64 = 32 << 20;

/// The content of a cache file, without its checksum; none where the file is not whole.
pub(super) fn read(file: &Path) -> Option<Vec<u8>> {
    if std::fs::metadata(file).ok()?.len() > MOST_BYTES {
        return None;
    }
    let bytes = std::fs::read(file).ok()?;
    let (sum, data) = bytes.split_first_chunk()?;
    (checksum(data) == u64::from_le_bytes(*sum)).then(|| data.to_vec())
}

/// SipHash with a key that is always the same.
pub(super) fn checksum(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(data);
    hasher.finish()
}
