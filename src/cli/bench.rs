//! `wgrad bench`.

use serde_json::json;

use super::config::Run;
use super::options::Train;
use super::output::Output;
use super::{source, train};
use crate::kernel::Cost;
use crate::trainer::{Ceilings, ceilings, step_times};
use crate::{Error, Trainer};

/// Times a training step and each of its dispatches on the adapter, and prints a table that can be pasted.
pub(super) fn run(flags: &Train) -> Result<(), Error> {
    let output = Output { json: flags.common.json };
    let run = Run::new(flags)?;
    let (rows, validation) = source::of_run(&run)?;
    let set = rows.at_hand();
    let network = train::network(&run, &rows, validation.as_ref());
    let shape = train::shape(&network);
    let mut trainer = Trainer::on(super::open_gpu(&run.adapter)?, network, run.options.clone())?;
    trainer.tune(set, |_| {})?;
    let plan = trainer.plan(set)?;
    let adapter = trainer.gpu().adapter();
    let times = step_times(trainer.gpu(), &plan, run.options.checks)?;
    let ceilings = ceilings(trainer.gpu(), run.options.checks)?;

    let batch = plan.batch;
    output.text(format_args!("{}, batches of {batch}, on {} ({})\n", shape, adapter.name, adapter.driver))?;
    output.text(format_args!(
        "| {:<16} | {:<30} | {:>8} | {:>8} | {:>6} | {:>10} |",
        "dispatch", "tile", "ms", "GFLOP/s", "GB/s", "of ceiling"
    ))?;
    output.text("|:--|:--|--:|--:|--:|--:|")?;
    for (dispatch, seconds) in plan.dispatches.iter().zip(&times.dispatches) {
        let launch = &dispatch.launch;
        line(&output, launch.kernel, &launch.variant, *seconds, launch.cost, ceilings)?;
        output.event(json!({
            "event": "dispatch", "kernel": launch.kernel, "variant": launch.variant, "seconds": seconds,
            "flops": launch.cost.flops, "bytes": launch.cost.bytes,
        }))?;
    }
    line(&output, "a step", "", times.step, plan.cost(), ceilings)?;
    let rows_per_second = f64::from(batch) / times.step;
    output.text(format_args!(
        "\n{rows_per_second:.0} rows/s; of a step, the host takes {:.1} µs, beside the device. The least of seven rounds each.\n\
         The ceiling, measured here: a copy {:.1} GB/s, a product of 1024³ {:.1} GFLOP/s; a textbook's kernel, an output \
         an invocation, reaches {:.2}. Of both shares, the larger.",
        1e6 * times.host,
        ceilings.copy / 1e9,
        ceilings.product / 1e9,
        ceilings.naive / 1e9,
    ))?;
    output.event(json!({
        "event": "step", "adapter": adapter.name, "driver": adapter.driver, "network": shape, "batch": batch,
        "seconds": times.step, "host_seconds": times.host, "rows_per_second": rows_per_second,
        "copy_bytes_per_second": ceilings.copy, "product_flops_per_second": ceilings.product, "naive_flops_per_second": ceilings.naive,
    }))
}

fn line(output: &Output, name: &str, tile: &str, seconds: f64, cost: Cost, ceilings: Ceilings) -> Result<(), Error> {
    let (flops, bytes) = (cost.flops as f64 / seconds, cost.bytes as f64 / seconds);
    let share = 100.0 * (flops / ceilings.product).max(bytes / ceilings.copy);
    output.text(format_args!(
        "| {name:<16} | {tile:<30} | {:>8.3} | {:>8.1} | {:>6.1} | {share:>8.0} % |",
        1e3 * seconds,
        flops / 1e9,
        bytes / 1e9
    ))
}
