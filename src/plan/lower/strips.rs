//! The last layer and the loss, a strip of rows at a time.

use super::super::homes::Homes;
use super::super::slices;
use super::super::step::{Group, Step};
use super::super::strips::InStrips;
use super::super::{Dispatch, Role};
use super::{conv, dispatch, of_group};
use crate::error::Error;
use crate::graph::{Conv2d, ConvInput, ConvWeights, Op};
use crate::kernel::conv::update as conv_update;
use crate::kernel::{Binding, Input, dense_update};

/// For each strip: its logits, its loss, and their part of the gradients by the weights and by what comes in.
pub(super) fn dispatches(
    step: &Step<'_>,
    groups: &[Group],
    homes: &Homes,
    own: &InStrips,
) -> Result<Vec<Dispatch>, Error> {
    let mut of_strip = vec![];
    for group in groups.iter().filter(|group| own.has(&step.graph, group.nodes[0])) {
        let dispatches = match step.op(group) {
            Op::Conv2d(of) => conv::forward(step, homes, group, of_rows(own, *of))?,
            Op::ConvInput(ConvInput(of)) => conv::backward(step, homes, group, of_rows(own, *of))?,
            Op::ConvWeights(ConvWeights(of)) => weights(step, homes, group, of_rows(own, *of))?,
            _ => of_group(step, homes, group)?,
        };
        let layers = step.layers(group);
        of_strip.extend(dispatches.into_iter().map(|dispatch| in_strips(own, dispatch.of_layers(&layers))));
    }
    of_strip.push(Dispatch::new(own.strips.next(), |_| Role::Strip));
    Ok(std::iter::repeat_n(of_strip, own.strips.count() as usize).flatten().collect())
}

fn in_strips(own: &InStrips, dispatch: Dispatch) -> Dispatch {
    let Dispatch { launch, mut roles, layers } = dispatch;
    roles.push(Role::Strip);
    Dispatch { launch: own.strips.launch(launch), roles, layers }
}

fn of_rows(own: &InStrips, of: Conv2d) -> Conv2d {
    Conv2d { conv: own.conv(of.conv), ..of }
}

/// The part of the gradient by the weights: what the update reads is there after the last strip.
fn weights(
    step: &Step<'_>,
    homes: &Homes,
    group: &Group,
    Conv2d { parameter, conv }: Conv2d,
) -> Result<Vec<Dispatch>, Error> {
    let Some(training) = step.request.training else { return Ok(vec![]) };
    let node = step.graph.node(group.nodes[0]);
    let values =
        [(Binding::Input, homes.role(step, node.inputs[0])?), (Binding::Gradient, homes.role(step, node.inputs[1])?)];
    let tile = step.request.tiling.tile("conv_update", Input::Activations, conv_update::blocks(conv));
    let weighted_mean = step.divides_by_weights();
    let update = dense_update::Step { keeps_gradient: true, in_strips: true, weighted_mean, ..Default::default() };
    let launch = conv_update::launch(conv, training.of_parameter(parameter), tile, update);
    Ok(slices::stages(launch, |launch| dispatch(launch, parameter, &values)).collect())
}
