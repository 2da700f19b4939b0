//! Passes over a set that train nothing.

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
        gpu.write(&self.runner.buffers[&Role::State], &[State::new(0, self.rows, self.runner.batch())]);
    }

    /// One pass over the rows; its sums are on their way then.
    pub fn run(&mut self, gpu: &Gpu, stats: &mut TrainStats) -> Result<(), Error> {
        self.begin(gpu);
        self.runner.run(gpu, self.steps(), stats, |_, _| Ok(()))?;
        self.runner.request_sums(gpu, stats);
        Ok(())
    }

    pub async fn evaluation(&mut self, gpu: &Gpu) -> Result<Evaluation, Error> {
        Ok(self.runner.sums(gpu).await?.over(self.rows as u64))
    }
}
