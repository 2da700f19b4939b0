//! Passes over a set that train nothing.

use std::ops::ControlFlow;

use super::history::{Evaluation, TrainStats};
use super::runner::{Runner, State};
use crate::gpu::Gpu;
use crate::kernel::class_metrics::Counts;
use crate::loss::Task;
use crate::metric::{ClassMetrics, Metrics, RegressionMetrics, is_positive, roc_auc};
use crate::plan::Role;
use crate::{Dataset, Error, Loss};

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

    /// What the pass that was run measured besides, read from the device.
    pub fn metrics(
        &self,
        gpu: &Gpu,
        stats: &mut TrainStats,
        set: &Dataset,
        loss: &Loss,
        outputs: usize,
        evaluation: Evaluation,
    ) -> Result<Metrics, Error> {
        let mut read = |role: Role| {
            let buffer = &self.runner.buffers[&role];
            gpu.read::<u32>(buffer, buffer.size() as usize / 4, &mut stats.traffic)
        };
        let mut metrics = Metrics { evaluation, classes: None, regression: None, roc_auc: None };
        let words = read(Role::Metrics)?;
        match loss.task() {
            Task::Numbers => {
                let sums: &[f32] = bytemuck::cast_slice(&words);
                metrics.regression = Some(RegressionMetrics::of(sums, outputs, evaluation.rows, set.target_scaling()));
            }
            task => {
                let counts = Counts::of(task == Task::EachOutput, outputs as u32);
                metrics.classes =
                    Some(ClassMetrics::of(&words[..counts.words(outputs as u32) as usize], counts, outputs));
                if counts.scores {
                    let scores = read(Role::Scores)?;
                    let scores: &[f32] = bytemuck::cast_slice(&scores[..self.rows]);
                    metrics.roc_auc = roc_auc(scores, |row| is_positive(set, loss, row));
                }
            }
        }
        Ok(metrics)
    }

    /// The sums' means, which must be finite.
    pub async fn evaluation(&mut self, gpu: &Gpu, stats: &mut TrainStats) -> Result<Evaluation, Error> {
        let sums = self.runner.sums(gpu, stats).await?;
        gpu.check_steps(sums.step, self.steps())?;
        match sums.bad_loss {
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
