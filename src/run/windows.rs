//! In which order an epoch visits a set that is read in windows: the windows in an order of their own, and in each its rows.

use std::ops::Range;

use super::order::Order;
use crate::weights::hash;

/// A set cut into windows of `window` rows; the last may have fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub rows: u64,
    /// Rows of a window: whole minibatches.
    pub window: u64,
    pub batch: u64,
    pub seed: u64,
    pub shuffles: bool,
}

/// One window's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    /// Counted from 0 since the weights were new.
    pub epoch: u64,
    /// The rows of the set that it has.
    pub rows: Range<u64>,
    /// Decides the order inside it.
    pub seed: u64,
    /// The first of its steps, in the epoch, and how many there are.
    pub first_step: u64,
    pub steps: u64,
}

impl Windows {
    /// The windows' turns from a step of an epoch on, without end: the first is the one with that step in it.
    pub fn visits(self, epoch: u64, step: u64) -> impl Iterator<Item = Visit> {
        (epoch..)
            .flat_map(move |at| self.epoch(at))
            .skip_while(move |visit| visit.epoch == epoch && visit.first_step + visit.steps <= step)
    }

    /// The turns that these steps need, each with the step in which it begins.
    pub fn of_steps(self, order: Order, steps: Range<u64>) -> impl Iterator<Item = (Visit, u64)> {
        let per_epoch = self.rows.div_ceil(self.batch);
        let in_order = steps.start - order.first_step;
        let visits = self.visits(order.epochs_before + in_order / per_epoch, in_order % per_epoch);
        let with_steps = visits.map(move |visit| {
            let begins = order.first_step + (visit.epoch - order.epochs_before) * per_epoch + visit.first_step;
            (visit, begins)
        });
        with_steps.take_while(move |(_, begins)| *begins < steps.end)
    }

    /// The turns of one epoch.
    fn epoch(self, epoch: u64) -> impl Iterator<Item = Visit> {
        let mut windows: Vec<u64> = (0..self.rows.div_ceil(self.window)).collect();
        let seed = hash(self.seed, epoch);
        if self.shuffles {
            windows.sort_by_key(|&window| hash(seed, window));
        }
        windows.into_iter().scan(0, move |next, window| {
            let rows = window * self.window..((window + 1) * self.window).min(self.rows);
            let (first_step, steps) = (*next, (rows.end - rows.start).div_ceil(self.batch));
            *next += steps;
            // Not what the windows are sorted by.
            Some(Visit { epoch, rows, seed: hash(!seed, window), first_step, steps })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows = Windows { rows: 1003, window: 96, batch: 32, seed: 5, shuffles: true };

    /// A row that an epoch leaves out or visits twice; steps that overlap; an epoch like the one before.
    #[test]
    fn every_epoch_visits_every_row_in_an_order_of_its_own() {
        let epochs: Vec<Vec<Visit>> = (0..3).map(|epoch| WINDOWS.epoch(epoch).collect()).collect();
        for visits in &epochs {
            let mut rows: Vec<u64> = visits.iter().flat_map(|visit| visit.rows.clone()).collect();
            rows.sort_unstable();
            assert_eq!(rows, (0..1003).collect::<Vec<u64>>());
            let mut next = 0;
            for visit in visits {
                assert_eq!(visit.first_step, next);
                next += visit.steps;
            }
            assert_eq!(next, 1003u64.div_ceil(32));
        }
        let order = |at: usize| epochs[at].iter().map(|visit| visit.rows.start).collect::<Vec<u64>>();
        assert!(order(0) != order(1) && order(1) != order(2));
        let seeds: std::collections::HashSet<u64> = epochs.iter().flatten().map(|visit| visit.seed).collect();
        assert_eq!(seeds.len(), 33);
        let plain = Windows { shuffles: false, ..WINDOWS };
        assert!(plain.epoch(1).map(|visit| visit.rows.start).eq((0..11).map(|window| 96 * window)));
    }

    /// A run that goes on inside an epoch, and begins with another window than it was in.
    #[test]
    fn visits_go_on_where_a_run_was() {
        let all: Vec<Visit> = WINDOWS.visits(0, 0).take(20).collect();
        for (at, visit) in all.iter().enumerate().take(11) {
            for step in visit.first_step..visit.first_step + visit.steps {
                assert_eq!(WINDOWS.visits(0, step).next().as_ref(), Some(&all[at]));
            }
        }
        assert!(WINDOWS.visits(1, 0).take(9).eq(all[11..].iter().cloned()));
    }
}
