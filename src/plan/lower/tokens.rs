//! Vectors for tokens and for places, and their gradients.

use super::super::homes::{Homes, no_kernel, tokens_of};
use super::super::step::{Group, Step};
use super::super::{Dispatch, Role};
use super::stages::Forward;
use super::{dispatch, of_rows};
use crate::error::Error;
use crate::graph::{Embedding, Op, Positions};
use crate::kernel::Binding;
use crate::kernel::tokens::{self, Begins, Tokens};

/// The vectors of tokens, with those of their places where these follow; or the vectors of places added to a sequence.
pub(super) fn forward(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Dispatch, Error> {
    let node = step.graph.node(group.nodes[0]);
    let Forward { epilogue, adds, trains, mut values, layer } = Forward::of(step, homes, group)?;
    values.push((Binding::Input, homes.role(step, node.inputs[0])?));
    let begins = match node.op {
        Op::Embedding(Embedding { parameter, vocabulary }) => {
            values.push((Binding::Weights, Role::Weights(parameter)));
            Begins::Tokens(vocabulary)
        }
        Op::Positions(_) => Begins::Sequence,
        _ => return Err(no_kernel(&node.op)),
    };
    let positions = group.nodes.iter().find_map(|&id| match step.graph.node(id).op {
        Op::Positions(positions) => Some(positions),
        _ => None,
    });
    values.extend(positions.map(|own| (Binding::Positions, Role::Weights(own.parameter))));
    let positions = positions.map(|own| match own.continues {
        true => tokens::Positions::Continued(own.length),
        false => tokens::Positions::Sequences,
    });
    let (own, workgroup) = (tokens_of(step, node.result()), step.request.tiling.family.row_workgroup());
    let launch = of_rows(step, |batch| {
        tokens::forward(Tokens { batch, ..own }, begins, positions, (epilogue, adds, trains), workgroup)
    });
    Ok(dispatch(launch, layer, &values))
}

/// The gradient by the vectors of tokens, after which tokens are the same.
pub(super) fn weights(step: &Step<'_>, homes: &Homes, group: &Group, of: Embedding) -> Result<Vec<Dispatch>, Error> {
    let node = step.graph.node(group.nodes[0]);
    let (own, workgroup) = (tokens_of(step, node.inputs[0]), step.request.tiling.family.row_workgroup());
    let weighted_mean = step.divides_by_weights();
    let (gradient, tokens) = (homes.role(step, node.inputs[0])?, homes.role(step, node.inputs[1])?);
    // Where the last layer has the same table, what comes by it.
    let other = step.stages(&group.nodes).addend.map(|other| homes.role(step, other)).transpose()?;
    let links = tokens::links(own, of.vocabulary, workgroup);
    let sums = tokens::gradient(own, of.vocabulary, other.is_some(), weighted_mean, workgroup);
    let mut values = vec![(Binding::Gradient, gradient), (Binding::Tokens, tokens)];
    values.extend(other.map(|other| (Binding::OtherGradient, other)));
    Ok(vec![dispatch(links, of.parameter, &[(Binding::Input, tokens)]), dispatch(sums, of.parameter, &values)])
}

/// The gradient by the vectors of places.
pub(super) fn positions_weights(
    step: &Step<'_>,
    homes: &Homes,
    group: &Group,
    of: Positions,
) -> Result<Dispatch, Error> {
    let node = step.graph.node(group.nodes[0]);
    let (own, workgroup) = (tokens_of(step, node.inputs[0]), step.request.tiling.family.row_workgroup());
    let weighted_mean = step.divides_by_weights();
    let launch = tokens::positions_gradient(own, of.length, weighted_mean, workgroup);
    Ok(dispatch(launch, of.parameter, &[(Binding::Gradient, homes.role(step, node.inputs[0])?)]))
}
