//! Images as rows of features, and back, where a layer that is not dense takes them.

use super::super::Dispatch;
use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::{dispatch, of_rows};
use crate::error::Error;
use crate::graph::{Flatten, Unflatten};
use crate::kernel::{Binding, flatten};

/// Rows of features.
pub(super) fn forward(
    step: &Step<'_>,
    homes: &Homes,
    group: &Group,
    Flatten { image, by_place }: Flatten,
) -> Result<Dispatch, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let launch = of_rows(step, |batch| flatten::forward(batch, image, by_place, workgroup));
    let values =
        [(Binding::Input, homes.role(step, node.inputs[0])?), (Binding::Output, homes.role(step, node.result())?)];
    Ok(dispatch(launch, 0, &values))
}

/// The gradient by the images.
pub(super) fn backward(
    step: &Step<'_>,
    homes: &Homes,
    group: &Group,
    Unflatten { image, by_place }: Unflatten,
) -> Result<Dispatch, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let values = [
        (Binding::Gradient, homes.role(step, node.inputs[0])?),
        (Binding::InputGradient, homes.role(step, node.result())?),
    ];
    Ok(dispatch(flatten::backward(step.request.batch, image, by_place, workgroup), 0, &values))
}
