//! Steps whose minibatches come in parts, and how many parts each has.

use std::ops::Range;

use crate::kernel::accumulate::Parts;
use crate::plan::Plan;

/// The parts of a plan's minibatches, and what of a step is run for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InParts {
    /// Rows of a part.
    pub batch: u32,
    /// The parts of a minibatch that is whole.
    pub parts: Parts,
    /// Dispatches that are run for each part, and those of a step besides.
    pub repeated: usize,
    pub others: usize,
}

impl InParts {
    pub fn of(plan: &Plan) -> Self {
        let repeated = plan.repeated();
        InParts { batch: plan.batch, parts: plan.parts, repeated, others: plan.dispatches.len() - repeated }
    }

    /// Rows of a minibatch that is whole.
    pub fn step_rows(self) -> u32 {
        self.batch.saturating_mul(self.parts.all())
    }

    /// The parts of each of these steps, numbered so that `end` comes after the last of an epoch or a window, which has `rows` rows in all: its last
    /// minibatch may have fewer parts than others, and none that is empty is run, but for shards.
    pub fn of_steps(self, steps: Range<u64>, end: u64, rows: u64) -> impl Iterator<Item = u64> + Clone {
        let own = u64::from(self.parts.own());
        let left = match (rows % u64::from(self.step_rows()), self.parts) {
            (0, _) | (_, Parts::Shards(_)) => own,
            (left, Parts::InTurn(_)) => left.div_ceil(self.batch.into()),
        };
        steps.map(move |step| if step + 1 == end { left } else { own })
    }

    /// The dispatches of steps with this many parts each.
    pub fn dispatches(self, parts: impl Iterator<Item = u64>) -> u64 {
        parts.map(|parts| parts * self.repeated as u64 + self.others as u64).sum()
    }
}
