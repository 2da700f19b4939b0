//! Epochs of steps, each with one blocking read at its end, and what is decided there.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::thread::Scope;
use std::time::Instant;

use super::attempts::Kept;
use super::observer::{EpochPart, Teller};
use crate::checkpoint::file::Underway;
use crate::checkpoint::snapshot::Snapshots;
use crate::data::Dataset;
use crate::error::Error;
use crate::gpu::{Buffer, Gpu, Submission};
use crate::history::{Epoch, Event, History};
use crate::options::watch::{Verdict, Watch};
use crate::plan::{Plan, Role};
use crate::run::evaluator::Evaluator;
use crate::run::parameters::ParameterReader;
use crate::run::rows::Rows;
use crate::run::runner::{Buffers, Part, Runner, State, Sums, beside, upload};
use crate::run::stream::{Reading, Stream};
use crate::trainer::{Order, Trainer};

/// A fit as far as its device lasts.
pub(crate) struct Fit<'env, 'scope> {
    pub gpu: Arc<Gpu>,
    pub train: Rows<'env>,
    pub training: Runner,
    stream: Option<Stream<'scope>>,
    /// The validation set's rows on the device, with its plan, until its kernels are wanted.
    waiting: Option<(usize, Buffers, Plan)>,
    validating: Option<Evaluator>,
    /// The places that rows can be in, until the kernels that tell parameters are wanted, where they are.
    unread: Option<Vec<Buffers>>,
    reader: Option<ParameterReader>,
    /// The best weights, where they are kept: none before there are any.
    pub best: Option<Vec<Buffer>>,
    state: State,
    last_step: u64,
    /// The step that it is run to now: the last one, but where it is only run to see how it went.
    until: u64,
    pub underway: Underway,
    /// Whether an epoch goes on that was begun before the checkpoint; its last step may have been done, and nothing more.
    continues: bool,
    /// Whether its last part ended before its epoch did, as someone broke off.
    is_broken_off: bool,
    part: EpochPart,
    going_on: ControlFlow<()>,
}

impl Fit<'_, '_> {
    /// Of the steps that are run now, those that are known to be done and those handed over.
    pub fn on_its_way(&self) -> Range<u64> {
        self.training.on_its_way()
    }

    /// The epoch that is trained, counted from 1.
    pub fn epoch(&self) -> u64 {
        self.part.epoch + 1
    }

    /// Ends it after an earlier step, inside an epoch if need be.
    pub fn ends_at(&mut self, step: u64) {
        self.until = step;
    }

    /// Whether it ends inside an epoch that its last step is not in: what follows from an epoch is then for others to find.
    fn stops_short(&self) -> bool {
        let part = self.part;
        self.until < self.last_step && part.first + part.before_now + part.steps < part.per_epoch
    }

    /// What it has come to.
    pub fn history(self) -> History {
        self.underway.history
    }

    /// Hears what an observer says.
    fn heard(&mut self, answer: ControlFlow<()>) {
        if answer.is_break() {
            self.going_on = answer;
        }
    }
}

impl Trainer {
    /// Makes everything ready for the next step.
    pub(crate) fn begin<'scope, 'env: 'scope>(
        &mut self,
        train: Rows<'env>,
        plan: &Plan,
        validation: Option<&Dataset>,
        scope: Option<&'scope Scope<'scope, 'env>>,
    ) -> Result<Fit<'env, 'scope>, Error> {
        // Its rows go to the device now, and whatever is wrong with it is said; its kernels are compiled when they are wanted, after the
        // first epoch's last step.
        let waiting = match validation.zip(self.validation_plan(validation)?) {
            Some((set, plan)) => {
                let rows = upload(&self.gpu, set, &self.options.loss, self.network.outputs())?;
                Some((set.rows(), rows, plan))
            }
            None => None,
        };
        let gpu = Arc::clone(&self.gpu);
        let places = self.places(train, plan)?;
        let (checks, chunk) = (self.options.checks, self.options.steps_per_submission);
        let mut training = Runner::new(&gpu, plan, &[&self.model, &places[0]], checks, chunk)?;
        for place in &places[1..] {
            training.also_over(&gpu, plan, place, checks)?;
        }
        gpu.keep_pipelines();
        if self.options.batch_size > train.count() {
            tracing::warn!(
                batch_size = self.options.batch_size,
                rows = train.count(),
                "the set has fewer rows than a minibatch: all of them are one"
            );
        }
        let first_step = self.order.first_step;
        let per_epoch = train.count().div_ceil(self.options.batch_size) as u64;
        let last_step = self.options.last_step(self.fit_began(), first_step, per_epoch)?;
        let mut state = self.state(train.count(), plan.batch, last_step);
        let mut best = self.options.keep_best.then(Vec::new);
        let underway = match self.resumed.take() {
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
        let unread = self.tells_parameters.then(|| places.clone());
        let stream = match (train, scope) {
            (Rows::Windows { source, window, .. }, Some(scope)) => {
                let reading = Reading {
                    source,
                    network: self.network.clone(),
                    loss: self.options.loss.clone(),
                    shape: train.shape(self.tiling.most_bytes),
                    scalings: [train.at_hand().scaling().cloned(), train.at_hand().target_scaling().cloned()],
                    windows: self.windows_of(source, window),
                    order: self.order,
                    steps: self.steps_done..last_step,
                };
                Some(Stream::begin(scope, &gpu, reading, places, &self.model[&Role::State])?)
            }
            _ => None,
        };
        let continues = underway.sums_began < self.steps_done;
        Ok(Fit {
            gpu,
            train,
            training,
            stream,
            waiting,
            validating: None,
            unread,
            reader: None,
            best,
            state,
            last_step,
            until: last_step,
            underway,
            continues,
            is_broken_off: false,
            part: EpochPart::default(),
            going_on: ControlFlow::Continue(()),
        })
    }

    /// Epoch after epoch, until the last step, or until someone breaks off.
    pub(crate) async fn run_epochs(
        &mut self,
        fit: &mut Fit<'_, '_>,
        validation: Option<&Dataset>,
        kept: &mut Kept,
        told: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        while (self.steps_done < fit.until || fit.continues)
            && fit.going_on.is_continue()
            && !fit.underway.watch.is_over()
        {
            let (started, before) = (Instant::now(), self.stats);
            let mut teller = self.begin_part(fit);
            // Where an epoch goes on, its beginning was kept, unless it was begun by another fit.
            if kept.keeps_good && (!fit.continues || kept.good.is_empty()) {
                kept.keep(self.moment_of(fit).await?);
            }
            self.run_part(fit, kept.snapshots.as_mut(), &mut teller, told)?;
            let trained_for = started.elapsed().as_secs_f64().max(1e-9);
            if fit.stops_short() {
                fit.continues = true;
                break;
            }
            let sums = self.read_sums(fit).await?;
            kept.forget_first();
            self.check_skipped(fit, &sums)?;
            if let Some(progress) = teller.progress(fit.part.steps, sums, trained_for) {
                fit.heard(told(Event::Progress(progress)));
            }
            let part = fit.part;
            let training = sums.over(part.rows_of(part.steps));
            let (monitor, mut validated, mut metrics) = (self.options.monitor, None, None);
            if let Some(validating) = fit.validating.as_mut().filter(|_| !fit.is_broken_off) {
                let result = validating.evaluation(&fit.gpu, &mut self.stats).await;
                let evaluation = result.map_err(|error| of_validation(error, part.epoch + 1))?;
                if let Some(set) = validation.filter(|_| monitor.is_measured()) {
                    let (loss, outputs) = (&self.options.loss, self.network.outputs());
                    metrics =
                        Some(validating.metrics(&fit.gpu, &mut self.stats, set, loss, outputs, evaluation).await?);
                }
                validated = Some(evaluation);
            }
            let record = Epoch {
                epoch: fit.epoch(),
                training,
                validation: validated,
                monitored: monitor.of(validated.unwrap_or(training), metrics.as_ref()),
                learning_rate: sums.learning_rate.into(),
                skipped_steps: (sums.skipped - fit.underway.skipped_before).into(),
                seconds: started.elapsed().as_secs_f64(),
                samples_per_second: part.rows_now(part.steps) as f64 / trained_for,
                stats: self.stats.since(before),
            };
            let verdict = self.judge(fit, record, sums.skipped)?;
            if let Some(reader) = &mut fit.reader {
                // As old as the sums, and so here with them.
                let parameters = reader.parameters(&fit.gpu, &mut self.stats.traffic, &self.network).await?;
                fit.heard(told(Event::Parameters(&parameters)));
            }
            fit.heard(told(Event::Epoch(record)));
            if let Some(snapshots) = &mut kept.snapshots
                && fit.going_on.is_break()
                && self.steps_done < fit.last_step
            {
                // Between two epochs, with what follows from the one before; within one it has been taken.
                (fit.underway.sums_began, fit.underway.skipped_before) = (self.steps_done, fit.state.skipped);
                snapshots.begin(self.steps_done, fit.last_step, self.sources(fit));
                snapshots.take(&fit.gpu, &mut self.stats.traffic, 0, &fit.underway)?;
            }
            if verdict.stops {
                fit.going_on = ControlFlow::Break(());
            }
        }
        if let Some(snapshots) = &mut kept.snapshots {
            snapshots.finish(&fit.gpu, &mut self.stats.traffic)?;
        }
        if fit.until == fit.last_step {
            self.take_best(fit.best.as_mut())?;
        }
        Ok(())
    }

    /// Takes the weights of the best epoch, where they are kept and there are any.
    pub(crate) fn take_best(&mut self, best: Option<&mut Vec<Buffer>>) -> Result<(), Error> {
        let Some(best) = best.filter(|best| !best.is_empty()) else { return Ok(()) };
        let copied = self.copy_weights(best, Direction::Back)?;
        self.gpu.wait_for(copied)
    }

    /// Which steps of which epoch come now, and who tells of them.
    fn begin_part(&self, fit: &mut Fit<'_, '_>) -> Teller {
        let Order { first_step, epochs_before, .. } = self.order;
        if !fit.continues {
            (fit.underway.sums_began, fit.underway.skipped_before) = (self.steps_done, fit.state.skipped);
        }
        let per_epoch = fit.train.count().div_ceil(self.options.batch_size) as u64;
        let in_order = fit.underway.sums_began - first_step;
        let (first, before_now) = (in_order % per_epoch, self.steps_done - fit.underway.sums_began);
        let part = EpochPart {
            epoch: epochs_before + in_order / per_epoch,
            per_epoch,
            first,
            before_now,
            steps: (per_epoch - first - before_now).min(fit.until - self.steps_done),
            batch: fit.training.batch().into(),
            rows: fit.train.count() as u64,
        };
        fit.part = part;
        Teller::new(part, self.options.computes_gradient_norm())
    }

    /// Runs the part's steps, or as many as are wanted, and hands over what comes after them.
    fn run_part(
        &mut self,
        fit: &mut Fit<'_, '_>,
        mut snapshots: Option<&mut Snapshots>,
        teller: &mut Teller,
        told: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        if let Some(snapshots) = &mut snapshots {
            snapshots.begin(self.steps_done, fit.last_step, self.sources(fit));
        }
        let part = Part {
            steps: fit.part.steps,
            continues: fit.continues,
            stream: fit.stream.as_mut(),
            snapshots: snapshots.as_deref_mut().map(|snapshots| (snapshots, &fit.underway)),
        };
        let (epoch, began, going_on) = (fit.part.epoch, self.steps_done, &mut fit.going_on);
        let run = fit.training.run_part(&fit.gpu, part, &mut self.stats, |step, sums| {
            fit.gpu.check_steps(sums.step, began + step)?;
            self.options.finite(&sums, epoch)?;
            if let Some(progress) = teller.progress(step, sums, started.elapsed().as_secs_f64()) {
                *going_on = told(Event::Progress(progress));
            }
            Ok(*going_on)
        })?;
        fit.is_broken_off = run < fit.part.steps;
        if fit.is_broken_off
            && let Some(snapshots) = snapshots
        {
            snapshots.take(&fit.gpu, &mut self.stats.traffic, run, &fit.underway)?;
        }
        fit.part.steps = run;
        self.steps_done += run;
        self.stats.steps += run;
        fit.continues = false;
        Ok(())
    }

    /// What follows an epoch's steps on the device, and the epoch's one blocking read: by the time the first sums are here, so are the
    /// validation's.
    async fn read_sums(&mut self, fit: &mut Fit<'_, '_>) -> Result<Sums, Error> {
        let gpu = &fit.gpu;
        if let Some(places) = fit.unread.take() {
            let shape = fit.train.shape(self.tiling.most_bytes);
            let plan = Plan::gradients(self.options.training_request(&self.network, shape, &self.tiling))?;
            fit.reader = Some(ParameterReader::new(gpu, &plan, &self.model, &places, self.options.checks)?);
            gpu.keep_pipelines();
        }
        if let Some(reader) = &mut fit.reader {
            let place = fit.stream.as_ref().map_or(0, Stream::place);
            reader.take(gpu, &mut self.stats.traffic, self.steps_done, place);
        }
        fit.training.request_sums(gpu, &mut self.stats);
        if fit.is_broken_off {
            // Whoever breaks off wants the model and the checkpoint, and no look at another set before them.
        } else if let Some((count, rows, plan)) = fit.waiting.take() {
            fit.validating = Some(self.evaluator_over(count, rows, &plan)?);
            gpu.keep_pipelines();
        }
        if let Some(validating) = fit.validating.as_mut().filter(|_| !fit.is_broken_off) {
            validating.run(gpu, &mut self.stats)?;
        }
        let sums = fit.training.sums(gpu, &mut self.stats).await?;
        gpu.check_steps(sums.step, self.steps_done)?;
        self.options.finite(&sums, fit.part.epoch)?;
        Ok(sums)
    }

    /// That an epoch has not skipped all its steps: what is left of it is no loss, which must not count as the least of all.
    fn check_skipped(&self, fit: &Fit<'_, '_>, sums: &Sums) -> Result<(), Error> {
        let steps = fit.part.before_now + fit.part.steps;
        if sums.have_no_loss() && steps > 0 && u64::from(sums.skipped - fit.underway.skipped_before) >= steps {
            let cause = format!("all {steps} steps of the epoch were skipped, as no loss of theirs was finite");
            return Err(Error::NonFinite { step: self.steps_done, epoch: fit.epoch(), cause });
        }
        Ok(())
    }

    /// What follows from an epoch's figures: weights to keep, another rate, an end.
    fn judge(&mut self, fit: &mut Fit<'_, '_>, record: Epoch, skipped: u32) -> Result<Verdict, Error> {
        fit.underway.history.epochs.push(record);
        let verdict = match fit.is_broken_off {
            // A part of an epoch, and not validated, says nothing that others could be compared with.
            true => Verdict { is_best: false, lr: fit.state.base_rate.into(), stops: false },
            false => fit.underway.watch.judge(&record, fit.state.base_rate.into()),
        };
        if let Some(best) = fit.best.as_mut().filter(|_| verdict.is_best) {
            self.copy_weights(best, Direction::Out)?;
            fit.underway.history.kept = Some(fit.underway.history.epochs.len() - 1);
        }
        (fit.state.skipped, self.skipped) = (skipped, skipped);
        if verdict.lr as f32 != fit.state.base_rate {
            (fit.state.step, fit.state.base_rate) = (self.steps_done as u32, verdict.lr as f32);
            fit.gpu.write(&self.model[&Role::State], &[fit.state]);
        }
        Ok(verdict)
    }

    /// Where the rows are on the device: one place with all of them, or two that windows take turns in.
    fn places(&self, train: Rows<'_>, plan: &Plan) -> Result<Vec<Buffers>, Error> {
        let (loss, outputs) = (&self.options.loss, self.network.outputs());
        match train {
            Rows::Whole(set) => Ok(vec![upload(&self.gpu, set, loss, outputs)?]),
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
    fn sources(&self, fit: &Fit<'_, '_>) -> Vec<Buffer> {
        let layers = 0..self.network.layers().len();
        let of_layers = |role: fn(usize) -> Role| layers.clone().filter_map(move |layer| self.model.get(&role(layer)));
        of_layers(Role::Weights)
            .chain(of_layers(Role::OptimizerSlots))
            .chain([&self.model[&Role::State], &fit.training.buffers[&Role::Stats]])
            .chain(fit.best.iter().flatten())
            .cloned()
            .collect()
    }

    /// Copies all weights, on the device, to the buffers given, which are made where there are none, or back from them.
    fn copy_weights(&mut self, kept: &mut Vec<Buffer>, direction: Direction) -> Result<Submission, Error> {
        let layers = self.network.layers().len();
        let weights = (0..layers).map(|layer| &self.model[&Role::Weights(layer)]);
        if kept.is_empty() {
            *kept = weights
                .clone()
                .map(|weights| self.gpu.zeros("the best weights", weights.size()))
                .collect::<Result<_, Error>>()?;
        }
        Ok(self.gpu.submit(&mut self.stats.traffic, |encoder| {
            for (weights, kept) in weights.zip(&*kept) {
                let (from, to) = match direction {
                    Direction::Out => (weights, kept),
                    Direction::Back => (kept, weights),
                };
                encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
            }
        }))
    }
}

/// An error of the validation after an epoch, where that is in the numbers.
fn of_validation(error: Error, epoch: u64) -> Error {
    match error {
        Error::NonFiniteResult(reason) => Error::NonFiniteResult(format!("validation after epoch {epoch}: {reason}")),
        error => error,
    }
}

/// Of a copy of the weights.
#[derive(Clone, Copy)]
enum Direction {
    Out,
    Back,
}
