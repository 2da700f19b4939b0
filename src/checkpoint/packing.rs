//! Weights and the optimizer's values between the layout of the device and that of files.

use super::saved::Run;
use crate::weights::{LayerWeights, Weights};

/// The optimizer's values of all layers, by slot; none of a layer that is frozen.
pub(crate) fn slots_of(run: &Run, values: &[Vec<u32>]) -> Vec<Weights> {
    let slots = run.options.optimizer.slots() as usize;
    (0..slots).map(|slot| unpacked(run, values, slot, slots)).collect()
}

/// The averages of all layers where they are kept: of a layer that is frozen its weights.
pub(crate) fn averages_of(run: &Run, weights: &[Vec<u32>], averages: &[Vec<u32>]) -> Option<Weights> {
    let own = |(weights, averages): (&Vec<u32>, &Vec<u32>)| {
        if averages.is_empty() { weights.clone() } else { averages.clone() }
    };
    let words: Vec<Vec<u32>> = weights.iter().zip(averages).map(own).collect();
    run.options.ema.map(|_| unpacked(run, &words, 0, 1))
}

/// One slot of all layers' words, `[…, slots, 4]` each.
pub(crate) fn unpacked(run: &Run, values: &[Vec<u32>], slot: usize, slots: usize) -> Weights {
    let parameters = run.network.named_parameters();
    let layers = parameters.iter().zip(values).map(|(parameter, values)| match values.is_empty() {
        true => LayerWeights::none(parameter),
        false => LayerWeights::from_device(parameter, &plane(bytemuck::cast_slice(values), slot, slots)),
    });
    Weights { layers: layers.collect() }
}

/// One slot of `[…, slots, 4]`.
fn plane(values: &[f32], slot: usize, slots: usize) -> Vec<f32> {
    values.chunks_exact(4 * slots).flat_map(|all| &all[4 * slot..4 * slot + 4]).copied().collect()
}

/// The slots' planes together again: `[…, slots, 4]`.
pub(crate) fn interleaved(planes: &[Vec<f32>]) -> Vec<f32> {
    let quads = planes.first().map_or(0, |plane| plane.len() / 4);
    (0..quads).flat_map(|quad| planes.iter().flat_map(move |plane| &plane[4 * quad..4 * quad + 4])).copied().collect()
}
