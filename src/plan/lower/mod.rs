//! From groups of nodes to dispatches: kernels for their sizes, under the tiles that the adapter asks for.

mod accumulation;
mod attention;
mod average;
mod backward;
mod batch_norm;
mod conv;
mod early;
mod embed;
mod flatten;
mod forward;
mod loss;
mod map;
mod muon;
mod pool;
mod row_norm;
mod stages;
mod strips;
mod tied;
mod tokens;
mod update;

use super::homes::{Homes, no_kernel};
use super::step::{Group, Step};
use super::{Dispatch, Role, set};
use crate::error::Error;
use crate::graph::Op;
use crate::kernel::{Access, Binding, Launch, accumulate, close_step};

/// The dispatches of a step, in an order that every value is made in before it is read: all that reads weights before the first update, and updates
/// together, so that they can be merged.
///
/// # Errors
///
/// [`Error::Kernel`] for an op that no kernel computes, and for a value that a kernel reads and none stores: a mistake in this crate.
pub(super) fn dispatches(step: &Step<'_>, groups: &[Group], homes: &Homes) -> Result<Vec<Dispatch>, Error> {
    let mut dispatches = vec![];
    for group in groups {
        match step.in_strips.filter(|own| own.has(&step.graph, group.nodes[0])) {
            // The first of them makes the dispatches of all.
            Some(own) if own.begins_with(group.nodes[0]) => {
                dispatches.extend(strips::dispatches(step, groups, homes, &own)?);
            }
            Some(_) => {}
            None => {
                let layers = step.layers(group);
                let mut own = of_group(step, homes, group)?;
                own.iter_mut().for_each(|dispatch| accumulation::number_masks(step, group, &mut dispatch.launch));
                dispatches.extend(own.into_iter().map(|dispatch| dispatch.of_layers(&layers)));
            }
        }
    }
    dispatches = update::dispatches(step, groups, homes, dispatches)?;
    if step.request.network.places().is_some() {
        dispatches.iter_mut().for_each(|dispatch| of_places(&mut dispatch.launch));
    }
    if step.parts().are_summed() {
        let in_parts = |dispatch: Dispatch| {
            let Dispatch { launch, roles, layers } = dispatch;
            Dispatch { launch: accumulate::in_parts(launch, step.parts(), step.samples()), roles, layers }
        };
        dispatches = dispatches.into_iter().map(in_parts).collect();
    }
    dispatches.extend(closing(step));
    Ok(dispatches)
}

/// What moves the step counter on where nothing is trained that would.
fn closing(step: &Step<'_>) -> Option<Dispatch> {
    let is_judged = step.graph.nodes().any(|(_, node)| matches!(node.op, Op::Loss(_)));
    let closes = is_judged && step.request.training.is_none();
    closes.then(|| Dispatch::new(close_step::launch(), |_| Role::State))
}

/// The dispatches of a group, but for what comes after all that reads weights.
fn of_group(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Vec<Dispatch>, Error> {
    Ok(match step.op(group) {
        Op::Gather(_) => set::gathers(step),
        Op::Linear(_) if group.nodes.iter().any(|&id| matches!(step.graph.node(id).op, Op::Loss(_))) => {
            vec![loss::head(step, homes, group)?]
        }
        Op::Linear(linear) => forward::dispatches(step, homes, group, linear.parameter)?,
        Op::Conv2d(own) => conv::forward(step, homes, group, *own)?,
        Op::MaxPool(_) | Op::AveragePool(_) | Op::GlobalAveragePool(_) => vec![pool::forward(step, homes, group)?],
        Op::BatchNorm(own) => batch_norm::forward(step, homes, group, *own)?,
        Op::RowNorm(own) => row_norm::forward(step, homes, group, *own)?,
        Op::Embed(own) => embed::forward(step, homes, group, own)?,
        Op::Embedding(_) | Op::Positions(_) => vec![tokens::forward(step, homes, group)?],
        Op::Attention(own) => vec![attention::forward(step, homes, group, *own)?],
        Op::Tied(own) => tied::forward(step, homes, group, *own)?,
        Op::Flatten(own) => vec![flatten::forward(step, homes, group, *own)?],
        Op::Loss(_) => vec![loss::row(step, homes, group)?],
        Op::Metrics(_) => vec![loss::metrics(step, homes, group)?],
        Op::LinearInput(linear) => backward::dispatches(step, homes, group, linear.parameter)?,
        Op::ConvInput(own) => conv::backward(step, homes, group, own.0)?,
        Op::MaxPoolBackward(_) | Op::AveragePoolBackward(_) | Op::GlobalAveragePoolBackward(_) => {
            vec![pool::backward(step, homes, group)?]
        }
        Op::BatchNormWeights(own) => batch_norm::weights(step, homes, group, own.0)?,
        Op::RowNormWeights(own) => row_norm::weights(step, homes, group, own.0)?,
        Op::RowNormInput(own) => row_norm::backward(step, homes, group, own.0)?,
        Op::EmbedWeights(own) => embed::weights(step, homes, group, *own)?,
        Op::EmbeddingWeights(own) => tokens::weights(step, homes, group, own.0)?,
        Op::PositionsWeights(own) => vec![tokens::positions_weights(step, homes, group, own.0)?],
        Op::AttentionInput(own) => attention::backward(step, homes, group, own.0)?,
        Op::TiedInput(own) => tied::backward(step, homes, group, own.0)?,
        Op::TiedWeights(own) => tied::weights(step, homes, group, own.0)?,
        Op::Unflatten(own) => vec![flatten::backward(step, homes, group, *own)?],
        op if op.stage().is_some() => vec![map::dispatch_of(step, homes, group)?],
        // After all that reads weights.
        Op::LinearWeights(_) | Op::ConvWeights(_) | Op::GradientNorm(_) | Op::Update(_) | Op::Orthogonalize(_) => {
            vec![]
        }
        op => return Err(no_kernel(op)),
    })
}

/// Lets kernels that divide by the sum of the rows' weights know that each place of a row has one.
fn of_places(launch: &mut Launch) {
    let divides = launch.flags.contains(&"weighted_mean") && !launch.flags.contains(&"places");
    launch.flags.extend(divides.then_some("places"));
    launch.parts.iter_mut().for_each(of_places);
}

/// A dispatch of a layer's kernel, whose values are in these buffers.
fn dispatch(launch: Launch, layer: usize, values: &[(Binding, Role)]) -> Dispatch {
    Dispatch::new(launch, |binding| {
        let value = values.iter().find(|(known, _)| *known == binding).map(|&(_, role)| role);
        value.unwrap_or_else(|| Role::of_layer(binding, layer))
    })
}

/// The launch for a minibatch, with the workgroups that the step's first rows take: kernels number them row after row.
fn of_rows(step: &Step<'_>, launch: impl Fn(u32) -> Launch) -> Launch {
    Launch { workgroups: launch(step.rows).workgroups, ..launch(step.request.batch) }
}

/// Whether a launch binds it.
fn binds(launch: &Launch, binding: Binding) -> bool {
    launch.bindings.iter().any(|&(bound, _): &(Binding, Access)| bound == binding)
}
