//! How many dispatches a training step is promised to take, counted from the description of the step and not from a plan: for each
//! kind of adapter, and for each number of buffers that one binds.

use wgrad::kernel::tile::Family;
use wgrad::{Optimizer, Rule};

use crate::support::gpu;

/// The properties of a training step that decide how many dispatches it takes.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Layers of the network.
    pub layers: usize,
    /// Whether there are more than 64 outputs, whose logits, loss and gradient are dispatches of their own.
    pub many_outputs: bool,
    /// Whether the optimizer keeps anything beside a weight.
    pub keeps_slots: bool,
    /// Newton–Schulz iterations, where the optimizer is Muon.
    pub muon_iterations: Option<usize>,
    /// Whether rows have different weights in the mean, so that each update reads their sum.
    pub weighted_mean: bool,
    /// Whether every gradient is needed before the first update: to clip by the global norm, or to skip steps.
    pub keeps_gradients: bool,
    /// Buffers that only some losses and activations need: the weights of the outputs, the derivatives of the layer below the last.
    pub more_of_the_loss: usize,
    /// Whether the gradient of the first layer's weights takes more than a million operations: on a CPU it is faster as a dispatch of its own.
    pub first_is_large: bool,
}

impl Step {
    /// A step of `layers` layers under an optimizer, with few outputs, and nothing else asked for.
    pub fn of(layers: usize, optimizer: &Optimizer) -> Step {
        Step {
            layers,
            many_outputs: false,
            // Of the built-in rules, plain gradient descent alone keeps nothing.
            keeps_slots: !matches!(optimizer.rule, Rule::Sgd { momentum: 0.0, .. }),
            muon_iterations: match optimizer.rule {
                Rule::Muon { ns_steps, .. } => Some(ns_steps as usize),
                _ => None,
            },
            weighted_mean: false,
            keeps_gradients: false,
            more_of_the_loss: 0,
            first_is_large: false,
        }
    }

    /// A step of 784-256-10 in batches of 32.
    pub fn of_seed(optimizer: &Optimizer) -> Step {
        Step { first_is_large: true, ..Step::of(2, optimizer) }
    }

    /// The dispatches of the step on an adapter of this family that binds `most_bindings` buffers to a dispatch.
    pub fn dispatches(self, family: Family, most_bindings: usize) -> usize {
        let Step { layers, many_outputs, .. } = self;
        let has_teams = matches!(family, Family::Subgroups { .. } | Family::Hardware);
        // Targets, step state, running sums, visited rows, gradient, input, weights; and the gradient below.
        let bound_by_head = 7 + usize::from(layers > 1) + self.more_of_the_loss;
        let goes_below = layers > 1 && !many_outputs && has_teams && bound_by_head <= most_bindings;
        let forward = if many_outputs { layers } else { layers - 1 };
        let backward = layers - 1 - usize::from(goes_below);
        forward + 1 + backward + self.updates(family, most_bindings)
    }

    fn updates(self, family: Family, most_bindings: usize) -> usize {
        let is_muons = |layer: usize| self.muon_iterations.is_some() && layer + 1 < self.layers;
        let last_to_first = || (0..self.layers).rev();
        let keeps = |layer: usize| self.keeps_gradients || is_muons(layer);
        // Input and gradient, the visited rows for the set's, the sum of the rows' weights; and what is written, but the step state.
        let bound = |layer: usize| {
            let written = if keeps(layer) { 1 } else { 1 + usize::from(self.keeps_slots) };
            2 + usize::from(layer == 0) + usize::from(self.weighted_mean) + written
        };
        let stays_alone = |layer: usize| layer == 0 && self.first_is_large && is_cpu(family);
        let others = last_to_first().filter(|&layer| !stays_alone(layer));
        let mut dispatches =
            merged(others.map(|layer| (keeps(layer), bound(layer))), most_bindings) + usize::from(stays_alone(0));
        if self.keeps_gradients {
            // A norm for each layer, then the updates: gradient, weights, slots.
            let updated = last_to_first().filter(|&layer| !is_muons(layer));
            let bound = 2 + usize::from(self.keeps_slots);
            dispatches += self.layers + merged(updated.map(|_| (false, bound)), most_bindings);
        }
        // Momentum, norm, and three products an iteration.
        dispatches + self.muon_iterations.map_or(0, |iterations| (self.layers - 1) * (2 + 3 * iterations))
    }
}

/// The layers of a network of images that decide how many dispatches a training step takes, under an optimizer that keeps something beside each weight, and
/// with at most 64 outputs. Products are not cut into slices.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageStep {
    /// Convolutions; the first layer with weights is one.
    pub convolutions: usize,
    /// Those of them that have a max pool in their kernel.
    pub pooled: usize,
    /// Other pools.
    pub pools: usize,
    /// Batch norms, none of them before the first convolution.
    pub batch_norms: usize,
    /// Dense layers, none of them before an image.
    pub dense: usize,
    /// Whether what goes into the last layer has derivatives that are kept: dropout.
    pub keeps_derivatives: bool,
    /// Convolutions and dense layers whose weights' gradient takes more than a million operations: on a CPU each is faster as a dispatch of its own.
    pub large: usize,
}

impl ImageStep {
    /// The dispatches of the step on an adapter of this family that binds `most_bindings` buffers to a dispatch.
    pub fn dispatches(self, family: Family, most_bindings: usize) -> usize {
        let ImageStep { convolutions, pooled, pools, batch_norms, dense, keeps_derivatives, large } = self;
        // The last layer is one with the loss. A norm is its sums, and what is made of them.
        let forward = convolutions + pools + 2 * batch_norms + dense;
        let has_teams = matches!(family, Family::Subgroups { .. });
        let goes_below = has_teams && 8 + usize::from(keeps_derivatives) <= most_bindings;
        // Images that come in have no gradient. That of a pool goes to the pixels that won.
        let backward = (convolutions - 1) + pooled + pools + 2 * batch_norms + dense - usize::from(goes_below);
        // Input, gradient, weights and slots; of a norm, whose gradient is in memory, all but the input.
        let alone = if is_cpu(family) { large } else { 0 };
        let products = alone + merged((alone..convolutions + dense).map(|_| (false, 4)), most_bindings);
        let gather = 1;
        gather + forward + backward + products + merged((0..batch_norms).map(|_| (false, 3)), most_bindings)
    }
}

/// Whether adapters of this family are CPUs.
fn is_cpu(family: Family) -> bool {
    matches!(family, Family::Subgroups { .. } | Family::Software)
}

/// Launches of these kinds, each with the number of buffers that it binds besides the step state: neighbours of one kind are merged, eight at most, as long as
/// the adapter binds all of their buffers.
fn merged(launches: impl Iterator<Item = (bool, usize)>, most_bindings: usize) -> usize {
    let mut groups: Vec<(bool, usize, usize)> = Vec::new();
    for (kind, bound) in launches {
        match groups.last_mut() {
            Some((of, parts, sum)) if *of == kind && *parts < 8 && *sum + bound < most_bindings => {
                (*parts, *sum) = (*parts + 1, *sum + bound);
            }
            _ => groups.push((kind, 1, bound)),
        }
    }
    groups.len()
}

/// The dispatches of the step on the suite's device.
pub fn promised(step: Step) -> u64 {
    let gpu = gpu();
    let adapter = gpu.adapter();
    step.dispatches(adapter.family(), adapter.max_bindings as usize) as u64
}

/// Checks that a step takes as many dispatches as are promised, on the suite's device.
#[track_caller]
pub fn assert_dispatches(a_step: u64, step: Step, what: &str) {
    let promised = promised(step);
    assert_eq!(a_step, promised, "{what}: dispatches of a step, and those promised for {step:?}");
}
