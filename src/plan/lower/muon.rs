//! The update of a hidden layer under Muon.

use super::super::step::Step;
use super::super::{Dispatch, Role, slices};
use super::dispatch;
use crate::kernel::muon::{self, Muon};
use crate::kernel::{Binding, gradient_norm};
use crate::training::Training;

/// The dispatches that update a hidden layer whose gradient is in memory: the momentum, with the bias's step; the norm;
/// and three products an iteration, the last of which updates the matrix.
pub(super) fn updates(step: &Step<'_>, layer: usize, training: Training<'_>, closes: bool) -> Vec<Dispatch> {
    let Some(muon) = Muon::of(training) else { return vec![] };
    let (this, tiling) = (step.dense[layer], step.request.tiling);
    let momentum = dispatch(muon::momentum(this, training, muon), layer, &[step.whole_gradient(layer)]);
    let norm = Dispatch::new(gradient_norm::launch(this, 0, None), |binding| match binding {
        Binding::Norms => Role::DirectionNorm,
        _ => Role::Direction(0),
    });
    let iterations = (0..muon.ns_steps).flat_map(|iteration| {
        let tile = |blocks| tiling.muons_tile(blocks);
        let (first, last) = (iteration == 0, iteration + 1 == muon.ns_steps);
        let (closes, skips) = (last && closes, training.skips_non_finite);
        let own = muon::Step { normalizes: first, updates_weights: last, skips, closes };
        let (direction, next) =
            (Role::Direction(iteration as usize % 2), Role::Direction((iteration as usize + 1) % 2));
        // Each with the square matrix that it reads, if any, and what it stores.
        [
            (muon::gram(this, muon, tile(muon::gram_blocks(this)), first), Role::Gram, Role::Gram),
            (muon::polynomial(this, tile(muon::polynomial_blocks(this))), Role::Gram, Role::GramPolynomial),
            (muon::step(this, muon, tile(muon::step_blocks(this)), own), Role::GramPolynomial, next),
        ]
        .into_iter()
        .flat_map(move |(launch, square, product)| {
            let role = move |binding| match binding {
                Binding::Direction => direction,
                Binding::Square => square,
                Binding::Product => product,
                Binding::Norms => Role::DirectionNorm,
                other => Role::of_layer(other, layer),
            };
            slices::stages(launch, move |launch| Dispatch::new(launch, role))
        })
    });
    [momentum, norm].into_iter().chain(iterations).collect()
}
