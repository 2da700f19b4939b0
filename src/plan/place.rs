//! Buffers: what each role takes.

use super::homes::Homes;
use super::step::Step;
use super::{Buffer, Dispatch, Request, Role, STATE_BYTES, STATS_BYTES, slices};
use crate::error::Error;
use crate::kernel::accumulate::Parts;
use crate::kernel::embed::MOST_ROWS;
use crate::kernel::tokens::most_slots;
use crate::kernel::{class_metrics, muon, regression_metrics};
use crate::layout::{Dense, Extent, quads_with_one};
use crate::loss::Task;
use crate::named::counted;
use crate::network::Form;

/// The buffer with this role: for slices' sums, as large as any of the dispatches needs. `homes` know how a step's values lie.
///
/// # Errors
///
/// [`Error::Option`] where it would be larger than 32-bit indices reach.
pub(super) fn buffer(role: Role, step: &Step<'_>, homes: &Homes, dispatches: &[Dispatch]) -> Result<Buffer, Error> {
    let (request, dense) = (step.request, &step.dense);
    let of_gradient = |Extent { rows, width, .. }: Extent| vec![u64::from(rows), 4 * u64::from(width.div_ceil(4))];
    let of_activations = |extent: Extent| vec![u64::from(extent.rows), 4 * u64::from(extent.quads_of_activations())];
    let extent = || homes.extent(role).ok_or_else(|| not_a_value(role));
    let outputs = request.network.outputs() as u32;
    let (shape, element_bytes) = match role {
        Role::Set(part) => {
            let rows = request.set.rows_of(part);
            let (count, width) = (rows.end - rows.start, step.features().width);
            let shape = match request.set.tokens() {
                Some(layout) => vec![layout.tokens(count, width)],
                None => vec![count, 4 * u64::from(quads_with_one(width))],
            };
            (shape, request.set.element.bytes())
        }
        Role::Scaling => (vec![2, 4 * u64::from(quads_with_one(step.features().width))], 4),
        Role::Minibatch => (of_activations(extent()?), 4),
        Role::Targets => match step.device_targets().row_bits(request.network.outputs() as u32) {
            bits @ (8 | 16 | 32) => (vec![step.targets()], bits / 8),
            bits => (vec![step.targets(), bits / 32], 4),
        },
        Role::OutputWeights => (vec![4 * u64::from(outputs.div_ceil(4))], 4),
        Role::State => (vec![1], STATE_BYTES),
        Role::Stats => (vec![u64::from(step.parts().stats()) * u64::from(request.batch) * step.places()], STATS_BYTES),
        Role::Visited => (vec![u64::from(request.batch)], 4),
        Role::Metrics => match request.loss.task() {
            Task::Numbers => (vec![u64::from(outputs.div_ceil(4)), regression_metrics::SUMS, 4], 4),
            task => (vec![class_metrics::Counts::of(task == Task::EachOutput, outputs).words(outputs)], 4),
        },
        Role::Scores => (vec![step.targets()], 4),
        Role::Direction(_) | Role::DirectionNorm | Role::Gram | Role::GramPolynomial => (of_direction(role, dense), 4),
        Role::Norms => (vec![dense.len() as u64, 2], 4),
        Role::Partials(_) => (slices::shape(role, dispatches), 4),
        Role::Shares => (vec![step.parts().shares()], 4),
        Role::Strip => (vec![1], 4),
        Role::Weights(layer) | Role::WeightGradient(layer) | Role::Averages(layer) => {
            (dense[layer].weights_shape().map(u64::from).to_vec(), 4)
        }
        Role::GradientSum(layer) => {
            let [rows, columns] = dense[layer].weights_shape().map(u64::from);
            match step.parts() {
                Parts::InTurn(_) => (vec![rows, columns], 4),
                shards => (vec![shards.sums().into(), rows, columns], 4),
            }
        }
        Role::OptimizerSlots(layer) => {
            let slots = u64::from(request.training.map_or(0, |training| training.optimizer.slots()));
            let [rows, columns] = dense[layer].weights_shape().map(u64::from);
            (vec![rows, columns / 4, slots, 4], 4)
        }
        Role::Activations(_) => (of_activations(extent()?), 4),
        Role::InputGradient(_) | Role::Gradient(_) | Role::Derivatives(_) => (of_gradient(extent()?), 4),
        Role::Winners(_) | Role::Moments(_) | Role::Sums(_) | Role::Links(_) | Role::Kept(_) => {
            (homes.shape(role).ok_or_else(|| not_a_value(role))?, 4)
        }
    };
    let elements = elements(&role.to_string(), &shape)?;
    Ok(Buffer { role, shape, bytes: (elements * element_bytes).next_multiple_of(4), memory: 0 })
}

/// That the output of every layer is of a size that kernels can count, which is known before a graph is made.
///
/// # Errors
///
/// [`Error::Option`] where it is not.
pub(super) fn check_values(request: Request<'_>) -> Result<(), Error> {
    check_tokens(request)?;
    let batch = u64::from(request.batch).next_multiple_of(4);
    let mut right = Ok(());
    request.network.walk(&mut |located| {
        let output = located.layer.output(located.input);
        let shape = [batch * output.pixels(), 4 * (output.channels() as u64 / 4 + 1)];
        let own = elements(&format!("the output of {}", located.location), &shape);
        right = std::mem::replace(&mut right, Ok(())).and(own.map(|_| ()));
    });
    right
}

/// That kernels can go over the tokens, or the categories, of a minibatch that is trained on.
///
/// # Errors
///
/// [`Error::Option`] with the most rows that they can.
fn check_tokens(request: Request<'_>) -> Result<(), Error> {
    if !request.network.embedded().is_empty() && request.training.is_some() && request.batch > MOST_ROWS {
        return Err(Error::Option(format!(
            "a minibatch of {}, whose categories an embed layer looks up: at most {MOST_ROWS} rows fit; with accumulate, several minibatches make one step",
            counted(request.batch as usize, "row")
        )));
    }
    let (Form::Tokens(length), Some(_)) = (request.network.input(), request.training) else { return Ok(()) };
    let slots = 4 * u64::from(quads_with_one(length as u32));
    let weighted_mean = request.loss.has_weighted_mean(request.loss.targets(request.targets));
    let most = u64::from(most_slots(weighted_mean)) / slots / 4 * 4;
    if u64::from(request.batch) <= most {
        return Ok(());
    }
    Err(Error::Option(match most {
        0 => format!(
            "a row of {length} tokens to train on: at most {} fit; choose a shorter context",
            most_slots(weighted_mean) / 16 * 4 - 1
        ),
        _ => format!(
            "a minibatch of {} of {length} tokens: at most {most} rows of as many fit; with accumulate, several minibatches make one step",
            counted(request.batch as usize, "row")
        ),
    }))
}

/// That no batch norm has to make statistics of one value.
///
/// # Errors
///
/// [`Error::Option`] with the layer, where a minibatch that is trained on has one value for each channel.
pub(super) fn check_norms(request: Request<'_>) -> Result<(), Error> {
    let is_one_row = request.training.is_some() && request.batch == 1;
    match request.network.batch_norm_of_rows().filter(|_| is_one_row) {
        Some(location) => Err(Error::Option(format!(
            "{location} (batch_norm) takes the mean and the deviation of each channel over a minibatch, which has one value for each: choose a batch size of 2 \
             or more, or a layer_norm"
        ))),
        None => Ok(()),
    }
}

/// The elements of what has this shape.
fn elements(what: &str, shape: &[u64]) -> Result<u64, Error> {
    let elements = shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side));
    elements.filter(|&elements| elements <= u64::from(u32::MAX)).ok_or_else(|| {
        Error::Option(format!(
            "{what} would have the shape {shape:?}, more elements than 32-bit indices reach: make the batch or the \
             layer smaller"
        ))
    })
}

/// What a buffer that holds no value of the step ends a plan with.
fn not_a_value(role: Role) -> Error {
    Error::Kernel { kernel: role.to_string(), reason: "no op of the step makes what it holds".into() }
}

/// The shape of what the hidden layers take turns with: the largest that any of them needs.
fn of_direction(role: Role, dense: &[Dense]) -> Vec<u64> {
    let hidden = dense.split_last().map_or(dense, |(_, hidden)| hidden);
    let elements = |layer: &Dense| match role {
        Role::DirectionNorm => 2,
        Role::Direction(_) => 4 * u64::from(layer.weight_quads()),
        _ => (4 * u64::from(muon::side_quads(*layer))).pow(2),
    };
    vec![hidden.iter().map(elements).max().unwrap_or(0)]
}
