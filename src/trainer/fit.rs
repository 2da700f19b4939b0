//! Training: epochs of steps, each with one blocking read at its end, and what is decided there.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::Scope;
use std::time::Instant;

use super::checkpoint::Underway;
use super::history::{Epoch, Event, History, Progress};
use super::parameters::ParameterReader;
use super::rows::Rows;
use super::runner::{Buffers, Part, Runner, State, Sums, beside, upload};
use super::snapshot::Snapshots;
use super::stream::{Reading, Stream};
use super::watch::Watch;
use super::{Order, Trainer};
use crate::gpu::Buffer;
use crate::plan::Plan;
use crate::plan::Role;
use crate::{Dataset, Error, NonFinite, Source};

impl Trainer {
    /// Trains, and evaluates on `validation` after every epoch. A second `fit` on as many rows goes on where the first
    /// ended, inside an epoch if need be; that epoch's rest then counts as one.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] or [`Error::Option`] where a set, the network and the batch size do not fit together, before
    /// anything is trained; [`Error::NonFinite`] when the loss breaks down; [`Error::Device`]; [`Error::Io`] where a checkpoint cannot be
    /// written, [`Error::Data`] where a resumed run is given other sets than it had.
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
        if self.exceeds_budget(train) {
            return self.fit_from(train, validation, told);
        }
        pollster::block_on(self.fit_async(Rows::Whole(train), validation, &mut told, None))
    }

    /// Trains on rows that are read while it goes, in windows that fit the [memory budget](crate::TrainOptions::memory_budget) twice (64 MiB where
    /// there is none). An epoch visits the windows in an order of its own, and in each its rows: both follow from the seed. The rest as
    /// [`fit_with`](Self::fit_with).
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit); whatever is wrong with rows that were read, when they are.
    pub fn fit_from(
        &mut self,
        train: &dyn Source,
        validation: Option<&Dataset>,
        mut told: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<History, Error> {
        if train.rows() == 0 {
            return Err(Error::Data("the set is empty: at least one row is needed".into()));
        }
        if train.rows() > u32::MAX as usize {
            return Err(Error::Data(format!("there are {} rows: at most {} can be counted", train.rows(), u32::MAX)));
        }
        let first = train.read(0..1)?;
        let outputs = self.network.outputs();
        let rows = Rows::windows(train, &first, &self.options, outputs, self.tiling.most_bytes)?;
        std::thread::scope(|scope| pollster::block_on(self.fit_async(rows, validation, &mut told, Some(scope))))
    }

    async fn fit_async<'scope, 'env: 'scope>(
        &mut self,
        train: Rows<'env>,
        validation: Option<&Dataset>,
        told: &mut dyn FnMut(Event) -> ControlFlow<()>,
        scope: Option<&'scope Scope<'scope, 'env>>,
    ) -> Result<History, Error> {
        let _lock = self.options.checkpoint.as_ref().map(|asked| self.claim(asked)).transpose()?;
        let sets = self.sets_of_checkpoints(train, validation)?;
        self.check_memory(train, validation)?;
        let mut going_on = ControlFlow::Continue(());
        self.tune_until(train, &mut |event| {
            if told(event).is_break() {
                going_on = ControlFlow::Break(());
            }
            going_on
        })?;
        if going_on.is_break() {
            return Ok(History::default());
        }
        let plan = self.plan_over(train)?;
        self.origin = train.at_hand().origin().clone();
        // Its rows go to the device now, and whatever is wrong with it is said; its kernels are compiled when they are wanted, after the
        // first epoch's last step.
        let mut waiting = match validation {
            Some(set) => {
                let plan = self.evaluation_plan(set, false)?;
                let rows = upload(&self.gpu, set, &self.options.loss, self.network.outputs(), true)?;
                Some((set.rows(), rows, plan))
            }
            None => None,
        };
        let mut validating = None;
        let gpu = Arc::clone(&self.gpu);
        let places = self.places(train, &plan)?;
        let (checks, chunk) = (self.options.checks, self.options.steps_per_submission);
        let mut training = Runner::new(&gpu, &plan, &[&self.model, &places[0]], checks, chunk)?;
        for place in &places[1..] {
            training.also_over(&gpu, &plan, place, checks)?;
        }
        gpu.keep_pipelines();
        self.order = self.order_over(train.count());
        let Order { first_step, epochs_before, .. } = self.order;
        let per_epoch = train.count().div_ceil(self.options.batch_size) as u64;
        let last_step = self.options.last_step(self.fit_began(), first_step, per_epoch)?;
        let mut state = self.state(train.count(), plan.batch, last_step);

        let batch = u64::from(plan.batch);
        let rows_before = |step: u64| (step * batch).min(train.count() as u64);
        let stops_at_bad = self.options.non_finite == NonFinite::Stop;
        let mut best = self.options.keep_best.then(Vec::new);
        let resumed = self.resumed.take();
        let mut snapshots = match (&self.options.checkpoint, sets) {
            (Some(asked), Some(sets)) => {
                let run = self.run_of(asked, sets, plan.picks());
                Some(Snapshots::new(asked, run))
            }
            _ => None,
        };
        let mut underway = match resumed {
            Some(resumed) => {
                if let (Some(best), Some(weights)) = (&mut best, &resumed.best) {
                    *best = self.upload_weights("the best weights", weights)?;
                }
                resumed.go_on(&gpu, &training, &mut state)?
            }
            None => Underway {
                began: self.steps_done,
                sums_began: self.steps_done,
                skipped_before: self.skipped,
                watch: Watch::new(self.options.monitor, self.options.early_stopping, self.options.reduce_on_plateau),
                history: History::default(),
            },
        };
        gpu.write(&self.model[&Role::State], &[state]);
        // Compiled when it is wanted, as the validation's kernels are.
        let mut unread = self.tells_parameters.then(|| places.clone());
        let mut reader = None;
        let mut stream = match (train, scope) {
            (Rows::Windows { source, window, .. }, Some(scope)) => {
                let reading = Reading {
                    source,
                    network: self.network.clone(),
                    loss: self.options.loss.clone(),
                    shape: train.shape(self.tiling.most_bytes),
                    scaling: train.at_hand().scaling().cloned(),
                    windows: self.windows_of(source, window),
                    order: self.order,
                    steps: self.steps_done..last_step,
                };
                Some(Stream::begin(scope, &gpu, reading, places, &self.model[&Role::State])?)
            }
            _ => None,
        };
        // Whether an epoch goes on that was begun before the checkpoint; its last step may have been done, and nothing more.
        let mut continues = underway.sums_began < self.steps_done;

        let begun = self.stats;
        while (self.steps_done < last_step || continues) && going_on.is_continue() && !underway.watch.is_over() {
            if !continues {
                (underway.sums_began, underway.skipped_before) = (self.steps_done, state.skipped);
            }
            let in_order = underway.sums_began - first_step;
            let (epoch, first) = (epochs_before + in_order / per_epoch, in_order % per_epoch);
            // Steps of the epoch that are in the sums already.
            let before_now = self.steps_done - underway.sums_began;
            let steps = (per_epoch - first - before_now).min(last_step - self.steps_done);
            let (started, before) = (Instant::now(), self.stats);
            let rows_of = |steps: u64| rows_before(first + before_now + steps) - rows_before(first);
            let rows_now = |steps: u64| rows_of(steps) - rows_of(0);
            let finite = |sums: &Sums| match sums.bad_step {
                Some(step) if stops_at_bad => Err(Error::NonFinite { step, epoch: epoch + 1 }),
                _ => Ok(()),
            };
            if let Some(snapshots) = &mut snapshots {
                let sources = self.sources(&training, best.as_deref().unwrap_or_default());
                snapshots.begin(self.steps_done, last_step, sources);
            }

            let part = Part {
                steps,
                continues,
                stream: stream.as_mut(),
                snapshots: snapshots.as_mut().map(|snapshots| (snapshots, &underway)),
            };
            let knows_norm = self.options.computes_gradient_norm();
            // The rows and sums that were told last.
            let mut heard = (0, Sums::default());
            let mut tell = |step: u64, sums: Sums, seconds: f64| {
                let rows = rows_of(step);
                if rows == heard.0 {
                    return ControlFlow::Continue(());
                }
                let lately = sums.since(heard.1).over(rows - heard.0);
                heard = (rows, sums);
                told(Event::Progress(Progress {
                    epoch: epoch + 1,
                    step: first + before_now + step,
                    steps: per_epoch,
                    so_far: sums.over(rows),
                    lately,
                    samples_per_second: rows_now(step) as f64 / seconds,
                    learning_rate: sums.learning_rate.into(),
                    gradient_norm: knows_norm.then_some(sums.gradient_norm.into()),
                    seconds,
                }))
            };
            let run = training.run_part(&gpu, part, &mut self.stats, |step, sums| {
                finite(&sums)?;
                going_on = tell(step, sums, started.elapsed().as_secs_f64());
                Ok(going_on)
            })?;
            if run < steps
                && let Some(snapshots) = &mut snapshots
            {
                snapshots.take(&gpu, &mut self.stats.traffic, run, &underway)?;
            }
            let steps = run;
            let trained_for = started.elapsed().as_secs_f64().max(1e-9);
            self.steps_done += steps;
            self.stats.steps += steps;
            continues = false;
            if let Some(places) = unread.take() {
                let shape = train.shape(self.tiling.most_bytes);
                let plan = Plan::gradients(self.options.training_request(&self.network, shape, &self.tiling))?;
                reader = Some(ParameterReader::new(&gpu, &plan, &self.model, &places, checks)?);
                gpu.keep_pipelines();
            }
            if let Some(reader) = &mut reader {
                let place = stream.as_ref().map_or(0, Stream::place);
                reader.take(&gpu, &mut self.stats.traffic, self.steps_done, place);
            }
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
            if tell(steps, sums, trained_for).is_break() {
                going_on = ControlFlow::Break(());
            }
            let validation = match &mut validating {
                Some(validating) => Some(validating.evaluation(&gpu, &mut self.stats).await?),
                None => None,
            };
            let record = Epoch {
                epoch: epoch + 1,
                training: sums.over(rows_of(steps)),
                validation,
                learning_rate: sums.learning_rate.into(),
                skipped_steps: (sums.skipped - underway.skipped_before).into(),
                seconds: started.elapsed().as_secs_f64(),
                samples_per_second: rows_now(steps) as f64 / trained_for,
                stats: self.stats.since(before),
            };
            underway.history.epochs.push(record);

            let verdict = underway.watch.judge(&record, state.base_rate.into());
            if let Some(best) = best.as_mut().filter(|_| verdict.is_best) {
                self.copy_weights(best, Direction::Out)?;
                underway.history.kept = Some(underway.history.epochs.len() - 1);
            }
            (state.skipped, self.skipped) = (sums.skipped, sums.skipped);
            if verdict.lr as f32 != state.base_rate {
                (state.step, state.base_rate) = (self.steps_done as u32, verdict.lr as f32);
                gpu.write(&self.model[&Role::State], &[state]);
            }
            if let Some(reader) = &mut reader {
                // As old as the sums, and so here with them.
                let parameters = reader.parameters(&gpu, &mut self.stats.traffic, &self.network).await?;
                if told(Event::Parameters(&parameters)).is_break() {
                    going_on = ControlFlow::Break(());
                }
            }
            if told(Event::Epoch(record)).is_break() {
                going_on = ControlFlow::Break(());
            }
            if going_on.is_break()
                && self.steps_done < last_step
                && let Some(snapshots) = &mut snapshots
            {
                // Between two epochs, with what follows from the one before; within one it has been taken.
                (underway.sums_began, underway.skipped_before) = (self.steps_done, state.skipped);
                let sources = self.sources(&training, best.as_deref().unwrap_or_default());
                snapshots.begin(self.steps_done, last_step, sources);
                snapshots.take(&gpu, &mut self.stats.traffic, 0, &underway)?;
            }
            if verdict.stops {
                going_on = ControlFlow::Break(());
            }
        }
        if let Some(snapshots) = snapshots {
            snapshots.finish(&gpu, &mut self.stats.traffic)?;
        }
        if let Some(best) = best.as_mut().filter(|best| !best.is_empty()) {
            self.copy_weights(best, Direction::Back)?;
        }
        Ok(History { stats: self.stats.since(begun), ..underway.history })
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
    pub(super) fn order_over(&self, rows: usize) -> Order {
        if self.order.rows == rows {
            return self.order;
        }
        let per_epoch = self.order.rows.div_ceil(self.options.batch_size).max(1) as u64;
        let epochs_before = self.order.epochs_before + (self.steps_done - self.order.first_step).div_ceil(per_epoch);
        Order { rows, first_step: self.steps_done, epochs_before }
    }

    /// Where the rows are on the device: one place with all of them, or two that windows take turns in.
    fn places(&self, train: Rows<'_>, plan: &Plan) -> Result<Vec<Buffers>, Error> {
        let (loss, outputs) = (&self.options.loss, self.network.outputs());
        match train {
            Rows::Whole(set) => Ok(vec![upload(&self.gpu, set, loss, outputs, true)?]),
            Rows::Windows { first, .. } => {
                let of_set = |role| matches!(role, Role::Set(_) | Role::Targets);
                let zeros = |buffer: &crate::plan::Buffer| {
                    Ok((buffer.role, self.gpu.zeros(&buffer.role.to_string(), buffer.bytes)?))
                };
                let place = || {
                    let mut place = beside(&self.gpu, first, loss, outputs)?;
                    place.extend(
                        plan.buffers
                            .iter()
                            .filter(|buffer| of_set(buffer.role))
                            .map(zeros)
                            .collect::<Result<Vec<_>, Error>>()?,
                    );
                    Ok(place)
                };
                (0..2).map(|_| place()).collect()
            }
        }
    }

    /// What a checkpoint is made of, as [`Snapshots::begin`] takes it.
    fn sources(&self, training: &Runner, best: &[Buffer]) -> Vec<Buffer> {
        let layers = 0..self.network.layers().len();
        let of_layers = |role: fn(usize) -> Role| layers.clone().filter_map(move |layer| self.model.get(&role(layer)));
        of_layers(Role::Weights)
            .chain(of_layers(Role::OptimizerSlots))
            .chain([&self.model[&Role::State], &training.buffers[&Role::Stats]])
            .chain(best)
            .cloned()
            .collect()
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
