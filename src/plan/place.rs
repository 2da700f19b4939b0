//! Buffers: what each role takes.

use super::step::Step;
use super::{Buffer, Dispatch, Role, STATE_BYTES, STATS_BYTES, slices};
use crate::error::Error;
use crate::kernel::{class_metrics, muon, regression_metrics};
use crate::layout::{Dense, quads_with_one};
use crate::loss::Task;

/// The buffer with this role: for slices' sums, as large as any of the dispatches needs. `widths` are those of the layers' outputs.
///
/// # Errors
///
/// [`Error::Option`] where it would be larger than 32-bit indices reach.
pub(super) fn buffer(role: Role, step: &Step<'_>, widths: &[u32], dispatches: &[Dispatch]) -> Result<Buffer, Error> {
    let (request, dense) = (step.request, &step.dense);
    let batch = u64::from(request.batch).next_multiple_of(4);
    let last = dense[dense.len() - 1];
    let (shape, element_bytes) = match role {
        Role::Set(part) => {
            let rows = request.set.rows_of(part);
            (
                vec![rows.end - rows.start, 4 * u64::from(quads_with_one(step.features().width))],
                request.set.element.bytes(),
            )
        }
        Role::Scaling => (vec![2, 4 * u64::from(quads_with_one(step.features().width))], 4),
        Role::Minibatch => (vec![batch, 4 * u64::from(quads_with_one(step.features().width))], 4),
        Role::Targets => match step.device_targets().row_bits(request.network.outputs() as u32) {
            bits @ (8 | 16 | 32) => (vec![request.set.rows], bits / 8),
            bits => (vec![request.set.rows, bits / 32], 4),
        },
        Role::OutputWeights => (vec![4 * u64::from(last.out_quads())], 4),
        Role::State => (vec![1], STATE_BYTES),
        Role::Stats => (vec![u64::from(request.batch)], STATS_BYTES),
        Role::Visited => (vec![u64::from(request.batch)], 4),
        Role::Metrics => match request.loss.task() {
            Task::Numbers => (vec![u64::from(last.out_quads()), regression_metrics::SUMS, 4], 4),
            task => (vec![class_metrics::Counts::of(task == Task::EachOutput, last.outputs).words(last.outputs)], 4),
        },
        Role::Scores => (vec![request.set.rows], 4),
        Role::Direction(_) | Role::DirectionNorm | Role::Gram | Role::GramPolynomial => (of_direction(role, dense), 4),
        Role::Norms => (vec![dense.len() as u64, 2], 4),
        Role::Partials(_) => (slices::shape(role, dispatches), 4),
        Role::Weights(layer) | Role::WeightGradient(layer) => (dense[layer].weights_shape().map(u64::from).to_vec(), 4),
        Role::OptimizerSlots(layer) => {
            let slots = u64::from(request.training.map_or(0, |training| training.optimizer.slots()));
            let [rows, columns] = dense[layer].weights_shape().map(u64::from);
            (vec![rows, columns / 4, slots, 4], 4)
        }
        Role::Activations(layer) => (vec![batch, 4 * u64::from(quads_with_one(widths[layer]))], 4),
        Role::InputGradient(layer) => {
            // A part of the gradient by a dense layer's input, or of a sum of such.
            let width = dense.get(layer).map_or_else(|| widths[layer], |dense| dense.inputs);
            (vec![batch, 4 * u64::from(width.div_ceil(4))], 4)
        }
        Role::Gradient(layer) | Role::Derivatives(layer) => (vec![batch, 4 * u64::from(widths[layer].div_ceil(4))], 4),
    };
    let elements = shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side));
    match elements.filter(|&elements| elements <= u64::from(u32::MAX)) {
        Some(elements) => Ok(Buffer { role, shape, bytes: (elements * element_bytes).next_multiple_of(4), memory: 0 }),
        None => Err(Error::Option(format!(
            "{role} would have the shape {shape:?}, more elements than 32-bit indices reach: make the batch or the \
             layer smaller"
        ))),
    }
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
