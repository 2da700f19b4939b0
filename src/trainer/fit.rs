//! Training: epochs of steps, each with one blocking read at its end, and what is decided there.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use super::history::{Epoch, Event, History, Progress};
use super::runner::{Runner, State, Sums, upload};
use super::watch::Watch;
use super::{Order, Trainer};
use crate::gpu::Buffer;
use crate::plan::Role;
use crate::{Dataset, Error, NonFinite};

impl Trainer {
    /// Trains, and evaluates on `validation` after every epoch. A second `fit` on as many rows goes on where the first
    /// ended, inside an epoch if need be; that epoch's rest then counts as one.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] or [`Error::Option`] where a set, the network and the batch size do not fit together, before
    /// anything is trained; [`Error::NonFinite`] when the loss breaks down; [`Error::Device`].
    pub fn fit(&mut self, train: &Dataset, validation: Option<&Dataset>) -> Result<History, Error> {
        self.fit_with(train, validation, |_| ControlFlow::Continue(()))
    }

    /// [`fit`](Self::fit), telling how it goes. `told` may break off: training ends with the chunk of steps that is on its
    /// way, and the history so far is returned.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit).
    pub fn fit_with(
        &mut self,
        train: &Dataset,
        validation: Option<&Dataset>,
        mut told: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<History, Error> {
        pollster::block_on(self.fit_async(train, validation, &mut told))
    }

    async fn fit_async(
        &mut self,
        train: &Dataset,
        validation: Option<&Dataset>,
        told: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<History, Error> {
        let mut going_on = ControlFlow::Continue(());
        self.tune(train, |event| {
            if told(event).is_break() {
                going_on = ControlFlow::Break(());
            }
        })?;
        if going_on.is_break() {
            return Ok(History::default());
        }
        let plan = self.plan(train)?;
        self.origin = train.origin().clone();
        // Its rows go to the device now, and whatever is wrong with it is said; its kernels are compiled when they are wanted, after the
        // first epoch's last step.
        let mut waiting = match validation {
            Some(set) => {
                let plan = self.evaluation_plan(set)?;
                let rows = upload(&self.gpu, set, &self.options.loss, self.network.outputs(), true)?;
                Some((set.rows(), rows, plan))
            }
            None => None,
        };
        let mut validating = None;
        let set = upload(&self.gpu, train, &self.options.loss, self.network.outputs(), true)?;
        let gpu = Arc::clone(&self.gpu);
        let mut training =
            Runner::new(&gpu, &plan, &[&self.model, &set], self.options.checks, self.options.steps_per_submission)?;
        gpu.keep_pipelines();
        self.order = self.order_over(train);
        let Order { first_step, epochs_before, .. } = self.order;
        let per_epoch = train.rows().div_ceil(self.options.batch_size) as u64;
        let last_step = self.options.last_step(self.steps_done, first_step, per_epoch)?;
        let mut state = self.state(train.rows(), plan.batch, last_step);
        gpu.write(&self.model[&Role::State], &[state]);

        let batch = u64::from(plan.batch);
        let rows_before = |step: u64| (step * batch).min(train.rows() as u64);
        let stops_at_bad = self.options.non_finite == NonFinite::Stop;
        let mut watch = Watch::new(self.options.monitor, self.options.early_stopping, self.options.reduce_on_plateau);
        let mut best = self.options.keep_best.then(Vec::new);

        let (begun, mut history) = (self.stats, History::default());
        while self.steps_done < last_step && going_on.is_continue() {
            let in_order = self.steps_done - first_step;
            let (epoch, first) = (epochs_before + in_order / per_epoch, in_order % per_epoch);
            let steps = (per_epoch - first).min(last_step - self.steps_done);
            let (started, before) = (Instant::now(), self.stats);
            let rows_of = |steps: u64| rows_before(first + steps) - rows_before(first);
            let finite = |sums: &Sums| match sums.bad_step {
                Some(step) if stops_at_bad => Err(Error::NonFinite { step, epoch: epoch + 1 }),
                _ => Ok(()),
            };

            let steps = training.run(&gpu, steps, &mut self.stats, |step, sums| {
                finite(&sums)?;
                going_on = told(Event::Progress(Progress {
                    epoch: epoch + 1,
                    step: first + step,
                    steps: per_epoch,
                    so_far: sums.over(rows_of(step)),
                    samples_per_second: rows_of(step) as f64 / started.elapsed().as_secs_f64(),
                }));
                Ok(going_on)
            })?;
            let trained_for = started.elapsed().as_secs_f64();
            self.steps_done += steps;
            self.stats.steps += steps;
            training.request_sums(&gpu, &mut self.stats);
            if let Some((count, rows, plan)) = waiting.take() {
                validating = Some(self.evaluator_over(count, rows, &plan)?);
                gpu.keep_pipelines();
            }
            if let Some(validating) = &mut validating {
                validating.run(&gpu, &mut self.stats)?;
            }

            // The epoch's one blocking read: by the time the first sums are here, so are the second.
            let sums = training.sums(&gpu, &mut self.stats).await?;
            finite(&sums)?;
            let validation = match &mut validating {
                Some(validating) => Some(validating.evaluation(&gpu, &mut self.stats).await?),
                None => None,
            };
            let record = Epoch {
                epoch: epoch + 1,
                training: sums.over(rows_of(steps)),
                validation,
                learning_rate: sums.learning_rate.into(),
                skipped_steps: (sums.skipped - state.skipped).into(),
                seconds: started.elapsed().as_secs_f64(),
                samples_per_second: rows_of(steps) as f64 / trained_for,
                stats: self.stats.since(before),
            };
            history.epochs.push(record);

            let verdict = watch.judge(&record, state.base_rate.into());
            if let Some(best) = best.as_mut().filter(|_| verdict.is_best) {
                self.copy_weights(best, Direction::Out)?;
                history.kept = Some(history.epochs.len() - 1);
            }
            (state.skipped, self.skipped) = (sums.skipped, sums.skipped);
            if verdict.lr as f32 != state.base_rate {
                (state.step, state.base_rate) = (self.steps_done as u32, verdict.lr as f32);
                gpu.write(&self.model[&Role::State], &[state]);
            }
            if told(Event::Epoch(record)).is_break() || verdict.stops {
                going_on = ControlFlow::Break(());
            }
        }
        if let Some(best) = best.as_mut().filter(|best| !best.is_empty()) {
            self.copy_weights(best, Direction::Back)?;
        }
        history.stats = self.stats.since(begun);
        Ok(history)
    }

    /// The step state that a run to `last_step` begins with.
    fn state(&self, rows: usize, batch: u32, last_step: u64) -> State {
        let Order { first_step, epochs_before, .. } = self.order;
        let (schedule, lr) = (&self.options.schedule, self.options.optimizer.lr);
        let fresh = State::new(rows, batch);
        let end = if schedule.by_epoch {
            epochs_before + (last_step - first_step).div_ceil(fresh.steps_per_epoch.into())
        } else {
            last_step
        };
        State {
            step: self.steps_done as u32,
            seed: [self.options.seed as u32, (self.options.seed >> 32) as u32],
            shuffle: self.options.shuffle.into(),
            first_step: first_step as u32,
            epochs_before: epochs_before as u32,
            by_epoch: schedule.by_epoch.into(),
            skipped: self.skipped,
            base_rate: lr as f32,
            warmup: schedule.warmup,
            warmup_start: schedule.start_factor as f32,
            schedule: schedule.device_values(end, lr),
            ..fresh
        }
    }

    /// The order that the next step belongs to.
    pub(super) fn order_over(&self, train: &Dataset) -> Order {
        if self.order.rows == train.rows() {
            return self.order;
        }
        let per_epoch = self.order.rows.div_ceil(self.options.batch_size).max(1) as u64;
        let epochs_before = self.order.epochs_before + (self.steps_done - self.order.first_step).div_ceil(per_epoch);
        Order { rows: train.rows(), first_step: self.steps_done, epochs_before }
    }

    /// Copies all weights, on the device, to the buffers given, which are made where there are none, or back from them.
    fn copy_weights(&mut self, kept: &mut Vec<Buffer>, direction: Direction) -> Result<(), Error> {
        let layers = self.network.layers().len();
        let weights = (0..layers).map(|layer| &self.model[&Role::Weights(layer)]);
        if kept.is_empty() {
            *kept = weights
                .clone()
                .map(|weights| self.gpu.zeros("the best weights", weights.size()))
                .collect::<Result<_, Error>>()?;
        }
        self.gpu.submit(&mut self.stats.traffic, |encoder| {
            for (weights, kept) in weights.zip(&*kept) {
                let (from, to) = match direction {
                    Direction::Out => (weights, kept),
                    Direction::Back => (kept, weights),
                };
                encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
            }
        });
        Ok(())
    }
}

/// Of a copy of the weights.
#[derive(Clone, Copy)]
enum Direction {
    Out,
    Back,
}
