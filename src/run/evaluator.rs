//! Passes over a set that train nothing.

use std::ops::ControlFlow;

use super::runner::Runner;
use super::state::State;
use crate::data::Dataset;
use crate::error::Error;
use crate::gpu::{Buffer, Gpu, Readback};
use crate::history::TrainStats;
use crate::kernel::class_metrics::Counts;
use crate::loss::{Loss, Task};
use crate::metric::{ClassMetrics, Evaluation, Metrics, RegressionMetrics, is_positive, roc_auc};
use crate::plan::Role;

/// The most rows of a minibatch when nothing is trained: enough to make launches cheap, few enough for small adapters.
pub(crate) const EVALUATION_BATCH: usize = 512;

/// What a pass measures besides its sums, in the order in which it is read.
const MEASURED: [Role; 2] = [Role::Metrics, Role::Scores];

/// A set ready to be evaluated on, again and again.
pub(crate) struct Evaluator {
    runner: Runner,
    rows: usize,
    /// What its metrics are read by, where it has any.
    measured: Option<Readback>,
}

impl Evaluator {
    /// For a runner over `rows` rows.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub async fn new(gpu: &Gpu, runner: Runner, rows: usize) -> Result<Self, Error> {
        let bytes = MEASURED.iter().filter_map(|role| runner.buffers.get(role)).map(|buffer| buffer.size()).sum();
        let measured = if bytes > 0 { Some(Readback::new(gpu, bytes).await?) } else { None };
        Ok(Evaluator { runner, rows, measured })
    }

    pub fn steps(&self) -> u64 {
        self.rows.div_ceil(self.runner.batch() as usize) as u64
    }

    /// Back to the first row.
    pub fn begin(&self, gpu: &Gpu) {
        gpu.write(&self.runner.buffers[&Role::State], &[State::new(self.rows, self.runner.batch())]);
    }

    /// One pass over the rows; its sums, and what else it measures, are on their way then.
    pub async fn run(&mut self, gpu: &Gpu, stats: &mut TrainStats) -> Result<(), Error> {
        self.begin(gpu);
        if self.measured.is_some() {
            let counts = &self.runner.buffers[&Role::Metrics];
            gpu.submit(&mut stats.traffic, |encoder| encoder.clear_buffer(counts, 0, None));
        }
        self.runner.run(gpu, self.steps(), stats, |_, _| Ok(ControlFlow::Continue(()))).await?;
        if let Some(measured) = &mut self.measured {
            measured.ready(gpu).await?;
            let from: Vec<&Buffer> = MEASURED.iter().filter_map(|role| self.runner.buffers.get(role)).collect();
            gpu.submit(&mut stats.traffic, |encoder| measured.copy(encoder, &from));
            measured.request()?;
        }
        self.runner.request_sums(gpu, stats).await
    }

    /// What the pass that was run measured besides; by the time its sums are here, so is this.
    pub async fn metrics(
        &mut self,
        gpu: &Gpu,
        stats: &mut TrainStats,
        set: &Dataset,
        loss: &Loss,
        outputs: usize,
        evaluation: Evaluation,
    ) -> Result<Metrics, Error> {
        let mut metrics = Metrics { evaluation, classes: None, regression: None, roc_auc: None };
        let Some(measured) = &mut self.measured else { return Ok(metrics) };
        let words: Vec<u32> = measured.wait(gpu, &mut stats.traffic).await?;
        let (words, scores) = words.split_at(self.runner.buffers[&Role::Metrics].size() as usize / 4);
        match loss.task() {
            Task::Numbers => {
                let sums: &[f32] = bytemuck::cast_slice(words);
                metrics.regression = Some(RegressionMetrics::of(sums, outputs, evaluation.rows, set.target_scaling()));
            }
            task => {
                let counts = Counts::of(task == Task::EachOutput, outputs as u32);
                metrics.classes =
                    Some(ClassMetrics::of(&words[..counts.words(outputs as u32) as usize], counts, outputs));
                if counts.scores {
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
        match sums.non_finite_loss {
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
