//! The driver's compiled kernels, kept between runs where wgpu can (Vulkan's pipeline cache).

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::trusted::pipeline_cache;
use crate::files::write_cache;

/// The largest cache file that is read, more than the kernels of a few networks take. A larger one is replaced.
const MOST_BYTES: u64 = 32 << 20;

/// A cache of compiled kernels and the file that it comes from and goes to.
pub(super) struct PipelineCache {
    cache: wgpu::PipelineCache,
    file: PathBuf,
    /// Kernels that were compiled when it was written last.
    written: AtomicUsize,
}

impl PipelineCache {
    /// The cache in a folder for this adapter; none where the device has no such thing.
    pub fn open(device: &wgpu::Device, adapter: &wgpu::AdapterInfo, folder: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = folder.join(wgpu::util::pipeline_cache_key(adapter)?);
        let cache = pipeline_cache(device, &file);
        Some(PipelineCache { cache, file, written: AtomicUsize::new(0) })
    }

    /// The cache, for a pipeline that is made.
    pub fn inner(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes it, where more kernels were compiled since it was written last.
    pub fn keep(&self, compiled: usize) {
        if self.written.swap(compiled, Ordering::Relaxed) < compiled
            && let Some(data) = self.cache.get_data()
        {
            write_cache(&self.file, &[&checksum(&data).to_le_bytes(), &data[..]].concat());
        }
    }
}

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
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cache");
        let data = b"what a driver compiled".to_vec();
        let whole = [&checksum(&data).to_le_bytes()[..], &data].concat();
        std::fs::write(&file, &whole).unwrap();
        assert_eq!(read(&file), Some(data));
        for cut in 0..whole.len() {
            std::fs::write(&file, &whole[..cut]).unwrap();
            assert_eq!(read(&file), None, "{cut} bytes");
        }
        for bit in 0..8 * whole.len() {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&file, &bytes).unwrap();
            assert_eq!(read(&file), None, "bit {bit}");
        }
        assert_eq!(read(&folder.path().join("none")), None);
    }
}
