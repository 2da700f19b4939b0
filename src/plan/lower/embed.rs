//! Vectors for features that are categories, and the gradients by their tables.

use super::super::homes::Homes;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::{dispatch, of_rows};
use crate::error::Error;
use crate::graph::{Embed, EmbedColumn, EmbedWeights};
use crate::kernel::Binding;
use crate::kernel::embed::{self, Column};

/// The column, from the shapes of the rows that come in and that go out.
fn column(step: &Step<'_>, of: EmbedColumn, (begin, width): (u32, u32), inputs: u32, outputs: u32) -> Column {
    let EmbedColumn { feature, vocabulary, .. } = of;
    Column { batch: step.request.batch, inputs, feature, vocabulary, outputs, begin, width }
}

/// A dispatch a table, as an adapter may not bind several; the first writes the numbers, too.
pub(super) fn forward(step: &Step<'_>, homes: &Homes, group: &Group, of: &Embed) -> Result<Vec<Dispatch>, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let shapes: Vec<_> = node.inputs.iter().map(|&input| step.graph.shape(input)).collect();
    let (inputs, outputs) = (shapes[0][1], step.graph.shape(node.result())[1]);
    let (x, y) = (homes.role(step, node.inputs[0])?, homes.role(step, node.result())?);
    let embedded: Vec<u32> = of.columns.iter().map(|column| column.feature).collect();
    let each = of.columns.iter().zip(of.slices(&shapes)).enumerate().map(|(at, (&own, slice))| {
        let column = column(step, own, slice, inputs, outputs);
        let embedded = Some(&embedded[..]).filter(|_| at == 0);
        let launch = of_rows(step, |batch| embed::forward(Column { batch, ..column }, embedded, workgroup));
        let values = [(Binding::Input, x), (Binding::Weights, Role::Weights(own.parameter)), (Binding::Output, y)];
        dispatch(launch, own.parameter, &values)
    });
    Ok(each.collect())
}

/// The gradient by a table, after which rows have the same category.
pub(super) fn weights(step: &Step<'_>, homes: &Homes, group: &Group, of: EmbedWeights) -> Result<Vec<Dispatch>, Error> {
    let (node, workgroup) = (step.graph.node(group.nodes[0]), step.request.tiling.family.row_workgroup());
    let [dy, x] = [0, 1].map(|at| node.inputs[at]);
    let [outputs, inputs] = [dy, x].map(|value| step.graph.shape(value)[1]);
    let own = column(step, of.column, (of.begin, of.width), inputs, outputs);
    let weighted_mean = step.divides_by_weights();
    let (links, sums) = (embed::links(own, workgroup), embed::gradient(own, weighted_mean, workgroup));
    let (dy, x, parameter) = (homes.role(step, dy)?, homes.role(step, x)?, of.column.parameter);
    let values = [(Binding::Gradient, dy), (Binding::Tokens, x)];
    Ok(vec![dispatch(links, parameter, &[(Binding::Input, x)]), dispatch(sums, parameter, &values)])
}
