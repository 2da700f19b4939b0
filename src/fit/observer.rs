//! Which part of an epoch is trained, and what its observer is told meanwhile.

use crate::history::Progress;
use crate::run::sums::Sums;

/// What of an epoch is trained now: all of it, but where a run begins or ends inside one.
#[derive(Clone, Copy, Default)]
pub(crate) struct EpochPart {
    /// Counted from 0 since the weights were new.
    pub epoch: u64,
    /// Of the epoch: its steps; the first whose rows are in the sums; how many were in them before now; and how many come to them now.
    pub per_epoch: u64,
    pub first: u64,
    pub before_now: u64,
    pub steps: u64,
    /// Rows of a minibatch and of the set.
    pub batch: u64,
    pub rows: u64,
}

impl EpochPart {
    fn rows_before(&self, step: u64) -> u64 {
        (step * self.batch).min(self.rows)
    }

    /// Rows in the sums after `steps` of the steps that come now.
    pub fn rows_of(&self, steps: u64) -> u64 {
        self.rows_before(self.first + self.before_now + steps) - self.rows_before(self.first)
    }

    /// Those of them that came with these steps.
    pub fn rows_now(&self, steps: u64) -> u64 {
        self.rows_of(steps) - self.rows_of(0)
    }
}

/// Makes the reports on an epoch while it goes on.
pub(crate) struct Reporter {
    part: EpochPart,
    knows_norm: bool,
    /// The rows and sums of the last report.
    reported: (u64, Sums),
}

impl Reporter {
    /// For a part that nothing has been reported on.
    pub fn new(part: EpochPart, knows_norm: bool) -> Self {
        Reporter { part, knows_norm, reported: (0, Sums::default()) }
    }

    /// The progress after `step` of the steps that come now, unless that was reported.
    pub fn progress(&mut self, step: u64, sums: Sums, seconds: f64) -> Option<Progress> {
        let rows = self.part.rows_of(step);
        if rows == self.reported.0 {
            return None;
        }
        let lately = sums.since(self.reported.1).over(rows - self.reported.0);
        self.reported = (rows, sums);
        Some(Progress {
            epoch: self.part.epoch + 1,
            step: self.part.first + self.part.before_now + step,
            steps: self.part.per_epoch,
            so_far: sums.over(rows),
            lately,
            samples_per_second: self.part.rows_now(step) as f64 / seconds,
            learning_rate: sums.learning_rate.into(),
            gradient_norm: self.knows_norm.then_some(sums.gradient_norm.into()),
            seconds,
        })
    }
}
