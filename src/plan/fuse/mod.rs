//! Which nodes of the graph one kernel computes: a fixed list of rules, a file each, of which the first that applies wins. Nothing is searched
//! for, so that the same graph always has the same plan.

mod batch_norm;
mod epilogue;
mod head;
mod map;
mod pool;
mod prologue;
mod tokens;

use std::collections::HashSet;

pub(super) use self::pool::pools_first;
use super::step::{Group, Step};
use crate::graph::{NodeId, Op};

/// Says what a kernel that begins with this node takes in besides; none where the rule does not apply. No node at all: those that read it compute
/// it for themselves.
type Rule = fn(&Step<'_>, NodeId) -> Option<Vec<NodeId>>;

/// The rules, in the order in which they are tried.
const RULES: &[Rule] = &[
    prologue::gather,
    head::head,
    pool::conv,
    batch_norm::backward,
    tokens::forward,
    tokens::weights,
    epilogue::forward,
    epilogue::backward,
    epilogue::update,
    map::map,
];

/// The graph's nodes as groups, in the order of the first node of each.
pub(super) fn groups(step: &Step<'_>) -> Vec<Group> {
    grouped(step, RULES)
}

/// Each node as a group of its own, so that the result of each is stored; but for the gather, where products do it.
pub(super) fn apart(step: &Step<'_>) -> Vec<Group> {
    grouped(step, &[prologue::gather])
}

fn grouped(step: &Step<'_>, rules: &[Rule]) -> Vec<Group> {
    let mut taken: HashSet<NodeId> = HashSet::new();
    let mut groups = vec![];
    for (id, node) in step.graph.nodes() {
        if matches!(node.op, Op::Source(_)) || taken.contains(&id) {
            continue;
        }
        let nodes = rules.iter().find_map(|rule| rule(step, id)).unwrap_or_else(|| vec![id]);
        taken.extend(&nodes);
        if !nodes.is_empty() {
            groups.push(Group { nodes });
        }
    }
    groups
}
