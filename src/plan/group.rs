//! Dispatches that do not depend on each other, as one.

use super::{Dispatch, Role};
use crate::kernel::merged;

/// The updates of some layers, merged as far as the adapter's bindings allow. `dispatch` makes one; where all of them together `close` the step, the
/// last one does.
pub(super) fn merge_updates<T>(
    of: &[T],
    most_bindings: u32,
    close: bool,
    dispatch: impl Fn(&T, bool) -> Dispatch,
) -> Vec<Dispatch> {
    let mut groups: Vec<Vec<(&T, Dispatch)>> = vec![];
    for each in of {
        let own = dispatch(each, false);
        let has_room = |group: &&mut Vec<(&T, Dispatch)>| {
            // The step state is bound once for all, or not at all.
            let but_state = |dispatch: &Dispatch| dispatch.roles.iter().filter(|&&role| role != Role::State).count();
            let bindings: usize = group.iter().map(|(_, other)| but_state(other)).sum::<usize>() + but_state(&own) + 1;
            let fits = group.len() < merged::MOST_PARTS && bindings <= most_bindings as usize;
            fits && merged::fit(&group[0].1.launch, &own.launch)
        };
        // A product that is better alone does not part the others: none of them depends on it.
        let mut of_others = groups.iter_mut().rev().filter(|group| !merged::is_better_alone(&group[0].1.launch));
        match of_others.next().filter(has_room) {
            Some(group) => group.push((each, own)),
            None => groups.push(vec![(each, own)]),
        }
    }
    let last = groups.len().saturating_sub(1);
    let close_of = |at| close && at == last;
    let merge = |(at, group): (usize, Vec<(&T, Dispatch)>)| match &group[..] {
        [(each, _)] => dispatch(each, close_of(at)),
        _ => Dispatch::merged(group.into_iter().map(|(_, part)| part).collect(), close_of(at)),
    };
    groups.into_iter().enumerate().map(merge).collect()
}
