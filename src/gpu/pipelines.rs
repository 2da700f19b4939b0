//! The driver's compiled kernels, kept between runs where wgpu can (Vulkan's pipeline cache).

use std::path::{Path, PathBuf};

use crate::files::write_cache;

/// More than any driver keeps for our few kernels.
const MOST_BYTES: u64 = 256 << 20;

/// A cache of compiled kernels and the file that it comes from and goes to.
pub(super) struct PipelineCache {
    cache: wgpu::PipelineCache,
    file: PathBuf,
}

impl PipelineCache {
    /// The cache in a folder for this adapter; none where the device has no such thing.
    pub fn open(device: &wgpu::Device, adapter: &wgpu::AdapterInfo, folder: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = folder.join(wgpu::util::pipeline_cache_key(adapter)?);
        let known = std::fs::metadata(&file).is_ok_and(|about| about.len() <= MOST_BYTES);
        let data = known.then(|| std::fs::read(&file).ok()).flatten();
        // SAFETY: the data is what `keep` wrote, whole, from `get_data` of a cache of this adapter: the file is named after it, in a
        // folder that the caller vouches for. wgpu and the driver check its header, and begin with an empty cache where another version
        // of them wrote it.
        let cache = unsafe {
            device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
                label: Some("wgrad"),
                data: data.as_deref(),
                fallback: true,
            })
        };
        Some(PipelineCache { cache, file })
    }

    /// The cache, for a pipeline that is made.
    pub fn inner(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes what was compiled so far.
    pub fn keep(&self) {
        if let Some(data) = self.cache.get_data() {
            write_cache(&self.file, &data);
        }
    }
}
