//! `wgrad adapters`.

use serde_json::json;

use super::opening::{limits, open_gpu};
use super::options::Adapters;
use super::output::{Output, grouped};
use crate::error::Error;
use crate::gpu::adapters;

pub(super) fn run(options: &Adapters) -> Result<(), Error> {
    let output = Output::of(options.common.json);
    let choice = options.common.adapter.clone().unwrap_or_default();
    let found = adapters(&choice, limits()?);
    for (number, adapter) in found.iter().enumerate() {
        output.event(json!({
            "event": "adapter", "number": number, "adapter": adapter.name, "backend": adapter.backend, "driver": adapter.driver,
            "kind": adapter.kind.to_string(), "max_binding_bytes": adapter.max_binding_bytes,
            "max_buffer_bytes": adapter.max_buffer_bytes, "max_workgroup_bytes": adapter.max_workgroup_bytes,
            "max_workgroups": adapter.max_workgroups, "subgroup_sizes": adapter.subgroup_sizes,
            "features": adapter.features, "chosen": adapter.chosen,
        }))?;
        let mark = if adapter.chosen { "→" } else { " " };
        let (least, most) = adapter.subgroup_sizes;
        let mib = |bytes: u64| grouped(bytes >> 20);
        output.text(format_args!("{mark} {number}: {} ({}, {})", adapter.name, adapter.kind, adapter.backend))?;
        output.text(format_args!("    driver     {}", adapter.driver))?;
        output.text(format_args!(
            "    limits     binding {} MiB, buffer {} MiB, shared memory {} KiB, {} workgroups a dimension",
            mib(adapter.max_binding_bytes),
            mib(adapter.max_buffer_bytes),
            adapter.max_workgroup_bytes >> 10,
            grouped(adapter.max_workgroups.into()),
        ))?;
        output.text(format_args!("    subgroups  {least} to {most} lanes"))?;
        output.text(format_args!("    features   {}", adapter.features.join(", ")))?;
    }
    if found.iter().any(|adapter| adapter.chosen) {
        return output.text("\n→ the one that would be used; --adapter takes auto, a number, a backend, a kind (cpu, gpu, discrete, integrated), or part of a name");
    }
    // No adapter is usable: the error of opening one has the reason and the package to install.
    open_gpu(&choice).map(drop)
}
