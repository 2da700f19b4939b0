//! Images as rows of features, and back, where a layer that is not dense takes them.

use super::super::Dispatch;
use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::{dispatch, of_rows};
use crate::error::Error;
use crate::kernel::{Binding, flatten};
use crate::layout::Image;

/// Rows of features.
pub(super) fn forward(step: &Step<'_>, homes: &Homes, group: &Group, image: Image) -> Result<Dispatch, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let launch = of_rows(step, |batch| flatten::forward(batch, image, workgroup));
    let values =
        [(Binding::Input, homes.role(step, node.inputs[0])?), (Binding::Output, homes.role(step, node.result())?)];
    Ok(dispatch(launch, 0, &values))
}

/// The gradient by the images.
pub(super) fn backward(step: &Step<'_>, homes: &Homes, group: &Group, image: Image) -> Result<Dispatch, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let values = [
        (Binding::Gradient, homes.role(step, node.inputs[0])?),
        (Binding::InputGradient, homes.role(step, node.result())?),
    ];
    Ok(dispatch(flatten::backward(step.request.batch, image, workgroup), 0, &values))
}
