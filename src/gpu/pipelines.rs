//! The driver's compiled kernels, kept between runs where wgpu can (Vulkan's pipeline cache).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cache_file::checksum;
use super::trusted::pipeline_cache;
use crate::files::write_cache;

/// A compiled kernel.
pub(crate) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

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

#[cfg(test)]
mod tests {
    use super::super::cache_file::read;
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
