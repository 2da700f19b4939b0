//! `wgrad bench`.

use super::options::Train;
use super::times::Timed;
use crate::error::Error;
use crate::profile::step_times;

/// Times a training step and each of its dispatches on the adapter, and prints a table that can be pasted.
pub(super) fn run(flags: &Train) -> Result<(), Error> {
    flags.trains_nothing("bench")?;
    let timed = Timed::new(flags)?;
    let times = step_times(timed.gpu(), &timed.plan, timed.run.options.checks)?;
    timed.print(&times, "Dispatches: each repeated by itself, the least of seven rounds.")
}
