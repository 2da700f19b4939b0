//! What tells a set from another.

use super::{Dataset, Features};

/// A set's size and a checksum of its contents: enough to see that a run goes on with the set that it began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub rows: u64,
    pub width: u64,
    /// CRC-32 of the features, the targets and the rows' weights.
    pub crc32: u32,
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fingerprint { rows, width, crc32 } = self;
        write!(f, "{rows} rows of {width} features with the checksum {crc32:08x}")
    }
}

impl Dataset {
    /// Reads the whole set once, some gigabytes a second.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut hasher = crc32fast::Hasher::new();
        match &self.features {
            Features::U8(values) => hasher.update(values),
            Features::F32(values) => hasher.update(bytemuck::cast_slice(values)),
        }
        hasher.update(bytemuck::cast_slice(&self.labels));
        if let Some(all) = &self.values {
            hasher.update(bytemuck::cast_slice(&all.values));
        }
        if let Some(weights) = &self.sample_weights {
            hasher.update(bytemuck::cast_slice(weights));
        }
        Fingerprint { rows: self.rows as u64, width: self.width as u64, crc32: hasher.finalize() }
    }
}
