//! What a fit has as long as its device lasts, and how it is made ready.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::observer::EpochPart;
use super::plans;
use super::session::Session;
use crate::checkpoint::{FitState, RestorePoint};
use crate::data::Dataset;
use crate::error::Error;
use crate::gpu::{Buffer, Gpu};
use crate::history::History;
use crate::host::Threads;
use crate::options::Watch;
use crate::plan::{Plan, Role};
use crate::run::buffers::{Buffers, beside};
use crate::run::evaluator::Evaluator;
use crate::run::parameters::ParameterReader;
use crate::run::rows::Rows;
use crate::run::runner::Runner;
use crate::run::state::State;
use crate::run::stream::{Reading, Stream};

/// A fit as far as its device lasts.
pub(crate) struct Attempt<'env, 'scope> {
    pub train: Rows<'env>,
    pub device: OnDevice<'scope>,
    pub validating: Validating,
    pub reporting: Reporting,
    pub course: Course,
    /// What a checkpoint keeps of it besides what is on the device.
    pub fit: FitState,
}

/// The device, and what an attempt has there besides the model.
pub(crate) struct OnDevice<'scope> {
    pub gpu: Arc<Gpu>,
    pub training: Runner,
    pub stream: Option<Stream<'scope>>,
    /// The best weights, where they are kept: none before there are any.
    pub best: Option<Vec<Buffer>>,
}

/// The validation after every epoch, where there is a set for it.
#[derive(Default)]
pub(crate) struct Validating {
    /// The validation set's rows on the device, with its plan, until its kernels are wanted.
    pub waiting: Option<(usize, Buffers, Plan)>,
    pub evaluator: Option<Evaluator>,
}

/// The report of parameters after every epoch, where it is asked for.
#[derive(Default)]
pub(crate) struct Reporting {
    /// The banks that rows can be in, until the kernels that parameters are read by are wanted.
    pub banks: Option<Vec<Buffers>>,
    pub reader: Option<ParameterReader>,
}

/// How far it goes, and how far it has come.
pub(crate) struct Course {
    /// The step state as the host writes it.
    pub state: State,
    pub last_step: u64,
    /// The step that it is run to now: the last one, except where it is only run to find how that went.
    pub until: u64,
    /// Whether an epoch goes on that was begun before the checkpoint; its last step may have been done, and nothing more.
    pub continues: bool,
    /// Whether its last part ended before its epoch did, as the observer broke off.
    pub is_broken_off: bool,
    pub part: EpochPart,
    pub going_on: ControlFlow<()>,
}

impl Course {
    /// The epoch that is trained, counted from 1.
    pub fn epoch(&self) -> u64 {
        self.part.epoch + 1
    }

    /// Whether it ends inside an epoch that its last step is not in: what follows from an epoch is then left to a later fit.
    pub fn stops_short(&self) -> bool {
        let part = self.part;
        self.until < self.last_step && part.first + part.before_now + part.steps < part.per_epoch
    }

    /// Takes the answer of an observer.
    pub fn take(&mut self, answer: ControlFlow<()>) {
        if answer.is_break() {
            self.going_on = answer;
        }
    }
}

impl<'env, 'scope> Attempt<'env, 'scope> {
    /// Makes everything ready for the next step.
    pub async fn begin(
        session: &mut Session,
        train: Rows<'env>,
        plan: &Plan,
        validation: Option<&Dataset>,
        threads: Option<&'scope dyn Threads<'env>>,
    ) -> Result<Self, Error>
    where
        'env: 'scope,
    {
        // Its rows go to the device now, so that an error in them is reported; its kernels are compiled when they are wanted, after the
        // first epoch's last step.
        let validating = Validating::of(session, validation).await?;
        let gpu = Arc::clone(&session.model.gpu);
        let banks = banks(session, train, plan).await?;
        let training = runner_over(session, plan, &banks).await?;
        if session.options.batch_size > train.count() {
            tracing::warn!(
                batch_size = session.options.batch_size,
                rows = train.count(),
                "the set has fewer rows than a minibatch: all of them are one"
            );
        }
        let first_step = session.position.order.first_step;
        let per_epoch = train.count().div_ceil(session.options.step_rows()) as u64;
        let last_step = session.options.last_step(session.fit_began(), first_step, per_epoch)?;
        let mut state = session.state(train.count(), plan.step_rows(), last_step);
        let (fit, best) = fit_and_best(session, &training, &mut state).await?;
        gpu.write(&session.model.buffers[&Role::State], &[state]);
        // Compiled when they are wanted, as the validation's kernels are.
        let reporting = Reporting { banks: session.reports_parameters.then(|| banks.clone()), ..Reporting::default() };
        let stream = stream_over(session, train, threads, banks, last_step).await?;
        let course = Course {
            state,
            last_step,
            until: last_step,
            continues: fit.sums_began < session.position.steps_done,
            is_broken_off: false,
            part: EpochPart::default(),
            going_on: ControlFlow::Continue(()),
        };
        let device = OnDevice { gpu, training, stream, best };
        Ok(Attempt { train, device, validating, reporting, course, fit })
    }

    /// Of the steps that are run now, those that are known to be done and those handed over.
    pub fn on_its_way(&self) -> Range<u64> {
        self.device.training.on_its_way()
    }

    /// What it has come to.
    pub fn history(self) -> History {
        self.fit.history
    }

    /// The moment that it is at, read from the device.
    pub async fn restore_point(&self, session: &mut Session) -> Result<RestorePoint, Error> {
        let (fit, sums) = (self.fit.clone(), &self.device.training.buffers[&Role::Stats]);
        let best = self.device.best.as_deref();
        RestorePoint::within_fit(&mut session.model, session.position, fit, sums, best).await
    }
}

impl Validating {
    async fn of(session: &Session, validation: Option<&Dataset>) -> Result<Self, Error> {
        let waiting = match validation.zip(plans::validation(session, validation)?) {
            Some((set, plan)) => Some((set.rows(), session.model.upload_set(set, &session.options.loss).await?, plan)),
            None => None,
        };
        Ok(Validating { waiting, evaluator: None })
    }
}

/// The training steps over all banks that rows can be in.
async fn runner_over(session: &Session, plan: &Plan, banks: &[Buffers]) -> Result<Runner, Error> {
    let (gpu, checks, chunk) = (&session.model.gpu, session.options.checks, session.options.steps_per_submission);
    let mut training = Runner::new(gpu, plan, &[&session.model.buffers, &banks[0]], checks, chunk).await?;
    if let Some(processes) = &session.processes {
        training.among(gpu, plan, processes, session.options.sync_every).await?;
    }
    for bank in &banks[1..] {
        training.also_over(gpu, plan, bank, checks).await?;
    }
    gpu.keep_pipelines();
    Ok(training)
}

/// What the fit remembers, and its best weights where they are kept: those of the checkpoint that it goes on from, or none yet.
async fn fit_and_best(
    session: &mut Session,
    training: &Runner,
    state: &mut State,
) -> Result<(FitState, Option<Vec<Buffer>>), Error> {
    let options = &session.options;
    let mut best = options.keep_best.then(Vec::new);
    let Some(resumed) = session.resumed.take() else {
        let fit = FitState {
            began: session.position.steps_done,
            sums_began: session.position.steps_done,
            skipped_before: session.position.skipped,
            watch: Watch::new(options.monitor, options.early_stopping, options.reduce_on_plateau),
            history: History::default(),
        };
        return Ok((fit, best));
    };
    if let (Some(best), Some(weights)) = (&mut best, &resumed.best) {
        *best = session.model.upload_weights("the best weights", weights).await?;
    }
    Ok((resumed.go_on(&session.model.gpu, training, state)?, best))
}

/// What brings the rows of a source that is read in windows.
async fn stream_over<'env: 'scope, 'scope>(
    session: &Session,
    train: Rows<'env>,
    threads: Option<&'scope dyn Threads<'env>>,
    banks: Vec<Buffers>,
    last_step: u64,
) -> Result<Option<Stream<'scope>>, Error> {
    let (model, options) = (&session.model, &session.options);
    let order = session.position.order;
    let (Rows::Windows { source, .. }, Some(windows)) = (train, train.in_windows(options.visiting(order))) else {
        return Ok(None);
    };
    let reading = Reading {
        source,
        network: model.network.clone(),
        loss: options.loss.clone(),
        shape: train.shape(model.tiling.most_bytes),
        scalings: [train.at_hand().scaling().cloned(), train.at_hand().target_scaling().cloned()],
        windows,
        order,
        steps: session.position.steps_done..last_step,
    };
    Stream::begin(threads, &model.gpu, reading, banks, &model.buffers[&Role::State]).await.map(Some)
}

/// The buffers of rows on the device: one bank with all of them, or two that windows take turns in.
async fn banks(session: &Session, train: Rows<'_>, plan: &Plan) -> Result<Vec<Buffers>, Error> {
    let (model, loss) = (&session.model, &session.options.loss);
    let first = match train {
        Rows::Whole(set) => return Ok(vec![model.upload_set(set, loss).await?]),
        Rows::Windows { first, .. } => first,
    };
    let of_set = || plan.buffers.iter().filter(|buffer| matches!(buffer.role, Role::Set(_) | Role::Targets));
    let mut banks = Vec::new();
    for _ in 0..2 {
        let mut bank = beside(&model.gpu, first, loss, model.network.outputs()).await?;
        for buffer in of_set() {
            bank.insert(buffer.role, model.gpu.zeros(&buffer.role.to_string(), buffer.bytes).await?);
        }
        banks.push(bank);
    }
    Ok(banks)
}
