//! The plans of a session: what its steps are on this device, once it is known that every buffer fits.

use super::session::Session;
use crate::data::Dataset;
use crate::error::Error;
use crate::plan::{Plan, Request, Role};
use crate::run::evaluator::EVALUATION_BATCH;
use crate::run::rows::{Rows, SetShape};
use crate::training::{Shards, Training};

/// The plan of a training step of the next fit, whose minibatches can all be trained on.
///
/// # Errors
///
/// As [`step`]; [`Error::Option`] for a minibatch of one row that a batch norm cannot take.
pub(crate) fn training(session: &Session, train: Rows<'_>) -> Result<Plan, Error> {
    let plan = step(session, train)?;
    let (network, options) = (&session.model.network, &session.options);
    let per_epoch = train.count().div_ceil(options.step_rows()) as u64;
    let order = session.order_over(train.count());
    let first_step = order.first_step;
    let last_step = options.last_step(session.fit_began().max(first_step), first_step, per_epoch)?;
    let done = session.position.steps_done.max(first_step);
    train.check_minibatches(network, options.visiting(order), done..last_step)?;
    Ok(plan)
}

/// The plan of a training step, whichever minibatches a fit comes to.
///
/// # Errors
///
/// [`Error::Data`] or [`Error::Option`] where the rows, the network and the batch size do not fit together.
pub(crate) fn step(session: &Session, train: Rows<'_>) -> Result<Plan, Error> {
    let (network, options) = (&session.model.network, &session.options);
    train.at_hand().check_for(network, &options.loss)?;
    train.at_hand().check_classes(train.classes(), network, &options.loss)?;
    let plan = fitting(session, training_request(session, train))?;
    plan.check_pins(&options.picks)?;
    Ok(plan)
}

/// What is asked of the plan of a training step.
pub(crate) fn training_request<'a>(session: &'a Session, train: Rows<'_>) -> Request<'a> {
    let tiling = &session.model.tiling;
    let request = session.options.training_request(&session.model.network, train.shape(tiling.most_bytes), tiling);
    let Some(processes) = &session.processes else { return request };
    let (process, count) = (processes.rank() as u32, processes.count() as u32);
    let local = session.options.sync_every.is_some();
    let own = |shards: Shards| Shards { local, ..Shards::of_process(shards.all, process, count) };
    let training = request.training.map(|training| Training { shards: training.shards.map(own), ..training });
    Request { training, ..request }
}

/// The plan of a step that leaves its gradients in memory and changes nothing.
pub(crate) fn gradients(session: &Session, train: Rows<'_>) -> Result<Plan, Error> {
    Plan::gradients(training_request(session, train))
}

/// The plan of a step as that of [`gradients`], which leaves every output in memory too.
pub(crate) fn diagnosis(session: &Session, train: Rows<'_>) -> Result<Plan, Error> {
    Plan::diagnosis(training_request(session, train))
}

/// The plan of an evaluation, with all metrics or the loss and the accuracy alone.
pub(crate) fn evaluation(session: &Session, set: &Dataset, metrics: bool) -> Result<Plan, Error> {
    let (network, tiling) = (&session.model.network, &session.model.tiling);
    set.check_for(network, &session.options.loss)?;
    // Of a few sizes, so that other numbers of rows take the same kernels.
    let batch = set.rows().min(EVALUATION_BATCH).next_power_of_two();
    let shape = SetShape::of(set, tiling.most_bytes);
    let request = session.options.evaluation_request(network, shape, batch, tiling);
    fitting(session, Request { metrics, ..request })
}

/// The plan of the validation after an epoch, where there is a set for it, once it is known that it has the figure that epochs are judged by.
pub(crate) fn validation(session: &Session, validation: Option<&Dataset>) -> Result<Option<Plan>, Error> {
    let monitor = session.options.monitor;
    let plan = validation.map(|set| evaluation(session, set, monitor.is_measured())).transpose()?;
    monitor.check_rows(validation, &session.options.loss)?;
    Ok(plan)
}

/// The plan, once it is known that every buffer of it is one that the device can bind. What trains nothing takes a smaller batch where that
/// is what it takes.
///
/// # Errors
///
/// [`Error::Option`] with what was needed, what there is, and the largest batch that fits.
pub(crate) fn fitting(session: &Session, request: Request<'_>) -> Result<Plan, Error> {
    // What no other size would change is not a matter of room.
    Plan::check_asked(request)?;
    let most = session.model.tiling.most_bytes;
    let (reason, too_large) = match Plan::new(request) {
        Ok(plan) => match plan.larger_than(most) {
            None => return Ok(plan),
            Some(buffer) => {
                let (name, bytes) = (&session.model.gpu.adapter().name, buffer.bytes);
                let reason =
                    format!("{} takes {bytes} bytes in one buffer, and {name} can bind at most {most}", buffer.role);
                (reason, Some(buffer.role))
            }
        },
        Err(Error::Option(reason)) => (reason, None),
        Err(error) => return Err(error),
    };
    let advice = match (Plan::largest_batch(request, most), too_large) {
        (Some(batch), _) if request.training.is_none() => return Plan::new(Request { batch, ..request }),
        (Some(batch), _) => format!("of a batch of {} rows, at most {batch} fit", request.batch),
        (None, Some(Role::Targets)) => {
            let row_bits = request.loss.targets(request.targets).row_bits(session.model.network.outputs() as u32);
            let places = session.model.network.places().map_or(1, u64::from);
            format!(
                "at most {} rows of a set fit; with a memory budget, they are read in windows",
                8 * most / (row_bits * places)
            )
        }
        (None, Some(Role::Scores)) => {
            format!("ask for the metrics of {} rows at most, or for the loss and the accuracy alone", most / 4)
        }
        (None, Some(Role::Metrics)) => "no batch changes that: ask for the loss and the accuracy alone".into(),
        (None, Some(Role::GradientSum(_))) => {
            "it has a sum of gradients for each level of the tree of a process's shards: choose fewer shards, or share them among more \
             processes"
                .into()
        }
        (None, _) => "no batch is small enough: make the layers smaller".into(),
    };
    Err(Error::Option(format!("{reason}; {advice}")))
}
