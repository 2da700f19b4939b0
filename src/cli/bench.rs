//! `wgrad bench`.

use super::options::BenchOptions;
use super::times::Timed;
use crate::error::Error;
use crate::profile::{host_time, step_times};

/// Times a training step and each of its dispatches on the adapter, and prints a table that can be pasted; or times the host's part of a step alone.
pub(super) fn run(flags: &BenchOptions) -> Result<(), Error> {
    flags.train.trains_nothing("bench")?;
    let timed = Timed::new(&flags.train)?;
    let checks = timed.run.options.checks;
    if flags.host {
        return timed.print_host(host_time(timed.gpu(), &timed.plan, checks)?);
    }
    let ceilings = timed.ceilings()?;
    let times = step_times(timed.gpu(), &timed.plan, checks)?;
    timed.print(&times, ceilings, "Dispatches: each repeated by itself, the least of seven rounds.")
}
