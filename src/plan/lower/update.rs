//! The gradients of the weights, and the updates.

use std::collections::HashMap;

use super::super::group::merge_updates;
use super::super::homes::Homes;
use super::super::slices;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::{accumulation, average, dispatch, early, muon};
use crate::error::Error;
use crate::graph::{ConvWeights, LinearWeights, NodeId, Op};
use crate::kernel::accumulate::Parts;
use crate::kernel::conv::update as conv_update;
use crate::kernel::tile::Tile;
use crate::kernel::tiling::Tiling;
use crate::kernel::{Binding, Input, Launch, dense_update, gradient_norm, kept_update, merged};
use crate::layout::{Conv, Dense};
use crate::training::Training;

/// A product that makes the gradient of a layer's weights.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    pub layer: usize,
    of: Of,
    /// Where the layer's input is, and the gradient by its output.
    pub input: Role,
    pub gradient: Role,
    group: &'a Group,
}

/// What the weights are of.
#[derive(Clone, Copy)]
enum Of {
    Dense(Dense, Input),
    Conv(Conv),
}

impl Of {
    fn dense(self) -> Dense {
        match self {
            Of::Dense(dense, _) => dense,
            Of::Conv(conv) => conv.dense(),
        }
    }

    fn tile(self, tiling: &Tiling) -> Tile {
        match self {
            Of::Dense(dense, input) => tiling.tile("dense_update", input, dense_update::blocks(dense)),
            Of::Conv(conv) => tiling.tile("conv_update", Input::Activations, conv_update::blocks(conv)),
        }
    }

    fn launch(self, training: Training<'_>, tile: Tile, step: dense_update::Step) -> Launch {
        match self {
            Of::Dense(dense, input) => dense_update::launch(dense, input, training, tile, step),
            Of::Conv(conv) => conv_update::launch(conv, training, tile, step),
        }
    }
}

/// What is done with gradients, after or between all other dispatches, `before`. In the order of the graph: the products, with the optimizer where the gradient is
/// not needed otherwise; then the norm, the updates of gradients in memory, and Muon's. The last of all closes the step, where anything is updated.
pub(super) fn dispatches(
    step: &Step<'_>,
    groups: &[Group],
    homes: &Homes,
    before: Vec<Dispatch>,
) -> Result<Vec<Dispatch>, Error> {
    let Some(training) = step.request.training else { return Ok(before) };
    let of = |is: fn(&Op) -> Option<usize>| groups.iter().filter_map(move |group| is(step.op(group)));
    let norm = groups.iter().any(|group| matches!(step.op(group), Op::GradientNorm(_)));
    let kept: Vec<usize> = of(|op| if let Op::Update(update) = op { Some(update.parameter) } else { None }).collect();
    let muons: Vec<usize> =
        of(|op| if let Op::Orthogonalize(update) = op { Some(update.parameter) } else { None }).collect();

    let products = products(step, groups, homes)?;
    let closes = step.updates() && kept.is_empty() && muons.is_empty();
    let mut dispatches = match step.parts() {
        Parts::Shards(_) => early::with_gradients(step, training, &products, before),
        parts => {
            let mut dispatches = [before, products_of(step, training, &products, closes)].concat();
            if parts.are_summed() {
                dispatches.push(accumulation::next_part(step));
                dispatches.extend(accumulation::sums(step, &step.trained()));
            }
            dispatches
        }
    };
    dispatches.extend(accumulation::means(step));
    if norm {
        dispatches.extend(norms(step, training));
    }
    let (most_bindings, workgroup) = (step.most_merged_bindings(), step.request.tiling.family.weights_workgroup());
    dispatches.extend(merge_updates(&kept, most_bindings, muons.is_empty(), |&layer, closes| {
        let launch = kept_update::launch(step.dense[layer], training.of_parameter(layer), closes, workgroup);
        of_layer(step, layer, dispatch(launch, layer, &[step.whole_gradient(layer)]))
    }));
    for (at, &layer) in muons.iter().enumerate() {
        let own = muon::updates(step, layer, training.of_parameter(layer), at + 1 == muons.len());
        dispatches.extend(own.into_iter().map(|dispatch| of_layer(step, layer, dispatch)));
    }
    dispatches.extend(average::dispatches(step));
    // Merged updates come in the order of the gradients, with the longest first.
    let places: HashMap<&String, usize> = step.graph.layers().iter().zip(0..).collect();
    for dispatch in dispatches.iter_mut().filter(|dispatch| !dispatch.launch.parts.is_empty()) {
        dispatch.layers.sort_by_key(|layer| places.get(layer).copied());
        dispatch.layers.dedup();
    }
    Ok(dispatches)
}

/// A dispatch of a parameter, which says where its layer is.
fn of_layer(step: &Step<'_>, layer: usize, dispatch: Dispatch) -> Dispatch {
    dispatch.of_layers(&[step.parameters[layer].location.clone()])
}

/// The products that make gradients of weights, in the order of the graph, but for those that are made in strips.
fn products<'a>(step: &Step<'_>, groups: &'a [Group], homes: &Homes) -> Result<Vec<Product<'a>>, Error> {
    let mut products = vec![];
    let in_strips = |group: &Group| step.in_strips.is_some_and(|own| own.has(&step.graph, group.nodes[0]));
    for group in groups.iter().filter(|group| !in_strips(group)) {
        let node = step.graph.node(group.nodes[0]);
        let (layer, of) = match &node.op {
            Op::LinearWeights(LinearWeights { parameter }) => {
                (*parameter, Of::Dense(step.dense[*parameter], step.input_kind(*parameter)))
            }
            Op::ConvWeights(ConvWeights(conv)) => (conv.parameter, Of::Conv(conv.conv)),
            _ => continue,
        };
        let (input, gradient) = (homes.role(step, node.inputs[0])?, homes.role(step, node.inputs[1])?);
        products.push(Product { layer, of, input, gradient, group });
    }
    Ok(products)
}

/// The norm over the gradients of all that is trained.
fn norms(step: &Step<'_>, training: Training<'_>) -> Vec<Dispatch> {
    let (all, trained) = (step.dense.len(), step.trained());
    let ends = |layer: usize| (Some(&layer) == trained.first()).then_some((all, training));
    let norm = |&layer: &usize| {
        let whole = gradient_norm::launch(step.dense[layer], layer, ends(layer));
        let launch = match training.groups.of(layer) {
            Some(treated) => gradient_norm::of_trained(&whole, treated),
            None => whole,
        };
        of_layer(step, layer, dispatch(launch, layer, &[step.whole_gradient(layer)]))
    };
    trained.iter().rev().map(norm).collect()
}

/// The products, merged: all slices of theirs first, where their reductions are cut.
pub(super) fn products_of(
    step: &Step<'_>,
    training: Training<'_>,
    products: &[Product<'_>],
    closes: bool,
) -> Vec<Dispatch> {
    let weighted_mean = step.divides_by_weights();
    let tiling = step.request.tiling;
    let own_tile = |product: &Product<'_>| product.of.tile(tiling);
    let launch_with = |product: &Product<'_>, tile, closes| {
        let updates = |&id: &NodeId| matches!(step.graph.node(id).op, Op::Update(_));
        let keeps_gradient = !product.group.nodes.iter().any(updates);
        let without_bias = !step.parameters[product.layer].bias;
        let own = dense_update::Step { keeps_gradient, closes, weighted_mean, without_bias, in_strips: false };
        product.of.launch(training.of_parameter(product.layer), tile, own)
    };
    // Of a product that is cut into slices, these are the work.
    let is_alone = |product: &Product<'_>| {
        let (slices, last) = slices::split(launch_with(product, own_tile(product), false));
        merged::is_better_alone(&slices.unwrap_or(last))
    };
    // Launches can be merged where their workgroups are alike: those of the largest layer that is merged decide.
    let in_order = products.iter().rev().filter(|&product| !is_alone(product));
    let largest = in_order.max_by_key(|product| product.of.dense().weight_quads()).map_or(Tile::Naive, own_tile);
    // Products over the same minibatch are cut into slices alike, or none is, and both halves are merged. A convolution has a reduction of its own.
    let has_convs = products.iter().any(|product| matches!(product.of, Of::Conv(_)));
    let tile = |product: &Product<'_>| match own_tile(product) {
        own if !tiling.merges || has_convs || is_alone(product) => own,
        own if own.is_like(largest) => own.sliced(largest.slices()),
        _ => largest,
    };
    let launch = |product: &Product<'_>, closes| launch_with(product, tile(product), closes);
    let placed = |launch, product: &Product<'_>| {
        let values = [(Binding::Input, product.input), (Binding::Gradient, product.gradient)];
        dispatch(launch, product.layer, &values).of_layers(&step.layers(product.group))
    };
    let most_bindings = step.most_merged_bindings();
    let first = |product: &Product<'_>| slices::split(launch(product, false)).0;
    let sliced: Vec<(Launch, &Product<'_>)> =
        products.iter().filter_map(|product| Some((first(product)?, product))).collect();
    let mut dispatches =
        merge_updates(&sliced, most_bindings, false, |(slices, product), _| placed(slices.clone(), product));
    dispatches.extend(merge_updates(products, most_bindings, closes, |product, closes| {
        placed(slices::split(launch(product, closes)).1, product)
    }));
    dispatches
}

impl Step<'_> {
    /// Storage buffers that a merged dispatch may bind: none where nothing is merged.
    pub(super) fn most_merged_bindings(&self) -> u32 {
        if self.request.tiling.merges { self.request.tiling.most_bindings } else { 0 }
    }
}
