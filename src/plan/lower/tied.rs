//! Products with the table of an embedding.

use super::super::homes::Homes;
use super::super::slices;
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::dispatch;
use super::stages::Backward;
use crate::error::Error;
use crate::graph::{Tied, Value};
use crate::kernel::tied::{self, Table};
use crate::kernel::tile::{Blocks, Tile};
use crate::kernel::{Binding, Input, Launch};
use crate::layout::Extent;

/// The logits of all tokens; of fewer rows, the same kernel with fewer workgroups.
pub(super) fn forward(step: &Step<'_>, homes: &Homes, group: &Group, of: Tied) -> Result<Vec<Dispatch>, Error> {
    let node = step.graph.node(group.nodes[0]);
    let values =
        [(Binding::Input, homes.role(step, node.inputs[0])?), (Binding::Output, homes.role(step, node.result())?)];
    let table = table_of(step, node.inputs[0], of);
    let tile = tile(step, table.blocks());
    let mut launch = tied::forward(table, tile);
    if launch.partials.is_none() && step.rows < step.request.batch {
        let rows = table.rows / step.request.batch.next_multiple_of(4) * step.rows.next_multiple_of(4);
        launch.workgroups = tied::forward(Table { rows, ..table }, tile).workgroups;
    }
    Ok(placed(launch, of, &values))
}

/// The gradient by what comes in, back to before the activation that made it.
pub(super) fn backward(step: &Step<'_>, homes: &Homes, group: &Group, of: Tied) -> Result<Vec<Dispatch>, Error> {
    let node = step.graph.node(group.nodes[0]);
    let x = step.input_of_tied().ok_or_else(|| super::no_kernel(&node.op))?;
    let derived = step.derived(group).map_or(x, |node| node.inputs[1]);
    let (Backward { adds, mut values, .. }, below) =
        Backward::deriving_of(step, homes, group, homes.role(step, derived)?)?;
    values.push((Binding::Gradient, homes.role(step, node.inputs[0])?));
    let table = table_of(step, x, of);
    let launch = tied::backward(table, below, adds, tile(step, table.input_blocks()));
    Ok(placed(launch, of, &values))
}

/// The part of the gradient by the table that comes of this product.
pub(super) fn weights(step: &Step<'_>, homes: &Homes, group: &Group, of: Tied) -> Result<Vec<Dispatch>, Error> {
    let node = step.graph.node(group.nodes[0]);
    let values = [
        (Binding::Input, homes.role(step, node.inputs[0])?),
        (Binding::Gradient, homes.role(step, node.inputs[1])?),
        (Binding::InputGradient, homes.role(step, node.result())?),
    ];
    let table = table_of(step, node.inputs[0], of);
    Ok(placed(tied::weights(table, step.in_strips.is_some(), tile(step, table.weights_blocks())), of, &values))
}

fn placed(launch: Launch, of: Tied, values: &[(Binding, Role)]) -> Vec<Dispatch> {
    slices::stages(launch, |launch| dispatch(launch, of.parameter, values)).collect()
}

fn tile(step: &Step<'_>, blocks: Blocks) -> Tile {
    let Blocks { m, n, k } = blocks;
    let [m, n, k] = [m, n, k].map(u32::next_power_of_two);
    step.request.tiling.rule(Input::Activations, Blocks { m, n, k })
}

/// The sizes of a product of this sequence, or of a strip of its rows.
fn table_of(step: &Step<'_>, x: Value, of: Tied) -> Table {
    let Extent { rows, width, .. } = Extent::of(step.graph.shape(x));
    let rows = step.in_strips.map_or(rows, |own| own.strips.rows);
    Table { rows, width, vocabulary: of.vocabulary }
}
