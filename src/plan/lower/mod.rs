//! From groups of nodes to dispatches: kernels for their sizes, under the tiles that the adapter asks for.

mod backward;
mod forward;
pub(super) mod loss;
pub(super) mod map;
mod muon;
mod update;

pub(super) use self::muon::shape as muon_shape;
use super::fuse::Group;
use super::homes::Homes;
use super::step::Step;
use super::{Dispatch, Role, set};
use crate::graph::Op;
use crate::kernel::{Access, Binding, Launch, close_step};

/// The dispatches of a step, in an order that every value is made in before it is read: all that reads weights before the first update, and updates
/// together, so that they can be merged.
pub(super) fn dispatches(step: &Step<'_>, groups: &[Group], homes: &Homes) -> Vec<Dispatch> {
    let read = groups.iter().flat_map(|group| match step.op(group) {
        Op::Gather(_) => set::gathers(step),
        Op::Linear(_) if group.nodes.iter().any(|&id| matches!(step.graph.node(id).op, Op::Loss(_))) => {
            vec![loss::head(step, homes, group)]
        }
        Op::Linear(_) => forward::dispatches(step, homes, group),
        Op::Loss(_) => vec![loss::row(step, homes, group)],
        Op::Metrics(_) => vec![loss::metrics(step, homes, group)],
        Op::LinearInput(_) => backward::dispatches(step, homes, group),
        op if op.is_stage() => map::dispatches(step, homes, group),
        _ => vec![],
    });
    let mut dispatches: Vec<Dispatch> = read.collect();
    dispatches.extend(update::dispatches(step, groups, homes));
    let is_judged = step.graph.nodes().any(|(_, node)| matches!(node.op, Op::Loss(_)));
    if is_judged && step.request.training.is_none() {
        dispatches.push(Dispatch::new(close_step::launch(), |_| Role::State));
    }
    dispatches
}

/// A dispatch of a layer's kernel, whose values are in these buffers.
fn dispatch(launch: Launch, layer: usize, values: &[(Binding, Role)]) -> Dispatch {
    Dispatch::new(launch, |binding| {
        let value = values.iter().find(|(known, _)| *known == binding).map(|&(_, role)| role);
        value.unwrap_or_else(|| Role::of_layer(binding, layer))
    })
}

/// Whether a launch binds it.
fn binds(launch: &Launch, binding: Binding) -> bool {
    launch.bindings.iter().any(|&(bound, _): &(Binding, Access)| bound == binding)
}
