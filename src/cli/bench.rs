//! `wgrad bench`.

use serde_json::json;

use super::config::Run;
use super::options::Train;
use super::output::Output;
use super::{source, train};
use crate::trainer::step_times;
use crate::{Error, Gpu, Trainer};

/// Times a training step and each of its dispatches on the adapter, and prints a table that can be pasted.
pub(super) fn run(flags: &Train) -> Result<(), Error> {
    let output = Output { json: flags.common.json };
    let run = Run::new(flags)?;
    let (set, validation) = source::with_validation(&run.data, run.validation.as_ref(), run.options.seed)?;
    let network = train::network(&run, &set, validation.as_ref());
    let shape = train::shape(&network);
    let mut trainer = Trainer::on(Gpu::open(&run.adapter)?, network, run.options.clone())?;
    trainer.tune(&set, |_| {})?;
    let plan = trainer.plan(&set)?;
    let adapter = trainer.gpu().adapter();
    let times = step_times(trainer.gpu(), &plan, run.options.checks)?;

    let batch = plan.batch;
    output.text(format_args!("{}, batches of {batch}, on {} ({})\n", shape, adapter.name, adapter.driver))?;
    output.text(format_args!(
        "| {:<16} | {:<21} | {:>8} | {:>8} | {:>8} |",
        "dispatch", "tile", "ms", "GFLOP/s", "GB/s"
    ))?;
    output.text("|:--|:--|--:|--:|--:|")?;
    for (dispatch, seconds) in plan.dispatches.iter().zip(&times.dispatches) {
        let launch = &dispatch.launch;
        line(&output, launch.kernel, &launch.variant, *seconds, launch.cost)?;
        output.event(json!({
            "event": "dispatch", "kernel": launch.kernel, "variant": launch.variant, "seconds": seconds,
            "flops": launch.cost.flops, "bytes": launch.cost.bytes,
        }))?;
    }
    line(&output, "a step", "", times.step, plan.cost())?;
    let rows_per_second = f64::from(batch) / times.step;
    output.text(format_args!(
        "\n{rows_per_second:.0} rows/s; of a step, the host takes {:.1} µs, beside the device. The least of seven rounds each.",
        1e6 * times.host
    ))?;
    output.event(json!({
        "event": "step", "adapter": adapter.name, "driver": adapter.driver, "network": shape, "batch": batch,
        "seconds": times.step, "host_seconds": times.host, "rows_per_second": rows_per_second,
    }))
}

fn line(output: &Output, name: &str, tile: &str, seconds: f64, cost: crate::kernel::Cost) -> Result<(), Error> {
    let (gflops, gbytes) = (cost.flops as f64 / seconds / 1e9, cost.bytes as f64 / seconds / 1e9);
    output.text(format_args!("| {name:<16} | {tile:<21} | {:>8.3} | {gflops:>8.1} | {gbytes:>8.1} |", 1e3 * seconds))
}
