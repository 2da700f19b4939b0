//! Products whose reduction is cut into slices: two dispatches, with the slices' sums between them.

use super::{Dispatch, Role};
use crate::kernel::Launch;

/// What a product's launch takes: the dispatch of its slices, if it has any, and its own.
pub(super) fn stages(launch: Launch, dispatch: impl Fn(Launch) -> Dispatch) -> impl Iterator<Item = Dispatch> {
    let (first, last) = split(launch);
    first.into_iter().chain([last]).map(dispatch)
}

/// The launch of a product's slices, if it has any, and the one that follows.
pub(super) fn split(mut launch: Launch) -> (Option<Launch>, Launch) {
    let first = launch.partials.as_mut().and_then(|partials| partials.written_by.take());
    (first.map(|first| *first), launch)
}

/// The shape of the slices' sums of a layer: the largest that any of the dispatches needs.
pub(super) fn shape(role: Role, dispatches: &[Dispatch]) -> Vec<u64> {
    let parts = dispatches.iter().flat_map(Dispatch::parts).filter(|part| part.roles.contains(&role));
    let shapes = parts.filter_map(|part| Some(part.launch.partials?.shape.map(u64::from)));
    shapes.max_by_key(|shape| shape.iter().product::<u64>()).map_or(vec![], Vec::from)
}
