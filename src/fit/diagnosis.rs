//! Where numbers were not finite first. The device sees it in its step, and the host some chunks later, when nothing is finite any more: so the steps
//! before that one are run again, to the same bits, and their numbers are looked at.

use std::ops::ControlFlow;

use super::attempt::Attempt;
use super::epochs;
use super::plans;
use super::recovery::Recovery;
use super::session::Session;
use crate::checkpoint::RestorePoint;
use crate::data::Dataset;
use crate::error::Error;
use crate::history::Parameters;
use crate::kernel::Access;
use crate::options::THE_LOSS;
use crate::plan::{Lifetime, Plan, Role};
use crate::run::buffers::Buffers;
use crate::run::parameters::ParameterReader;
use crate::run::rows::Rows;
use crate::run::runner::Part;
use crate::weights::{LayerWeights, Weights};

/// The first number of a step that was not finite, where all before that step were: found by running on from this restore point. `seen` is
/// what the device saw. The session is then where it was before the step. None where it cannot be found.
pub(crate) async fn diagnose(
    session: &mut Session,
    train: Rows<'_>,
    plan: &Plan,
    validation: Option<&Dataset>,
    from: &RestorePoint,
    step: u64,
    seen: &str,
) -> Result<Option<String>, Error> {
    session.go_back(from).await?;
    let mut attempt = Attempt::begin(session, train, plan, validation, None).await?;
    let locations: Vec<String> = session.model.network.named_parameters().into_iter().map(|own| own.location).collect();
    let plan = plans::diagnosis(session, attempt.train)?;
    let mut reader = reader_of(session, &attempt, &plan).await?;
    run_to(session, &mut attempt, validation, step - 1).await?;
    let gradients = parameters_of(session, &attempt, &mut reader).await?.gradients;
    // In the order in which the step computes them. The logits are among them where they are in memory.
    for role in plan.dispatches().iter().flat_map(|dispatch| dispatch.touches(Access::Write)) {
        let (Role::Activations(_), Some(outputs)) = (role, reader.buffer(role)) else { continue };
        let count = plan.shape(role).iter().product::<u64>() as usize;
        let values: Vec<f32> = session.model.gpu.read(outputs, count, &mut session.model.stats.traffic).await?;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            let layer = plan.location(role).map_or_else(|| role.to_string(), str::to_string);
            return Ok(Some(format!("an output of {layer} is {}", word(*value))));
        }
    }
    let of_gradient = non_finite_tensor(&gradients, &locations, First::Above);
    let of_gradient = of_gradient.map(|(tensor, value)| format!("the gradient of {tensor} is {value}"));
    if seen == THE_LOSS {
        let and = of_gradient.map_or("though every gradient is finite".into(), |found| format!("and {found}"));
        return Ok(Some(format!("the loss of a row is the first, {and}")));
    }
    if of_gradient.is_some() {
        return Ok(of_gradient);
    }
    let before = session.beginning().await?;
    let rows = attempt.train.count() as u64;
    // No minibatch comes in parts here.
    let part = Part { steps: 1, until_end: 1, rows, began: before.step(), continues: true, stream: None, copies: None };
    let device = &mut attempt.device;
    let ignore = |_, _| Ok(ControlFlow::Continue(()));
    device.training.run_part(&device.gpu, part, &mut session.model.stats, ignore).await?;
    let weights = session.model.trained_weights().await?;
    session.go_back(&before).await?;
    let left = non_finite_tensor(&weights, &locations, First::Below);
    Ok(left.map(|(tensor, value)| format!("the update of {tensor} left a value that is {value}")))
}

/// Runs on to the end of a step, with no reports.
async fn run_to(
    session: &mut Session,
    attempt: &mut Attempt<'_, '_>,
    validation: Option<&Dataset>,
    step: u64,
) -> Result<(), Error> {
    if step == session.position.steps_done {
        return Ok(());
    }
    attempt.course.until = step;
    let ignore = &mut |_: crate::history::Event<'_>| ControlFlow::Continue(());
    epochs::run(session, attempt, validation, &mut Recovery::default(), ignore).await
}

/// What reads parameters of a fit over a whole set.
async fn reader_of(session: &Session, attempt: &Attempt<'_, '_>, plan: &Plan) -> Result<ParameterReader, Error> {
    let buffers = attempt.device.training.buffers.iter().filter(|(role, _)| role.lifetime() == Lifetime::Set);
    let bank: Buffers = buffers.map(|(&role, buffer)| (role, buffer.clone())).collect();
    ParameterReader::new(&attempt.device.gpu, plan, &session.model.buffers, &[bank], session.options.checks).await
}

async fn parameters_of(
    session: &mut Session,
    attempt: &Attempt<'_, '_>,
    reader: &mut ParameterReader,
) -> Result<Parameters, Error> {
    let (gpu, model) = (&attempt.device.gpu, &mut session.model);
    reader.take(gpu, &mut model.stats.traffic, session.position.steps_done, 0).await?;
    reader.parameters(gpu, &mut model.stats.traffic, &model.network).await
}

/// Which layer is the first: the one that rows come to, or the one that gradients do.
#[derive(Clone, Copy)]
enum First {
    Below,
    Above,
}

/// The first tensor with a value that is not finite, and what that is. `locations` are those of the layers.
fn non_finite_tensor(tensors: &Weights, locations: &[String], first: First) -> Option<(String, &'static str)> {
    let non_finite = |values: &[f32]| values.iter().copied().find(|value| !value.is_finite()).map(word);
    let of_layer = |(own, location): (&LayerWeights, &String)| {
        let of = |what: &str, value| (format!("{location}'s {what}"), value);
        non_finite(&own.weight)
            .map(|value| of("weights", value))
            .or_else(|| non_finite(&own.bias).map(|value| of("bias", value)))
    };
    let mut layers = tensors.layers.iter().zip(locations);
    match first {
        First::Below => layers.find_map(of_layer),
        First::Above => layers.rev().find_map(of_layer),
    }
}

fn word(value: f32) -> &'static str {
    if value.is_nan() { "not a number" } else { "infinite" }
}
