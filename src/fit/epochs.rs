//! Epochs of steps, each with one blocking read at its end, and what is decided there.

use std::ops::ControlFlow;

use super::attempt::Attempt;
use super::observer::{EpochPart, Reporter};
use super::plans;
use super::recovery::Recovery;
use super::session::Session;
use crate::checkpoint::{PartSnapshots, Snapshots};
use crate::data::Dataset;
use crate::error::Error;
use crate::gpu::Buffer;
use crate::history::{Epoch, Event, Parameters};
use crate::metric::{Evaluation, Metrics};
use crate::options::Verdict;
use crate::plan::Role;
use crate::run::device_model::{DeviceModel, Direction};
use crate::run::order::Order;
use crate::run::parameters::ParameterReader;
use crate::run::runner::{CopiesAlong, Part};
use crate::run::stream::Stream;
use crate::run::sums::Sums;

/// Epoch after epoch, until the last step, or until the observer breaks off.
pub(crate) async fn run(
    session: &mut Session,
    attempt: &mut Attempt<'_, '_>,
    validation: Option<&Dataset>,
    recovery: &mut Recovery,
    observer: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<(), Error> {
    while (session.position.steps_done < attempt.course.until || attempt.course.continues)
        && attempt.course.going_on.is_continue()
        && !attempt.fit.watch.is_over()
    {
        let host = session.model.gpu.host();
        let (started, before) = (host.now(), session.model.stats);
        let mut reporter = begin_part(session, attempt);
        // Where an epoch goes on, its beginning was kept, unless it was begun by another fit.
        if recovery.keeps_good && (!attempt.course.continues || recovery.good.is_empty()) {
            recovery.keep(attempt.restore_point(session).await?);
        }
        run_part(session, attempt, recovery.snapshots.as_mut(), &mut reporter, observer).await?;
        let trained_for = host.since(started).as_secs_f64().max(1e-9);
        if attempt.course.stops_short() {
            attempt.course.continues = true;
            break;
        }
        let sums = read_sums(session, attempt).await?;
        recovery.forget_first(host);
        check_skipped(session, attempt, &sums)?;
        let part = attempt.course.part;
        if let Some(progress) = reporter.progress(part.steps, sums, trained_for) {
            attempt.course.take(observer(Event::Progress(progress)));
        }
        let training = sums.over(part.rows_of(part.steps));
        let (validated, metrics) = validated(session, attempt, validation).await?;
        let record = Epoch {
            epoch: attempt.course.epoch(),
            training,
            validation: validated,
            monitored: session.options.monitor.of(validated.unwrap_or(training), metrics.as_ref()),
            learning_rate: sums.learning_rate.into(),
            skipped_steps: (sums.skipped - attempt.fit.skipped_before).into(),
            seconds: host.since(started).as_secs_f64(),
            samples_per_second: part.rows_now(part.steps) as f64 / trained_for,
            stats: session.model.stats.since(before),
        };
        let verdict = judge(session, attempt, record, sums.skipped).await?;
        if let Some(parameters) = parameters(session, attempt).await? {
            attempt.course.take(observer(Event::Parameters(&parameters)));
        }
        attempt.course.take(observer(Event::Epoch(record)));
        attempt.course.going_on = session.agree(attempt.course.going_on)?;
        if let Some(snapshots) = &mut recovery.snapshots {
            take_between_epochs(session, attempt, snapshots).await?;
        }
        if verdict.stops {
            attempt.course.going_on = ControlFlow::Break(());
        }
    }
    if let Some(snapshots) = &mut recovery.snapshots {
        snapshots.finish(&attempt.device.gpu, &mut session.model.stats.traffic).await?;
    }
    if attempt.course.until == attempt.course.last_step {
        take_best(&mut session.model, attempt.device.best.as_mut()).await?;
    }
    Ok(())
}

/// Takes the weights of the best epoch, where they are kept and there are any.
pub(crate) async fn take_best(model: &mut DeviceModel, best: Option<&mut Vec<Buffer>>) -> Result<(), Error> {
    let Some(best) = best.filter(|best| !best.is_empty()) else { return Ok(()) };
    let copied = model.copy_weights(best, Direction::Back).await?;
    model.gpu.wait_for(copied).await
}

/// Which steps of which epoch come now, and what reports of them.
fn begin_part(session: &Session, attempt: &mut Attempt<'_, '_>) -> Reporter {
    let Order { first_step, epochs_before, .. } = session.position.order;
    let steps_done = session.position.steps_done;
    let (course, fit) = (&mut attempt.course, &mut attempt.fit);
    if !course.continues {
        (fit.sums_began, fit.skipped_before) = (steps_done, course.state.skipped);
    }
    let per_epoch = attempt.train.count().div_ceil(session.options.step_rows()) as u64;
    let in_order = fit.sums_began - first_step;
    let (first, before_now) = (in_order % per_epoch, steps_done - fit.sums_began);
    course.part = EpochPart {
        epoch: epochs_before + in_order / per_epoch,
        per_epoch,
        first,
        before_now,
        steps: (per_epoch - first - before_now).min(course.until - steps_done),
        batch: attempt.device.training.batch().into(),
        rows: attempt.train.count() as u64,
    };
    Reporter::new(course.part, session.options.computes_gradient_norm())
}

/// Runs the part's steps, or as many as are wanted, and hands over what comes after them.
async fn run_part(
    session: &mut Session,
    attempt: &mut Attempt<'_, '_>,
    mut snapshots: Option<&mut Snapshots>,
    reporter: &mut Reporter,
    observer: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<(), Error> {
    let host = session.model.gpu.host();
    let (started, began) = (host.now(), session.position.steps_done);
    if let Some(snapshots) = &mut snapshots {
        snapshots.begin(began, attempt.course.last_step, sources(session, attempt));
    }
    let Attempt { device, course, fit, .. } = &mut *attempt;
    let mut copies = snapshots.as_deref_mut().map(|snapshots| PartSnapshots { snapshots, fit });
    let part = Part {
        steps: course.part.steps,
        until_end: course.part.per_epoch - course.part.first - course.part.before_now,
        rows: course.part.rows,
        began,
        continues: course.continues,
        stream: device.stream.as_mut(),
        copies: copies.as_mut().map(|copies| copies as &mut dyn CopiesAlong),
    };
    let (epoch, gpu, non_finite) = (course.part.epoch, &device.gpu, session.options.non_finite);
    let run = device.training.run_part(gpu, part, &mut session.model.stats, |step, sums| {
        gpu.check_steps(sums.step, began + step)?;
        non_finite.check(&sums, epoch)?;
        if let Some(progress) = reporter.progress(step, sums, host.since(started).as_secs_f64()) {
            course.take(observer(Event::Progress(progress)));
        }
        Ok(course.going_on)
    });
    let run = run.await?;
    course.is_broken_off = run < course.part.steps;
    if course.is_broken_off {
        // By the observer, or by that of another process.
        course.going_on = ControlFlow::Break(());
    }
    if course.is_broken_off
        && let Some(snapshots) = snapshots
    {
        snapshots.take(gpu, &mut session.model.stats.traffic, run, fit).await?;
    }
    course.part.steps = run;
    session.position.steps_done += run;
    session.model.stats.steps += run;
    course.continues = false;
    Ok(())
}

/// What follows an epoch's steps on the device, and the epoch's one blocking read: by the time the first sums are here, so are the
/// validation's.
async fn read_sums(session: &mut Session, attempt: &mut Attempt<'_, '_>) -> Result<Sums, Error> {
    let (checks, steps_done) = (session.options.checks, session.position.steps_done);
    let Attempt { device, validating, reporting, course, .. } = attempt;
    let gpu = &device.gpu;
    if let Some(banks) = reporting.banks.take() {
        let plan = plans::gradients(session, attempt.train)?;
        reporting.reader = Some(ParameterReader::new(gpu, &plan, &session.model.buffers, &banks, checks).await?);
        gpu.keep_pipelines();
    }
    if let Some(reader) = &mut reporting.reader {
        let bank = device.stream.as_ref().map_or(0, Stream::bank);
        reader.take(gpu, &mut session.model.stats.traffic, steps_done, bank).await?;
    }
    device.training.request_sums(gpu, &mut session.model.stats).await?;
    // An observer that breaks off wants the model and the checkpoint, and no look at another set before them.
    if !course.is_broken_off {
        if let Some((count, rows, plan)) = validating.waiting.take() {
            validating.evaluator = Some(session.model.evaluator(count, rows, &plan).await?);
            gpu.keep_pipelines();
        }
        if let Some(evaluator) = &mut validating.evaluator {
            evaluator.run(gpu, &mut session.model.stats).await?;
        }
    }
    let sums = device.training.sums(gpu, &mut session.model.stats).await?;
    gpu.check_steps(sums.step, steps_done)?;
    session.options.non_finite.check(&sums, course.part.epoch)?;
    Ok(sums)
}

/// The validation after an epoch's last step, with its metrics where the monitor needs them.
async fn validated(
    session: &mut Session,
    attempt: &mut Attempt<'_, '_>,
    validation: Option<&Dataset>,
) -> Result<(Option<Evaluation>, Option<Metrics>), Error> {
    let Some(evaluator) = attempt.validating.evaluator.as_mut().filter(|_| !attempt.course.is_broken_off) else {
        return Ok((None, None));
    };
    let (gpu, stats) = (&attempt.device.gpu, &mut session.model.stats);
    let result = evaluator.evaluation(gpu, stats).await;
    let evaluation = result.map_err(|error| of_validation(error, attempt.course.epoch()))?;
    let Some(set) = validation.filter(|_| session.options.monitor.is_measured()) else {
        return Ok((Some(evaluation), None));
    };
    let (loss, outputs) = (&session.options.loss, session.model.network.outputs());
    let metrics = evaluator.metrics(gpu, stats, set, loss, outputs, evaluation).await?;
    Ok((Some(evaluation), Some(metrics)))
}

/// That an epoch has not skipped all its steps: what is left of it is no loss, which must not count as the least of all.
fn check_skipped(session: &Session, attempt: &Attempt<'_, '_>, sums: &Sums) -> Result<(), Error> {
    let steps = attempt.course.part.before_now + attempt.course.part.steps;
    if sums.have_no_loss() && steps > 0 && u64::from(sums.skipped - attempt.fit.skipped_before) >= steps {
        let cause = format!("all {steps} steps of the epoch were skipped, as no loss of theirs was finite");
        return Err(Error::NonFinite { step: session.position.steps_done, epoch: attempt.course.epoch(), cause });
    }
    Ok(())
}

/// What follows from an epoch's figures: weights to keep, another rate, an end.
async fn judge(
    session: &mut Session,
    attempt: &mut Attempt<'_, '_>,
    record: Epoch,
    skipped: u32,
) -> Result<Verdict, Error> {
    let Attempt { device, course, fit, .. } = attempt;
    fit.history.epochs.push(record);
    let verdict = match course.is_broken_off {
        // A part of an epoch, and not validated, says nothing that others could be compared with.
        true => Verdict { is_best: false, lr: course.state.base_rate.into(), stops: false },
        false => fit.watch.judge(&record, course.state.base_rate.into()),
    };
    if let Some(best) = device.best.as_mut().filter(|_| verdict.is_best) {
        session.model.copy_weights(best, Direction::Out).await?;
        fit.history.kept = Some(fit.history.epochs.len() - 1);
    }
    (course.state.skipped, session.position.skipped) = (skipped, skipped);
    if verdict.lr as f32 != course.state.base_rate {
        (course.state.step, course.state.base_rate) = (session.position.steps_done as u32, verdict.lr as f32);
        device.gpu.write(&session.model.buffers[&Role::State], &[course.state]);
    }
    Ok(verdict)
}

/// The parameters after an epoch, where they are reported: they are as old as the sums, and so here with them.
async fn parameters(session: &mut Session, attempt: &mut Attempt<'_, '_>) -> Result<Option<Parameters>, Error> {
    let Some(reader) = &mut attempt.reporting.reader else { return Ok(None) };
    let model = &mut session.model;
    reader.parameters(&attempt.device.gpu, &mut model.stats.traffic, &model.network).await.map(Some)
}

/// Takes a checkpoint between two epochs, with what follows from the one before, where the fit is broken off there; within an epoch it has been
/// taken.
async fn take_between_epochs(
    session: &mut Session,
    attempt: &mut Attempt<'_, '_>,
    snapshots: &mut Snapshots,
) -> Result<(), Error> {
    let (steps_done, last_step) = (session.position.steps_done, attempt.course.last_step);
    if attempt.course.going_on.is_continue() || steps_done >= last_step {
        return Ok(());
    }
    (attempt.fit.sums_began, attempt.fit.skipped_before) = (steps_done, attempt.course.state.skipped);
    snapshots.begin(steps_done, last_step, sources(session, attempt));
    snapshots.take(&attempt.device.gpu, &mut session.model.stats.traffic, 0, &attempt.fit).await
}

/// What a checkpoint is made of, as [`Snapshots::begin`] takes it.
fn sources(session: &Session, attempt: &Attempt<'_, '_>) -> Vec<Buffer> {
    let model = &session.model;
    let layers = 0..model.network.named_parameters().len();
    let of_layers = |role: fn(usize) -> Role| layers.clone().filter_map(move |layer| model.buffers.get(&role(layer)));
    of_layers(Role::Weights)
        .chain(of_layers(Role::OptimizerSlots))
        .chain(of_layers(Role::Averages))
        .chain([&model.buffers[&Role::State], &attempt.device.training.buffers[&Role::Stats]])
        .chain(attempt.device.best.iter().flatten())
        .cloned()
        .collect()
}

/// An error of the validation after an epoch, where that is in the numbers.
fn of_validation(error: Error, epoch: u64) -> Error {
    match error {
        Error::NonFiniteResult(reason) => Error::NonFiniteResult(format!("validation after epoch {epoch}: {reason}")),
        error => error,
    }
}
