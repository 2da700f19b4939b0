//! Memory: values of a step that are never wanted at the same time have one buffer.
//!
//! Whole buffers are shared, and never parts of one: WebGPU allows no dispatch to read and write one buffer. It is a colouring of the intervals from a
//! value's first dispatch to its last, the largest first, each in the first memory that is free: the same plan always shares alike.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::{Buffer, Dispatch, Lifetime, Role};

impl Role {
    /// Whether its kernels write all of it in each step, so that it matters to none what was there before. What is not known to be has a buffer
    /// of its own, which is zero at first.
    fn is_written_whole(self) -> bool {
        matches!(
            self,
            Role::Activations(_)
                | Role::Gradient(_)
                | Role::InputGradient(_)
                | Role::Derivatives(_)
                | Role::Winners(_)
                | Role::Minibatch
        )
    }
}

/// Gives each buffer its memory. What the step is run for is kept to the end: `results`.
pub(super) fn share(buffers: &mut [Buffer], dispatches: &[Dispatch], results: impl Fn(Role) -> bool) {
    let may_share = |role: Role| role.lifetime() == Lifetime::Step && role.is_written_whole() && !results(role);
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    // The sort is stable: equals keep the order of their roles.
    order.sort_by_key(|&at| std::cmp::Reverse(buffers[at].bytes));
    let all_uses = uses(dispatches);
    let mut memories: Vec<Option<Vec<RangeInclusive<usize>>>> = vec![];
    for at in order {
        let uses = all_uses.get(&buffers[at].role).filter(|_| may_share(buffers[at].role));
        let is_free = |taken: &&Option<Vec<RangeInclusive<usize>>>| match (taken, &uses) {
            (Some(taken), Some(own)) => {
                taken.iter().all(|other| own.end() < other.start() || other.end() < own.start())
            }
            _ => false,
        };
        let memory = memories.iter().position(|taken| is_free(&taken)).unwrap_or_else(|| {
            memories.push(uses.map(|_| vec![]));
            memories.len() - 1
        });
        if let (Some(taken), Some(own)) = (&mut memories[memory], uses) {
            taken.push(own.clone());
        }
        buffers[at].memory = memory;
    }
}

/// The dispatches that use each value, from the first to the last.
fn uses(dispatches: &[Dispatch]) -> HashMap<Role, RangeInclusive<usize>> {
    let mut uses = HashMap::new();
    for (at, dispatch) in dispatches.iter().enumerate() {
        for &role in &dispatch.roles {
            let first = uses.get(&role).map_or(at, |own: &RangeInclusive<usize>| *own.start());
            uses.insert(role, first..=at);
        }
    }
    uses
}
