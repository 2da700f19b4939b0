//! TensorFlow's records: a length (u64), its checksum (u32), the data, its checksum; little-endian. Checksums are CRC-32C, masked so that a
//! checksum of data that holds checksums is a good one, too
//! ([lib/hash/crc32c.h](https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/lib/hash/crc32c.h)).

use std::io::{Result, Write};

/// Writes one record.
pub(super) fn write(to: &mut impl Write, data: &[u8]) -> Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    to.write_all(&length)?;
    to.write_all(&checksum(&length))?;
    to.write_all(data)?;
    to.write_all(&checksum(data))
}

pub(crate) fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::write;

    /// Finds a checksum of another polynomial or mask, or numbers of the wrong width or order: a reader drops such a file in silence.
    #[test]
    fn records_are_tensorboards_own_bytes() {
        // These bytes were written by tensorboard 2.21's RecordWriter, from the same data.
        let known: [(&[u8], &str); 3] = [
            (b"", "000000000000000029039807d8ea82a2"),
            (b"123456789", "090000000000000037f97139313233343536373839e5b08ac7"),
            (b"\x1a\x0dbrain.Event:2", "0f000000000000006d532b091a0d627261696e2e4576656e743a32fc985129"),
        ];
        for (data, bytes) in known {
            let mut written = Vec::new();
            write(&mut written, data).unwrap();
            let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, bytes, "{data:?}");
        }
    }
}
