//! Attention, and its gradient.

use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::{dispatch, of_rows};
use crate::error::Error;
use crate::graph::{Attention, Value};
use crate::kernel::Binding;
use crate::kernel::attention::{self, Invocations};

/// Each place from those that it attends to. Keys and values that are kept have the number of what comes out.
pub(super) fn forward(step: &Step<'_>, homes: &Homes, group: &Group, of: Attention) -> Result<Dispatch, Error> {
    let (node, invocations) = (step.graph.node(group.nodes[0]), Invocations::of(step.request.tiling.family));
    let y = homes.role(step, node.result())?;
    let mut values = vec![(Binding::Input, homes.role(step, node.inputs[0])?), (Binding::Output, y)];
    if let Some(&logarithms) = node.results.get(1) {
        values.push((Binding::Moments, homes.role(step, logarithms)?));
    }
    let own = kernel_of(step, node.inputs[0], of);
    if let (Some(places), Role::Activations(layer)) = (of.continues, y) {
        let launch =
            of_rows(step, |batch| attention::continued(attention::Attention { batch, places, ..own }, invocations));
        return Ok(dispatch(launch, layer, &values));
    }
    let launch =
        of_rows(step, |batch| attention::forward(attention::Attention { batch, ..own }, of.trains, invocations));
    Ok(dispatch(launch, 0, &values))
}

/// The gradient by queries, keys and values.
pub(super) fn backward(step: &Step<'_>, homes: &Homes, group: &Group, of: Attention) -> Result<Vec<Dispatch>, Error> {
    let (node, invocations) = (step.graph.node(group.nodes[0]), Invocations::of(step.request.tiling.family));
    let [gradient, projected, y, logarithms] = node.inputs[..] else { return Err(super::no_kernel(&node.op)) };
    let values = [
        (Binding::Gradient, homes.role(step, gradient)?),
        (Binding::Input, homes.role(step, projected)?),
        (Binding::Output, homes.role(step, y)?),
        (Binding::Moments, homes.role(step, logarithms)?),
        (Binding::InputGradient, homes.role(step, node.results[0])?),
        (Binding::Coefficients, homes.role(step, node.results[1])?),
    ];
    let launches = attention::backward(kernel_of(step, projected, of), invocations);
    Ok(launches.into_iter().map(|launch| dispatch(launch, 0, &values)).collect())
}

/// The sizes of an attention over these queries, keys and values.
fn kernel_of(step: &Step<'_>, projected: Value, of: Attention) -> attention::Attention {
    let shape = step.graph.shape(projected);
    let dropout = (of.dropout > 0.0).then_some((of.dropout, of.number));
    let Attention { heads, causal, .. } = of;
    attention::Attention { batch: step.request.batch, places: shape[2], width: shape[3] / 3, heads, causal, dropout }
}
