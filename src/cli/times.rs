//! What `bench` and `profile` have in common: a plan on the adapter, and the table of its times.

use serde_json::json;

use super::config::Run;
use super::options::Train;
use super::output::Output;
use super::{source, train};
use crate::gpu::Gpu;
use crate::kernel::Cost;
use crate::plan::Plan;
use crate::trainer::{Ceilings, StepTimes, ceilings};
use crate::{Error, Trainer};

/// The plan of a training step where it would run, and what that can do at most.
pub(super) struct Timed {
    pub output: Output,
    pub run: Run,
    trainer: Trainer,
    shape: String,
    pub plan: Plan,
    ceilings: Ceilings,
}

impl Timed {
    /// Opens the adapter and tunes the plan, as a run would, and measures the ceilings.
    pub fn new(flags: &Train) -> Result<Self, Error> {
        let output = Output { json: flags.common.json };
        let run = Run::new(flags)?;
        let (rows, validation) = source::of_run(&run)?;
        let set = rows.at_hand();
        let network = train::network(&run, &rows, validation.as_ref());
        let shape = train::shape(&network);
        let mut trainer = Trainer::on(super::open_gpu(&run.adapter)?, network, run.options.clone())?;
        trainer.tune(set, |_| {})?;
        let plan = trainer.plan(set)?;
        let ceilings = ceilings(trainer.gpu(), run.options.checks)?;
        Ok(Timed { output, run, trainer, shape, plan, ceilings })
    }

    pub fn gpu(&self) -> &Gpu {
        self.trainer.gpu()
    }

    /// A line for each dispatch, one for a step, and the figures behind them. `how` says how the dispatches were timed.
    pub fn print(&self, times: &StepTimes, how: &str) -> Result<(), Error> {
        let (output, plan, ceilings) = (&self.output, &self.plan, self.ceilings);
        let (adapter, batch) = (self.gpu().adapter(), plan.batch);
        output.text(format_args!(
            "{}, batches of {batch}, on {} ({})\n\n{}",
            self.shape, adapter.name, adapter.driver, HEADING
        ))?;
        let sum: f64 = times.dispatches.iter().sum();
        for (dispatch, &seconds) in plan.dispatches.iter().zip(&times.dispatches) {
            let launch = &dispatch.launch;
            let of_step = seconds / sum;
            output.text(row(launch.kernel, &launch.variant, seconds, of_step, launch.cost, ceilings))?;
            output.event(json!({
                "event": "dispatch", "kernel": launch.kernel, "variant": launch.variant, "seconds": seconds,
                "flops": launch.cost.flops, "bytes": launch.cost.bytes, "share": of_step,
                "of_ceiling": ceilings.share(launch.cost, seconds),
            }))?;
        }
        output.text(row("their sum", "", sum, 1.0, plan.cost(), ceilings))?;
        output.text(row("a step", "", times.step, times.step / sum, plan.cost(), ceilings))?;
        let rows_per_second = f64::from(batch) / times.step;
        output.text(format_args!(
            "\n{how} A step: the least of seven rounds of many, {rows_per_second:.0} rows/s; the host takes {:.1} µs of it, beside the \
             device.\nThe ceiling, measured here: a copy {:.1} GB/s, a product of 1024³ {:.1} GFLOP/s; a textbook's kernel, an output \
             an invocation, reaches {:.2}. Of both shares, the larger.",
            1e6 * times.host,
            ceilings.copy / 1e9,
            ceilings.product / 1e9,
            ceilings.naive / 1e9,
        ))?;
        output.event(json!({
            "event": "step", "adapter": adapter.name, "driver": adapter.driver, "network": self.shape, "batch": batch,
            "seconds": times.step, "host_seconds": times.host, "rows_per_second": rows_per_second, "how": how,
            "copy_bytes_per_second": ceilings.copy, "product_flops_per_second": ceilings.product,
            "naive_flops_per_second": ceilings.naive,
        }))
    }
}

const HEADING: &str = "\
| dispatch         | tile                           |       ms | of step |  GFLOP/s |   GB/s | of ceiling |
|:--|:--|--:|--:|--:|--:|--:|";

fn row(name: &str, tile: &str, seconds: f64, of_step: f64, cost: Cost, ceilings: Ceilings) -> String {
    format!(
        "| {name:<16} | {tile:<30} | {:>8.3} | {:>5.0} % | {:>8.1} | {:>6.1} | {:>8.0} % |",
        1e3 * seconds,
        100.0 * of_step,
        cost.flops as f64 / seconds / 1e9,
        cost.bytes as f64 / seconds / 1e9,
        100.0 * ceilings.share(cost, seconds),
    )
}
