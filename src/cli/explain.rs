//! `wgrad explain`.

use serde_json::json;

use super::config::Run;
use super::options::Train;
use super::output::Output;
use super::{source, train};
use crate::gpu::{AdapterSummary, adapters};
use crate::kernel::tile::Family;
use crate::plan::{Plan, Request};
use crate::{AdapterChoice, Error, Gpu};

/// Prints the plan of a training step. No device is opened: without an adapter, the plan is a software adapter's.
pub(super) fn run(flags: &Train) -> Result<(), Error> {
    let output = Output { json: flags.common.json };
    let run = Run::new(flags)?;
    let (set, validation) = source::with_validation(&run.data, run.validation.as_ref(), run.options.seed)?;
    let network = train::network(&run, &set, validation.as_ref());
    run.options.check(&network)?;
    run.options.check_set(&set)?;
    let adapter = adapters(&run.adapter).into_iter().find(|adapter| adapter.chosen);
    if adapter.is_none() && run.adapter != AdapterChoice::Auto {
        // The one asked for is not there: the error that opening it gives.
        return Gpu::open(&run.adapter).map(drop);
    }
    let plan = Plan::new(Request {
        network: &network,
        loss: &run.options.loss,
        targets: set.targets(),
        optimizer: Some(&run.options.optimizer),
        clip_grad_norm: run.options.clip_grad_norm,
        batch: run.options.batch_size as u32,
        element: set.element(),
        rows: set.rows() as u64,
        family: adapter.as_ref().map_or(Family::Software, AdapterSummary::family),
    })?;

    output.text(format_args!("for {}\n", adapter.map_or("a software adapter".into(), |adapter| adapter.name)))?;
    output.text(&plan)?;
    for dispatch in &plan.dispatches {
        let launch = &dispatch.launch;
        output.event(json!({
            "event": "dispatch", "kernel": launch.kernel, "variant": launch.variant, "workgroups": launch.workgroups,
            "flops": launch.cost.flops, "bytes": launch.cost.bytes,
        }))?;
    }
    for buffer in &plan.buffers {
        output.event(json!({
            "event": "buffer", "name": buffer.role.to_string(), "shape": buffer.shape, "bytes": buffer.bytes,
        }))?;
    }
    Ok(())
}
