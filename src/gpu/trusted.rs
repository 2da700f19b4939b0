//! The two calls of wgpu, and the one of the standard library, that the compiler cannot check, and all the `unsafe` there is: it is denied elsewhere (`Cargo.toml`). Each is
//! behind a function that sees to what the call asks for, so that no caller can get it wrong.
#![allow(unsafe_code)]

use super::checks::Checks;
use super::checksum::whole;
#[cfg(target_os = "linux")]
use crate::host::is_only_thread;
use crate::kernel::Launch;

/// A driver's cache of pipelines, with what was stored where that is whole.
pub(super) fn pipeline_cache(device: &wgpu::Device, stored: Option<&[u8]>) -> wgpu::PipelineCache {
    let data = stored.and_then(whole);
    // SAFETY: the data is what `PipelineCache::keep` wrote from `get_data` of a cache of this adapter, whose name the file has: `whole`
    // gives it only where its checksum is right, so that a torn or damaged file is none. wgpu checks its header, and begins with an
    // empty cache where another driver, or another version of this one, wrote it. Who can forge a file there with its checksum can do
    // so in the driver's own cache: the folder is the user's.
    unsafe {
        device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor { label: Some("wgrad"), data, fallback: true })
    }
}

/// Sets a variable of this process' environment, where that is safe: while it has no other thread. Says whether it did.
#[cfg(target_os = "linux")]
pub(super) fn set_variable(name: &str, value: &str) -> bool {
    let is_alone = is_only_thread();
    if is_alone {
        // SAFETY: what makes this unsafe is another thread that reads the environment meanwhile. The kernel lists the threads of this process, and
        // there is this one alone, which is here; only this one could begin another. Where the list cannot be read, nothing is set.
        unsafe { std::env::set_var(name, value) };
    }
    is_alone
}

/// The module of a launch's text. A text that a user wrote part of is checked as it runs, with [`Checks::Off`] too.
pub(super) fn shader_module(
    device: &wgpu::Device,
    launch: &Launch,
    wgsl: String,
    checks: Checks,
) -> wgpu::ShaderModule {
    let descriptor =
        wgpu::ShaderModuleDescriptor { label: Some(launch.kernel), source: wgpu::ShaderSource::Wgsl(wgsl.into()) };
    if checks == Checks::On || !launch.is_our_own() {
        return device.create_shader_module(descriptor);
    }
    // SAFETY: the text is this crate's own. No index in it depends on data that was not checked on the host, and the plan sizes every
    // buffer for the constants that the text was linked with: `Plan::new` alone makes plans, and code outside the crate cannot change one.
    // `Gpu::run_once`, hidden, has no plan: its callers, the tests and the selftest, size the buffers. The tests run each kernel with
    // checks and without, and compare.
    unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
}
