//! The driver's compiled kernels, kept between runs where wgpu can (Vulkan's pipeline cache).

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::checksum::with_checksum;
use super::trusted::pipeline_cache;
use crate::host::{Cache, Host};

/// The largest cache file that is read, more than the kernels of a few networks take. A larger one is replaced.
const MOST_BYTES: u64 = 32 << 20;

/// A compiled kernel.
pub(crate) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// A cache of compiled kernels and the file that it comes from and goes to.
pub(super) struct PipelineCache {
    cache: wgpu::PipelineCache,
    file: Box<dyn Cache>,
    /// Kernels that were compiled when it was written last.
    written: AtomicUsize,
}

impl PipelineCache {
    /// The cache in a folder for this adapter; none where the device has no such thing, or the host no files.
    pub fn open(device: &wgpu::Device, adapter: &wgpu::AdapterInfo, folder: &Path, host: &dyn Host) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = host.cache(&folder.join(wgpu::util::pipeline_cache_key(adapter)?))?;
        let stored = file.read(MOST_BYTES).ok().flatten();
        let cache = pipeline_cache(device, stored.as_deref());
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
            self.file.write(&with_checksum(&data));
        }
    }
}
