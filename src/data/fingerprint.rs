//! Fingerprints that distinguish data sets.

use crc32fast::Hasher;

use super::{Dataset, Features, Source};
use crate::error::Error;
use crate::preprocessing::Scaling;

/// A set's size and a checksum of its contents: enough to check that a resumed run uses the set that it began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub rows: u64,
    pub width: u64,
    /// CRC-32 of the features, the targets, the sample weights and the scalings.
    pub crc32: u32,
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fingerprint { rows, width, crc32 } = self;
        write!(f, "{rows} rows of {width} features with the checksum {crc32:08x}")
    }
}

impl Dataset {
    /// Computes the fingerprint of the whole set, at some gigabytes a second.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut hasher = Hasher::new();
        self.hash_into(&mut hasher);
        Fingerprint { rows: self.rows as u64, width: self.width as u64, crc32: hasher.finalize() }
    }

    fn hash_into(&self, hasher: &mut Hasher) {
        match &self.features {
            Features::U8(values) => hasher.update(values),
            Features::F16(values) => hasher.update(bytemuck::cast_slice(values)),
            Features::F32(values) => hasher.update(bytemuck::cast_slice(values)),
            Features::F64(values) => hasher.update(bytemuck::cast_slice(values)),
            Features::Tokens(tokens) => hasher.update(bytemuck::cast_slice(&tokens.values)),
        }
        hasher.update(bytemuck::cast_slice(&self.labels));
        if let Some(all) = &self.values {
            hasher.update(bytemuck::cast_slice(&all.values));
        }
        if let Some(weights) = &self.sample_weights {
            hasher.update(bytemuck::cast_slice(weights));
        }
        if let Some(Scaling { shift, scale }) = self.target_scaling() {
            hasher.update(bytemuck::cast_slice(shift));
            hasher.update(bytemuck::cast_slice(scale));
        }
        // The scaling of f32 features is part of their values.
        if let Some(scaling) = self.device_scaling(self.width / 4 + 1) {
            hasher.update(bytemuck::cast_slice(&scaling));
        }
    }
}

impl Fingerprint {
    /// The fingerprint of a source that is too large to read whole: of some rows at its beginning, in its middle and at its end.
    pub(crate) fn of_source(source: &dyn Source) -> Result<Fingerprint, Error> {
        const SOME: usize = 256;
        let rows = source.rows();
        let (mut hasher, mut width) = (Hasher::new(), 0);
        for first in [0, rows / 2, rows.saturating_sub(SOME)] {
            let some = source.read(first..(first + SOME).min(rows))?;
            some.hash_into(&mut hasher);
            width = some.width as u64;
        }
        Ok(Fingerprint { rows: rows as u64, width, crc32: hasher.finalize() })
    }
}
