//! Training, from the first step to the last: one attempt after another, on one device or, where that fails, on those after it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::Attempt;
use super::diagnosis::diagnose;
use super::recovery::{MOST_TIME, Recovery};
use super::session::Session;
use super::training_set::TrainingSet;
use super::{among, checkpoints, epochs, memory, plans, tune};
use crate::checkpoint::{RestorePoint, Snapshots};
use crate::data::Dataset;
use crate::error::Error;
use crate::history::{Event, History};
use crate::host::Threads;
use crate::options::NonFinite;
use crate::plan::{Plan, Role};
use crate::run::rows::Rows;
use crate::run::state::{SKIPPED_WORD, State};

/// A function that a fit reports its events to, and which may break it off.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(Event) -> ControlFlow<()>;

/// The sets of a fit, and what starts the thread that rows are read on, where they are read in windows.
struct Sets<'a, 'env, 'scope> {
    train: Rows<'env>,
    validation: Option<&'a Dataset>,
    threads: Option<&'scope dyn Threads<'env>>,
}

/// Trains on a set. Rows that are read in windows are read on one of `threads` where there are any, and in turn with the steps where there are none.
///
/// # Errors
///
/// As [`Trainer::fit`](crate::Trainer::fit).
pub(crate) async fn fit<'scope, 'env: 'scope>(
    session: &mut Session,
    train: &'env TrainingSet<'_>,
    validation: Option<&Dataset>,
    threads: Option<&'scope dyn Threads<'env>>,
    observer: Observer<'_>,
) -> Result<History, Error> {
    let train = train.rows(session)?;
    let validation = validation.map(|set| set.seen_as(train.at_hand().origin(), true)).transpose()?;
    run(session, Sets { train, validation: validation.as_deref(), threads }, observer).await
}

async fn run<'scope, 'env: 'scope>(
    session: &mut Session,
    sets: Sets<'_, 'env, 'scope>,
    observer: Observer<'_>,
) -> Result<History, Error> {
    let Sets { train, validation, .. } = sets;
    let asked = session.options.checkpoint.as_ref().filter(|_| session.writes());
    let _lock = asked.map(|asked| checkpoints::claim(session, asked)).transpose()?;
    let fingerprints = checkpoints::fingerprints(session, train, validation)?;
    memory::check(session, train, validation)?;
    let mut going_on = ControlFlow::Continue(());
    tune::tune(session, train, &mut |event| {
        if observer(event).is_break() {
            going_on = ControlFlow::Break(());
        }
        going_on
    })
    .await?;
    if session.agree(going_on)?.is_break() {
        return Ok(History::default());
    }
    let plan = plans::training(session, train)?;
    if let Some(fingerprints) = fingerprints {
        among::check(session, fingerprints, &plan.picks()).await?;
    }
    session.origin = train.at_hand().origin().clone().or(std::mem::take(&mut session.origin));
    session.is_fitted = true;
    session.position.order = session.order_over(train.count());
    let snapshots = checkpoints::snapshots(session, fingerprints, plan.picks()).await;
    let snapshots = snapshots.map_err(|error| memory::in_all(session, error, train, validation))?;
    // Where it may be asked which number was not finite first, and no other restore point is kept.
    let is_new = session.position.steps_done == 0 && snapshots.as_ref().and_then(Snapshots::last).is_none();
    let explains = session.options.non_finite == NonFinite::Stop && is_new && matches!(train, Rows::Whole(_));
    let first = if explains { Some(session.beginning().await) } else { None };
    let first = first.transpose().map_err(|error| memory::in_all(session, error, train, validation))?;
    let keeps_good = session.options.non_finite == NonFinite::Lower;
    let (before, started) = (session.model.stats, session.model.gpu.host().now());
    let first = first.map(|first| (first, started));
    let recovery = Recovery { snapshots, first, keeps_good, ..Recovery::default() };
    let history = attempts(session, &sets, &plan, recovery, observer).await?;
    Ok(History { stats: session.model.stats.since(before), ..history })
}

/// Attempts, until one comes to its end or none may follow.
async fn attempts<'scope, 'env: 'scope>(
    session: &mut Session,
    sets: &Sets<'_, 'env, 'scope>,
    plan: &Plan,
    mut recovery: Recovery,
    observer: Observer<'_>,
) -> Result<History, Error> {
    let (started, began) = (session.model.gpu.host().now(), session.position.steps_done);
    let mut failures = 0;
    loop {
        let error = match attempt(session, sets, plan, observer, &mut recovery).await {
            Ok(history) => return Ok(history),
            Err(error) => error,
        };
        let reason = error.to_string();
        let (answer, history) = if let Some(step) = non_finite_step(session, &error) {
            let Some((point, learning_rate)) = lower(session, step, &mut recovery).await? else {
                let per_step = session.model.gpu.host().since(started).div_f64((step - began.min(step)).max(1) as f64);
                let error = explained(session, error, sets, plan, &recovery, per_step).await;
                // The best weights are finite in any case.
                epochs::take_best(&mut session.model, recovery.best.as_mut()).await?;
                return Err(error);
            };
            let (times, of) = (point.lowered(), session.options.lower_times);
            let event = Event::RateLowered { reason: &reason, step: point.step(), learning_rate, times, of };
            (observer(event), point.history())
        } else {
            if matches!(error, Error::NonFiniteResult(_)) && session.model.gpu.check().is_ok() {
                epochs::take_best(&mut session.model, recovery.best.as_mut()).await?;
            }
            failures += 1;
            let point = recover(session, error, failures, &mut recovery).await?;
            let of = session.options.checkpoint.as_ref().map_or(0, |asked| asked.device_retries);
            let event = Event::DeviceReplaced { reason: &reason, step: point.step(), times: failures, of };
            (observer(event), point.history())
        };
        if session.agree(answer)?.is_break() {
            // The next fit is one of its own.
            session.resumed = None;
            return Ok(history);
        }
    }
}

/// The fit from where the session is to its end, as long as the device lasts.
async fn attempt<'scope, 'env: 'scope>(
    session: &mut Session,
    &Sets { train, validation, threads }: &Sets<'_, 'env, 'scope>,
    plan: &Plan,
    observer: Observer<'_>,
    recovery: &mut Recovery,
) -> Result<History, Error> {
    // Room for this one's.
    recovery.best = None;
    let attempt = Attempt::begin(session, train, plan, validation, threads).await;
    let mut attempt = attempt.map_err(|error| memory::in_all(session, error, train, validation))?;
    match epochs::run(session, &mut attempt, validation, recovery, observer).await {
        Ok(()) => Ok(attempt.history()),
        Err(error) => {
            let error = memory::in_all(session, error, train, validation);
            let error = located(session, error, &attempt).await;
            recovery.best = attempt.device.best.take();
            Err(error)
        }
    }
}

/// The step whose numbers were not finite, where an error says that they were not.
fn non_finite_step(session: &Session, error: &Error) -> Option<u64> {
    match error {
        Error::NonFinite { step, .. } => Some(*step),
        // Of the validation after this step.
        Error::NonFiniteResult(_) if session.options.non_finite == NonFinite::Lower => {
            Some(session.position.steps_done)
        }
        _ => None,
    }
}

/// Goes back to before the numbers of a step were not finite, with a lower rate: to where, and how low. None where that may not be.
async fn lower(
    session: &mut Session,
    step: u64,
    recovery: &mut Recovery,
) -> Result<Option<(RestorePoint, f64)>, Error> {
    let times = recovery.good.iter().map(RestorePoint::lowered).max().unwrap_or(0) + 1;
    if session.options.non_finite != NonFinite::Lower || times > session.options.lower_times {
        return Ok(None);
    }
    // Where the very next step is not finite, what it began with may be the cause: if it was not, a lower rate from further back helps as well.
    if recovery.good.len() > 1 && recovery.good.last().is_some_and(|newest| newest.step() + 1 >= step) {
        recovery.good.pop();
    }
    let Some(mut point) = recovery.good.last().cloned() else { return Ok(None) };
    let rate = point.lower(session.options.lower_factor, times);
    if rate as f32 == 0.0 {
        // Nothing would change any more.
        return Ok(None);
    }
    recovery.good.pop();
    if let Some(snapshots) = &mut recovery.snapshots {
        snapshots.go_back_to(&mut point)?;
    }
    session.go_back(&point).await?;
    Ok(Some((point, rate)))
}

/// An error about numbers that are not finite, with what was the first, where that can be found in less than a minute.
async fn explained(
    session: &mut Session,
    error: Error,
    sets: &Sets<'_, '_, '_>,
    plan: &Plan,
    recovery: &Recovery,
    per_step: Duration,
) -> Error {
    let Error::NonFinite { step, epoch, cause } = error else { return error };
    let &Sets { train, validation, .. } = sets;
    let is_short =
        |from: &RestorePoint| per_step.as_secs_f64() * (step - from.step()) as f64 <= MOST_TIME.as_secs_f64();
    let options = &session.options;
    let is_whole = options.accumulate == 1 && options.shards.is_none();
    let is_wanted = options.non_finite != NonFinite::Skip && is_whole && matches!(train, Rows::Whole(_));
    let Some(from) = recovery.before(step).filter(|from| is_wanted && is_short(from)) else {
        return Error::NonFinite { step, epoch, cause };
    };
    let found = diagnose(session, train, plan, validation, from, step, &cause).await;
    session.resumed = None;
    let cause = found.ok().flatten().unwrap_or(cause);
    Error::NonFinite { step, epoch, cause }
}

/// An error in the middle of a fit: where the device failed, it says in which steps.
async fn located(session: &mut Session, error: Error, attempt: &Attempt<'_, '_>) -> Error {
    let (on_its_way, epoch) = (attempt.on_its_way(), attempt.course.epoch());
    let steps_done = session.position.steps_done;
    let (done, sent) = (steps_done + on_its_way.start, steps_done + on_its_way.end);
    let model = &mut session.model;
    match (model.gpu.settled().await, error) {
        (Err(Error::Device(reason)), _) => Error::DeviceFailed { done, sent, epoch, reason },
        (_, error) => {
            // It has done all that it was handed, also where something beside it failed: the session is where the device is.
            let state = &model.buffers[&Role::State];
            if let Ok(state) = model.gpu.read::<u32>(state, size_of::<State>() / 4, &mut model.stats.traffic).await {
                (session.position.steps_done, session.position.skipped) = (state[0].into(), state[SKIPPED_WORD]);
            }
            match error {
                Error::OutOfMemory { .. } => Error::DeviceFailed { done: sent, sent, epoch, reason: error.to_string() },
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
async fn recover(
    session: &mut Session,
    error: Error,
    failures: u64,
    recovery: &mut Recovery,
) -> Result<Arc<RestorePoint>, Error> {
    // A device that has just been opened may have no memory for what the last one had.
    let is_failure = matches!(error, Error::DeviceFailed { .. })
        || session.model.gpu.check().is_err()
        || failures > 1 && matches!(error, Error::OutOfMemory { .. });
    // Other processes are not where a checkpoint was.
    let may_go_back = is_failure && session.processes.is_none();
    let Some(snapshots) = recovery.snapshots.as_mut().filter(|_| may_go_back) else { return Err(error) };
    let Some(point) = snapshots.go_back()? else { return Err(error) };
    let allowed = session.options.checkpoint.as_ref().map_or(0, |asked| asked.device_retries);
    if failures > allowed {
        let before = if failures == 2 { "once".into() } else { format!("{} times", failures - 1) };
        return Err(and(
            error,
            &format!("it had failed {before} before, and may {allowed} times in a fit (device_retries)"),
        ));
    }
    let another = match session.model.gpu.replacement().await {
        Ok(another) => another,
        Err(none) => return Err(and(error, &format!("another device cannot be had: {none}"))),
    };
    tracing::debug!(%error, step = point.step(), "training goes on on another device");
    match session.go_back_on(Arc::new(another), &point).await {
        Ok(()) => Ok(point),
        Err(none) => Err(and(error, &format!("on another device it cannot go on: {none}"))),
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use std::thread::ThreadId;

    use super::*;
    use crate::activation::Activation;
    use crate::checkpoint::Checkpoint;
    use crate::data::Source;
    use crate::gpu::{Gpu, OpenOptions};
    use crate::host::{EventLoop, Host, block_on, native, with_threads};
    use crate::network::Network;
    use crate::options::{Checkpointing, Every, TrainOptions};
    use crate::weights::Weights;

    /// Rows, with the threads that they were read on.
    struct Watched(Dataset, Mutex<Vec<ThreadId>>);

    impl Source for Watched {
        fn rows(&self) -> usize {
            self.0.rows()
        }

        fn classes(&self) -> usize {
            self.0.classes()
        }

        fn read(&self, rows: std::ops::Range<usize>) -> Result<Dataset, Error> {
            self.1.lock().unwrap().push(std::thread::current().id());
            Source::read(&self.0, rows)
        }
    }

    fn rows() -> Dataset {
        let value = |at: u32, i: usize| ((at * 37 + i as u32 * 11) % 50) as f32 / 25.0 - 1.0;
        Dataset::from_rows((0..300).map(|at| (std::array::from_fn::<f32, 8, _>(|i| value(at, i)), at % 3))).unwrap()
    }

    fn options(folder: &Path) -> TrainOptions {
        let checkpoint = Checkpointing { every: Every::Steps(7), ..Checkpointing::new(folder) };
        let (keep_best, memory_budget) = (true, Some(8 << 10));
        TrainOptions {
            epochs: 3,
            batch_size: 16,
            keep_best,
            memory_budget,
            checkpoint: Some(checkpoint),
            ..TrainOptions::default()
        }
    }

    /// Trains on a whole set, then on windows, each with checkpoints; the weights after each, and the last checkpoint's step.
    fn trained(host: &'static dyn Host, source: &Watched) -> [(Weights, u64); 2] {
        let gpu = block_on(Gpu::open_on(host, &OpenOptions::default())).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // The event loop of this host, which has none.
            let poll = || {
                while !is_over.load(Ordering::Relaxed) {
                    gpu.deliver_answers();
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            };
            if host.threads().is_none() {
                scope.spawn(poll);
            }
            let done = [true, false].map(|is_whole| fitted(&gpu, source, is_whole));
            is_over.store(true, Ordering::Relaxed);
            done
        })
    }

    fn fitted(gpu: &Arc<Gpu>, source: &Watched, is_whole: bool) -> (Weights, u64) {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::new(8).dense(16, Activation::Relu).dense(3, Activation::Identity);
        let mut options = options(folder.path());
        options.memory_budget = options.memory_budget.filter(|_| !is_whole);
        let initial = |network: &Network, options: &TrainOptions| options.initializer.weights(network, options.seed);
        let mut session = block_on(Session::new(Arc::clone(gpu), network, options, initial)).unwrap();
        let train = match is_whole {
            true => TrainingSet::of_set(&session, &source.0).unwrap(),
            false => TrainingSet::of_source(&session, source).unwrap(),
        };
        let validation = Some(&source.0);
        let ignore = &mut |_: Event<'_>| ControlFlow::Continue(());
        with_threads(|threads| {
            let threads = gpu.host().threads().map(|_| threads);
            block_on(fit(&mut session, &train, validation, threads, ignore)).unwrap()
        });
        let step = Checkpoint::open(folder.path()).unwrap().step();
        (block_on(session.model.weights()).unwrap(), step)
    }

    /// A core that needs a thread, or blocks the only one that there is: it would hang in a browser, or train to other bits there.
    #[test]
    fn a_host_without_threads_trains_to_the_same_bits() {
        let [here, there] = [(), ()].map(|()| Watched(rows(), Mutex::default()));
        let (own, alone) = (trained(native(), &here), trained(&EventLoop, &there));
        for ((own, own_step), (alone, alone_step)) in own.iter().zip(&alone) {
            assert!(own.layers.iter().all(|layer| layer.weight.iter().all(|value| value.is_finite())));
            assert_eq!(own, alone);
            assert_eq!((*own_step, *alone_step), (57, 57));
        }
        assert!(own[0].0 != own[1].0, "windows have an order of their own");
        let this = std::thread::current().id();
        assert!(there.1.into_inner().unwrap().iter().all(|&thread| thread == this));
        assert!(here.1.into_inner().unwrap().iter().any(|&thread| thread != this));
    }
}
