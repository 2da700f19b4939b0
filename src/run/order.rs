//! Which epoch a step belongs to.

/// The order in which training visits rows, and where it began: another set, or another batch size, begins an order of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) rows: usize,
    /// The step in which its first epoch began, and the epochs before it.
    pub(crate) first_step: u64,
    pub(crate) epochs_before: u64,
}

impl Order {
    /// The epoch of a step, both counted from 1.
    pub(crate) fn epoch_of(self, step: u64, batch_size: usize) -> u64 {
        let per_epoch = self.rows.div_ceil(batch_size).max(1) as u64;
        self.epochs_before + step.saturating_sub(self.first_step + 1) / per_epoch + 1
    }

    /// The order that the next step belongs to, over a set of `rows` rows, after `steps_done` steps: this one, where it is over as many.
    pub(crate) fn over(self, rows: usize, steps_done: u64, batch_size: usize) -> Order {
        if self.rows == rows {
            return self;
        }
        let per_epoch = self.rows.div_ceil(batch_size).max(1) as u64;
        let epochs_before = self.epochs_before + (steps_done - self.first_step).div_ceil(per_epoch);
        Order { rows, first_step: steps_done, epochs_before }
    }
}

/// Where training is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Position {
    /// Steps done since the weights were new, and those of them that changed nothing.
    pub steps_done: u64,
    pub skipped: u32,
    /// The order of the set that was trained on last.
    pub order: Order,
}
