//! What a fit remembers from one epoch to the next.

use crate::history::History;
use crate::options::Watch;

/// What of a fit outlives a kill, besides what is on the device.
#[derive(Clone, Debug)]
pub(crate) struct FitState {
    /// The step in which the fit began.
    pub began: u64,
    /// The step in which the running sums began, and the steps skipped before it.
    pub sums_began: u64,
    pub skipped_before: u32,
    pub watch: Watch,
    pub history: History,
}
