//! Measuring tiles before a fit, and keeping what was found.

use std::ops::ControlFlow;

use super::plans;
use super::session::Session;
use crate::error::Error;
use crate::history::Event;
use crate::kernel::shape::Shape;
use crate::kernel::tiling::Picks;
use crate::measure::tuner::{self, Found};
use crate::measure::{Tuning, tuning};
use crate::run::rows::Rows;

/// Under [`Tuning::Auto`], measures what the plan for these rows has no picks for yet, until `observer` breaks off: what was not measured by
/// then keeps its rule's tile.
///
/// # Errors
///
/// As [`plans::training`]; [`Error::Kernel`], [`Error::Device`].
pub(crate) async fn tune(
    session: &mut Session,
    train: Rows<'_>,
    observer: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<(), Error> {
    // What is wrong with the rows or the options is said before anything is measured.
    let options = &session.options;
    plans::training(session, train)?.warn_of_unused(&options.picks);
    if options.tuning != Tuning::Auto {
        return Ok(());
    }
    let (adapter, family) = (session.model.gpu.adapter(), session.model.tiling.family);
    let host = session.model.gpu.host();
    let known = options.picks.clone().or(&session.measured).or(&options.measured_before(adapter, host));
    let started = host.now();
    let request = plans::training_request(session, train);
    let report = |shape: Shape, at, of| observer(Event::Tuning { kernel: shape.kernel, at, of });
    let found = tuner::tune(&session.model.gpu, request, options.checks, &known, options.tuning_budget, report).await?;
    let picks_of = |found: &mut dyn Iterator<Item = &Found>| -> Picks {
        found.map(|found| (found.shape.to_string(), found.tile.to_string())).collect()
    };
    let path = options.tuning_cache.as_deref().filter(|_| found.iter().any(|found| found.complete));
    if let Some(file) = path.and_then(|path| host.cache(path)) {
        let complete = picks_of(&mut found.iter().filter(|found| found.complete));
        tuning::keep(&*file, &tuning::key(adapter, family), &complete);
    }
    if !found.is_empty() {
        // Its answer has nothing more to break off.
        let _ = observer(Event::Tuned { kinds: found.len(), seconds: host.since(started).as_secs_f64() });
    }
    session.measured = known.or(&picks_of(&mut found.iter()));
    session.model.tiling.picks = session.measured.clone().or(&session.model.tiling.picks);
    Ok(())
}
