//! What a fit takes of the device, known from its plans before anything is made.
//!
//! wgpu says how large one buffer may be and how much of it a kernel can bind, and nothing of how much memory there is in all: that is found
//! out by asking for it.

use super::plans;
use super::session::Session;
use crate::data::Dataset;
use crate::error::Error;
use crate::gpu::buffer_bytes;
use crate::plan::{Lifetime, Plan, Role, STATE_BYTES};
use crate::run::rows::Rows;

/// That what a fit on these sets will make fits, before any of it is made.
///
/// # Errors
///
/// As [`plans::fitting`] for either set.
pub(crate) fn check(session: &Session, train: Rows<'_>, validation: Option<&Dataset>) -> Result<(), Error> {
    plans::training(session, train)?;
    plans::validation(session, validation)?;
    Ok(())
}

/// Device memory that a fit takes: the weights, the optimizer's values, what is in between, both sets, the best weights where they are kept, what
/// parameters are reported by, and what is read back; and, where checkpoints are made, the copies of one.
pub(crate) fn bytes_of_fit(session: &Session, train: Rows<'_>, validation: Option<&Dataset>) -> Result<u64, Error> {
    let plan = plans::training(session, train)?;
    // A plan has one window, and the device two.
    let second = if matches!(train, Rows::Windows { .. }) { bytes_of(&plan, is_of_set) } else { 0 };
    let is_measured = |role| matches!(role, Role::Metrics | Role::Scores);
    let validating = plans::validation(session, validation)?.map_or(0, |plan| {
        let own = bytes_of(&plan, |role| !matches!(role, Role::Weights(_)));
        own + sums_bytes(&plan) + bytes_of(&plan, is_measured)
    });
    let reporting = if session.reports_parameters { reporting_bytes(session, train)? } else { 0 };
    let weights = bytes_of(&plan, |role| matches!(role, Role::Weights(_)));
    let best = if session.options.keep_best { weights } else { 0 };
    let is_kept = |role: Role| role.lifetime() == Lifetime::Run || role == Role::Stats;
    let snapshot = if session.options.checkpoint.is_some() { bytes_of(&plan, is_kept) + best } else { 0 };
    Ok(bytes_of(&plan, |_| true) + second + sums_bytes(&plan) + validating + reporting + best + snapshot)
}

/// An error, with what the whole fit takes where there was no memory for a part of it.
pub(crate) fn in_all(session: &Session, error: Error, train: Rows<'_>, validation: Option<&Dataset>) -> Error {
    match error {
        Error::OutOfMemory { what, bytes, held, reason, .. } => {
            let in_all = bytes_of_fit(session, train, validation).ok();
            Error::OutOfMemory { what, bytes, held, in_all, reason }
        }
        error => error,
    }
}

/// Device memory of the step that parameters are reported by, and of what they are read by.
fn reporting_bytes(session: &Session, train: Rows<'_>) -> Result<u64, Error> {
    let plan = plans::gradients(session, train)?;
    let is_shared = |role: Role| role.lifetime() == Lifetime::Set || matches!(role, Role::Weights(_));
    // The weights and their gradients.
    let bytes = |[rows, columns]: [u32; 2]| 4 * u64::from(rows) * u64::from(columns);
    let layers = session.model.network.dense_sizes(1);
    let read = 2 * layers.into_iter().map(|dense| bytes(dense.weights_shape())).sum::<u64>();
    Ok(bytes_of(&plan, |role| !is_shared(role)) + sums_bytes(&plan) + read)
}

fn is_of_set(role: Role) -> bool {
    matches!(role, Role::Set(_) | Role::Targets)
}

/// Bytes of those of a plan's buffers.
fn bytes_of(plan: &Plan, counts: impl Fn(Role) -> bool) -> u64 {
    plan.bytes_of(counts).into_iter().map(buffer_bytes).sum()
}

/// Bytes of what a runner's sums are read by.
fn sums_bytes(plan: &Plan) -> u64 {
    bytes_of(plan, |role| role == Role::Stats) + STATE_BYTES
}
