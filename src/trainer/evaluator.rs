//! Passes over a set that train nothing.

use std::ops::ControlFlow;

use super::history::{Evaluation, TrainStats};
use super::runner::{Runner, State};
use crate::Error;
use crate::gpu::Gpu;
use crate::plan::Role;

/// A set ready to be evaluated on, again and again.
pub(super) struct Evaluator {
    pub runner: Runner,
    pub rows: usize,
}

impl Evaluator {
    pub fn steps(&self) -> u64 {
        self.rows.div_ceil(self.runner.batch() as usize) as u64
    }

    /// Back to the first row.
    pub fn begin(&self, gpu: &Gpu) {
        gpu.write(&self.runner.buffers[&Role::State], &[State::new(self.rows, self.runner.batch())]);
    }

    /// One pass over the rows; its sums are on their way then.
    pub fn run(&mut self, gpu: &Gpu, stats: &mut TrainStats) -> Result<(), Error> {
        self.begin(gpu);
        self.runner.run(gpu, self.steps(), stats, |_, _| Ok(ControlFlow::Continue(())))?;
        self.runner.request_sums(gpu, stats);
        Ok(())
    }

    /// The sums' means, which must be finite.
    pub async fn evaluation(&mut self, gpu: &Gpu, stats: &mut TrainStats) -> Result<Evaluation, Error> {
        let sums = self.runner.sums(gpu, stats).await?;
        match sums.bad_step {
            None => Ok(sums.over(self.rows as u64)),
            Some(step) => {
                let first = (step - 1) * u64::from(self.runner.batch());
                let last = (first + u64::from(self.runner.batch())).min(self.rows as u64) - 1;
                Err(Error::NonFiniteResult(format!(
                    "the evaluated loss is not finite in rows {first} to {last}: the weights, or the features, are too large"
                )))
            }
        }
    }
}
