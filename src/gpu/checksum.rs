//! The checksum in front of compiled kernels in a file, which are taken only where they are whole.

use std::hash::{DefaultHasher, Hasher};

/// What is stored: the data behind its checksum.
pub(super) fn with_checksum(data: &[u8]) -> Vec<u8> {
    [&checksum(data).to_le_bytes(), data].concat()
}

/// The data in what is stored; none where it is not whole.
pub(super) fn whole(stored: &[u8]) -> Option<&[u8]> {
    let (sum, data) = stored.split_first_chunk()?;
    (checksum(data) == u64::from_le_bytes(*sum)).then_some(data)
}

/// SipHash with a key that is always the same.
fn checksum(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(data);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that was torn, or in which a bit has turned, handed to the driver.
    #[test]
    fn damaged_files_are_none() {
        let data = b"what a driver compiled";
        let stored = with_checksum(data);
        assert_eq!(whole(&stored), Some(&data[..]));
        for cut in 0..stored.len() {
            assert_eq!(whole(&stored[..cut]), None, "{cut} bytes");
        }
        for bit in 0..8 * stored.len() {
            let mut bytes = stored.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(whole(&bytes), None, "bit {bit}");
        }
    }
}
