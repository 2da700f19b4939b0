//! Memory: values of a step that are never wanted at the same time have one buffer.
//!
//! Whole buffers are shared, and never parts of one: WebGPU allows no dispatch to read and write one buffer. It is a colouring of the intervals from a
//! value's first dispatch to its last, the largest first, each in the first memory that is free: the same plan always shares alike.

use std::ops::RangeInclusive;

use super::{Buffer, Dispatch, Lifetime, Role};

impl Role {
    /// Whether its kernels write all of it in each step, so that it matters to none what was there before. What is not known to be has a buffer
    /// of its own, which is zero at first.
    fn is_written_whole(self) -> bool {
        matches!(
            self,
            Role::Activations(_) | Role::Gradient(_) | Role::InputGradient(_) | Role::Derivatives(_) | Role::Minibatch
        )
    }
}

/// Gives each buffer its memory. What the step is run for is kept to the end: `results`.
pub(super) fn share(buffers: &mut [Buffer], dispatches: &[Dispatch], results: impl Fn(Role) -> bool) {
    let may_share = |role: Role| role.lifetime() == Lifetime::Step && role.is_written_whole() && !results(role);
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    // The sort is stable: equals keep the order of their roles.
    order.sort_by_key(|&at| std::cmp::Reverse(buffers[at].bytes));
    let mut memories: Vec<Option<Vec<RangeInclusive<usize>>>> = vec![];
    for at in order {
        let uses = may_share(buffers[at].role).then(|| uses(buffers[at].role, dispatches));
        let is_free = |taken: &&Option<Vec<RangeInclusive<usize>>>| match (taken, &uses) {
            (Some(taken), Some(own)) => {
                taken.iter().all(|other| own.end() < other.start() || other.end() < own.start())
            }
            _ => false,
        };
        let memory = memories.iter().position(|taken| is_free(&taken)).unwrap_or_else(|| {
            memories.push(uses.as_ref().map(|_| vec![]));
            memories.len() - 1
        });
        if let (Some(taken), Some(own)) = (&mut memories[memory], uses) {
            taken.push(own);
        }
        buffers[at].memory = memory;
    }
}

/// The dispatches that use a value, from the first to the last.
fn uses(role: Role, dispatches: &[Dispatch]) -> RangeInclusive<usize> {
    let uses = |dispatch: &Dispatch| dispatch.roles.contains(&role);
    let first = dispatches.iter().position(uses).unwrap_or(0);
    first..=dispatches.iter().rposition(uses).unwrap_or(first)
}
