//! Training, from the first step to the last, on one device or, where that fails, on those after it.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::diagnosis::MOST_TIME;
use super::epochs::Fit;
use crate::checkpoint::restore_point::Moment;
use crate::checkpoint::snapshot::Snapshots;
use crate::data::{Dataset, Fingerprint, Source};
use crate::error::Error;
use crate::gpu::Buffer;
use crate::history::{Event, History};
use crate::kernel::tiling::Picks;
use crate::options::NonFinite;
use crate::plan::{Plan, Role};
use crate::preprocessing::{Origin, Scaling};
use crate::run::rows::{self, Rows};
use crate::run::runner::{SKIPPED_WORD, State};
use crate::trainer::{Order, Trainer};

impl Trainer {
    /// Trains, and evaluates on `validation` after every epoch. A second `fit` on as many rows goes on where the first
    /// ended, inside an epoch if need be; that epoch's rest then counts as one.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] or [`Error::Option`] where a set, the network and the batch size do not fit together, before
    /// anything is trained; [`Error::NonFinite`] when numbers are no longer finite; [`Error::OutOfMemory`] where there is no device memory for what
    /// it begins with, [`Error::DeviceFailed`] when the device fails while it trains, more often than
    /// [`Checkpointing::device_retries`](crate::Checkpointing::device_retries) allows; [`Error::Device`]; [`Error::Io`] where a checkpoint cannot
    /// be written, [`Error::Data`] where a resumed run is given other sets than it had.
    ///
    /// After an error the trainer is where the device is, and can be used; where the device was lost, whatever is asked of it says so. Where numbers
    /// went bad it has the best weights, if [`TrainOptions::keep_best`](crate::TrainOptions::keep_best) is on and an epoch was judged.
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
        let train = &*self.to_train_on(train)?;
        if self.first_of_windows(train)?.is_some() {
            return self.fit_from(train, validation, told);
        }
        let validation = validation.map(|set| set.seen_as(train.origin(), true)).transpose()?;
        pollster::block_on(self.fit_async(Rows::Whole(train), validation.as_deref(), &mut told, None))
    }

    /// What a training set is trained as: scaled as the rows before it were, where it is not scaled itself.
    fn to_train_on<'a>(&self, train: &'a Dataset) -> Result<Cow<'a, Dataset>, Error> {
        let own = train.origin();
        let differs =
            |own: &Option<Scaling>, before: &Option<Scaling>| own.is_some() && before.is_some() && own != before;
        if differs(&own.scaling, &self.origin.scaling) || differs(&own.target_scaling, &self.origin.target_scaling) {
            tracing::warn!("these rows are scaled otherwise than those that the network was trained on before");
        }
        if let Some(note) = train.note_on_targets(&self.options.loss).filter(|note| !train.notes().contains(note)) {
            tracing::warn!("{note}");
        }
        train.seen_as(&own.clone().or(self.origin.clone()), false)
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
        let train = &Like { source: train, origin: self.origin.clone() };
        // A set that would fit as well: windows are what was asked for.
        let first = rows::first_of_windows(train, Some(0))?;
        let rows = self.rows_of(train, first.as_ref())?;
        let validation = validation.map(|set| set.seen_as(rows.at_hand().origin(), true)).transpose()?;
        let validation = validation.as_deref();
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
        self.origin = train.at_hand().origin().clone().or(std::mem::take(&mut self.origin));
        self.is_fitted = true;
        self.order = self.order_over(train.count());
        let snapshots = self.snapshots(sets, plan.picks()).await;
        let snapshots = snapshots.map_err(|error| self.in_all(error, train, validation))?;
        // Where it may have to be known where numbers went bad, and no other moment is kept.
        let is_new = self.steps_done == 0 && snapshots.as_ref().and_then(Snapshots::last).is_none();
        let explains = self.options.non_finite == NonFinite::Stop && is_new && matches!(train, Rows::Whole(_));
        let first = if explains { Some(self.beginning().await) } else { None };
        let first = first.transpose().map_err(|error| self.in_all(error, train, validation))?;
        let keeps_good = self.options.non_finite == NonFinite::Lower;
        let (begun, started, began) = (self.stats, Instant::now(), self.steps_done);
        let first = first.map(|first| (first, started));
        let mut kept = Kept { snapshots, first, keeps_good, ..Kept::default() };
        let mut failures = 0;
        let history = loop {
            let error = match self.attempt(train, &plan, validation, told, scope, &mut kept).await {
                Ok(history) => break history,
                Err(error) => error,
            };
            let of = self.options.checkpoint.as_ref().map_or(0, |asked| asked.device_retries);
            let reason = error.to_string();
            let (answer, history) = if let Some(step) = self.bad_step(&error) {
                let Some((moment, learning_rate)) = self.lower(step, &mut kept)? else {
                    let per_step = started.elapsed().div_f64((step - began.min(step)).max(1) as f64);
                    let error = self.explained(error, train, &plan, validation, &kept, per_step).await;
                    // Whatever else has gone bad, they have not.
                    self.take_best(kept.best.as_mut())?;
                    return Err(error);
                };
                let (times, of) = (moment.lowered(), self.options.lower_times);
                let event = Event::RateLowered { reason: &reason, step: moment.step, learning_rate, times, of };
                (told(event), moment.history())
            } else {
                if matches!(error, Error::NonFiniteResult(_)) && self.gpu.check().is_ok() {
                    self.take_best(kept.best.as_mut())?;
                }
                failures += 1;
                let moment = self.recover(error, failures, &mut kept).await?;
                let event = Event::DeviceReplaced { reason: &reason, step: moment.step, times: failures, of };
                (told(event), moment.history())
            };
            if answer.is_break() {
                // The next fit is one of its own.
                self.resumed = None;
                break history;
            }
        };
        Ok(History { stats: self.stats.since(begun), ..history })
    }

    /// The step whose numbers were not finite, where an error says that they were not.
    fn bad_step(&self, error: &Error) -> Option<u64> {
        match error {
            Error::NonFinite { step, .. } => Some(*step),
            // Of the validation after this step.
            Error::NonFiniteResult(_) if self.options.non_finite == NonFinite::Lower => Some(self.steps_done),
            _ => None,
        }
    }

    /// Goes back to before the numbers of a step were not finite, with a lower rate: to where, and how low. None where that may not be.
    fn lower(&mut self, step: u64, kept: &mut Kept) -> Result<Option<(Moment, f64)>, Error> {
        let times = kept.good.iter().map(Moment::lowered).max().unwrap_or(0) + 1;
        if self.options.non_finite != NonFinite::Lower || times > self.options.lower_times {
            return Ok(None);
        }
        // Where the very next step is bad, what it began with may be: if it was not, a lower rate from further back helps as well.
        if kept.good.len() > 1 && kept.good.last().is_some_and(|newest| newest.step + 1 >= step) {
            kept.good.pop();
        }
        let Some(mut moment) = kept.good.last().cloned() else { return Ok(None) };
        let rate = moment.lower(self.options.lower_factor, times);
        if rate as f32 == 0.0 {
            // Nothing would change any more.
            return Ok(None);
        }
        kept.good.pop();
        if let Some(snapshots) = &mut kept.snapshots {
            snapshots.go_back_to(&mut moment)?;
        }
        self.go_back(&moment)?;
        Ok(Some((moment, rate)))
    }

    /// An error about numbers that are not finite, with what was the first, where that can be found in less than a minute.
    async fn explained(
        &mut self,
        error: Error,
        train: Rows<'_>,
        plan: &Plan,
        validation: Option<&Dataset>,
        kept: &Kept,
        per_step: Duration,
    ) -> Error {
        let Error::NonFinite { step, epoch, cause } = error else { return error };
        let checkpoint = kept.snapshots.as_ref().and_then(Snapshots::last);
        let first = kept.first.as_ref().map(|(first, _)| first);
        let from = kept.good.last().or(checkpoint).or(first).filter(|from| from.step < step);
        let is_short = |from: &Moment| per_step.as_secs_f64() * (step - from.step) as f64 <= MOST_TIME.as_secs_f64();
        let is_wanted = self.options.non_finite != NonFinite::Skip && matches!(train, Rows::Whole(_));
        let Some(from) = from.filter(|from| is_wanted && is_short(from)) else {
            return Error::NonFinite { step, epoch, cause };
        };
        let found = self.diagnose(train, plan, validation, from, step, &cause).await;
        self.resumed = None;
        let cause = found.ok().flatten().unwrap_or(cause);
        Error::NonFinite { step, epoch, cause }
    }

    /// Who makes the checkpoints of a fit, where they are asked for.
    async fn snapshots(
        &mut self,
        sets: Option<(Fingerprint, Option<Fingerprint>)>,
        picks: Picks,
    ) -> Result<Option<Snapshots>, Error> {
        let (Some(asked), Some(sets)) = (self.options.checkpoint.clone(), sets) else { return Ok(None) };
        let beginning = if asked.device_retries > 0 { Some(self.beginning().await?) } else { None };
        Ok(Some(Snapshots::new(&asked, self.run_of(&asked, sets, picks), beginning)))
    }

    /// The fit from where the trainer is to its end, as long as the device lasts.
    async fn attempt<'scope, 'env: 'scope>(
        &mut self,
        train: Rows<'env>,
        plan: &Plan,
        validation: Option<&Dataset>,
        told: &mut dyn FnMut(Event) -> ControlFlow<()>,
        scope: Option<&'scope Scope<'scope, 'env>>,
        kept: &mut Kept,
    ) -> Result<History, Error> {
        // Room for this one's.
        kept.best = None;
        let mut fit =
            self.begin(train, plan, validation, scope).map_err(|error| self.in_all(error, train, validation))?;
        match self.run_epochs(&mut fit, validation, kept, told).await {
            Ok(()) => Ok(fit.history()),
            Err(error) => {
                let error = self.located(self.in_all(error, train, validation), &fit).await;
                kept.best = fit.best.take();
                Err(error)
            }
        }
    }

    /// An error, with what the whole fit takes where there was no memory for a part of it.
    fn in_all(&self, error: Error, train: Rows<'_>, validation: Option<&Dataset>) -> Error {
        match error {
            Error::OutOfMemory { what, bytes, held, reason, .. } => {
                let in_all = self.bytes_of_fit(train, validation).ok();
                Error::OutOfMemory { what, bytes, held, in_all, reason }
            }
            error => error,
        }
    }

    /// An error in the middle of a fit: where the device failed, it says in which steps.
    async fn located(&mut self, error: Error, fit: &Fit<'_, '_>) -> Error {
        let on_its_way = fit.on_its_way();
        let (done, sent, epoch) = (self.steps_done + on_its_way.start, self.steps_done + on_its_way.end, fit.epoch());
        match (self.gpu.settled(), error) {
            (Err(Error::Device(reason)), _) => Error::DeviceFailed { done, sent, epoch, reason },
            (_, error) => {
                // It has done all that it was handed, whatever went wrong beside it: the trainer is where the device is.
                let state = &self.model[&Role::State];
                if let Ok(state) = self.gpu.fetch::<u32>(state, size_of::<State>() / 4, &mut self.stats.traffic).await {
                    (self.steps_done, self.skipped) = (state[0].into(), state[SKIPPED_WORD]);
                }
                match error {
                    Error::OutOfMemory { .. } => {
                        Error::DeviceFailed { done: sent, sent, epoch, reason: error.to_string() }
                    }
                    error => error,
                }
            }
        }
    }

    /// After an error: another device in place of one that failed, and where the fit goes on there.
    ///
    /// # Errors
    ///
    /// The error itself, where it is another one, no checkpoints are made, or the device has failed too often; and what else was in the way.
    async fn recover(&mut self, error: Error, failures: u64, kept: &mut Kept) -> Result<Arc<Moment>, Error> {
        // A device that has just been opened may have no memory for what the last one had.
        let is_failure = matches!(error, Error::DeviceFailed { .. })
            || self.gpu.check().is_err()
            || failures > 1 && matches!(error, Error::OutOfMemory { .. });
        let Some(snapshots) = kept.snapshots.as_mut().filter(|_| is_failure) else { return Err(error) };
        let Some(moment) = snapshots.go_back()? else { return Err(error) };
        let allowed = self.options.checkpoint.as_ref().map_or(0, |asked| asked.device_retries);
        if failures > allowed {
            let before = if failures == 2 { "once".into() } else { format!("{} times", failures - 1) };
            return Err(and(
                error,
                &format!("it had failed {before} before, and may {allowed} times in a fit (device_retries)"),
            ));
        }
        let another = match self.gpu.replacement().await {
            Ok(another) => another,
            Err(none) => return Err(and(error, &format!("another device cannot be had: {none}"))),
        };
        tracing::debug!(%error, step = moment.step, "training goes on on another device");
        match self.go_back_on(Arc::new(another), &moment) {
            Ok(()) => Ok(moment),
            Err(none) => Err(and(error, &format!("on another device it cannot go on: {none}"))),
        }
    }

    /// The step state that a run to `last_step` begins with.
    pub(crate) fn state(&self, rows: usize, batch: u32, last_step: u64) -> State {
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
    pub(crate) fn order_over(&self, rows: usize) -> Order {
        if self.order.rows == rows {
            return self.order;
        }
        let per_epoch = self.order.rows.div_ceil(self.options.batch_size).max(1) as u64;
        let epochs_before = self.order.epochs_before + (self.steps_done - self.order.first_step).div_ceil(per_epoch);
        Order { rows, first_step: self.steps_done, epochs_before }
    }
}

/// Rows that are read, scaled as those that a model was trained on before where they are not scaled themselves.
struct Like<'a> {
    source: &'a dyn Source,
    origin: Origin,
}

impl Source for Like<'_> {
    fn rows(&self) -> usize {
        self.source.rows()
    }

    fn classes(&self) -> usize {
        self.source.classes()
    }

    fn read(&self, rows: Range<usize>) -> Result<Dataset, Error> {
        let set = self.source.read(rows)?;
        let scaled = match set.seen_as(&set.origin().clone().or(self.origin.clone()), false)? {
            Cow::Owned(scaled) => Some(scaled),
            Cow::Borrowed(_) => None,
        };
        Ok(scaled.unwrap_or(set))
    }
}

/// What a fit can go back to.
#[derive(Default)]
pub(crate) struct Kept {
    pub snapshots: Option<Snapshots>,
    /// Its beginning and when that was, where the weights were new and it makes no checkpoints.
    first: Option<(Moment, Instant)>,
    /// The beginnings of the epoch and of the one before it, where the rate is lowered when numbers are not finite.
    pub good: Vec<Moment>,
    pub keeps_good: bool,
    /// The best weights of an attempt that has failed, where they are kept.
    best: Option<Vec<Buffer>>,
}

impl Kept {
    /// Keeps the moment in which an epoch begins.
    pub fn keep(&mut self, moment: Moment) {
        self.good.retain(|other| other.step < moment.step);
        if self.good.len() > 1 {
            self.good.remove(0);
        }
        self.good.push(moment);
    }

    /// Lets go of its beginning, once it would take too long to come from there again.
    pub fn forget_first(&mut self) {
        self.first.take_if(|(_, began)| began.elapsed() > MOST_TIME);
    }
}

/// A device's failure, with what was tried then.
fn and(error: Error, tried: &str) -> Error {
    match error {
        Error::DeviceFailed { done, sent, epoch, reason } => {
            Error::DeviceFailed { done, sent, epoch, reason: format!("{reason}; {tried}") }
        }
        Error::Device(reason) => Error::Device(format!("{reason}; {tried}")),
        error => Error::Device(format!("{error}; {tried}")),
    }
}
