//! The gradients: a walk over the ops in reverse, in which each adds to the gradients of what it read.

use std::collections::HashMap;

use super::operation::Operation;
use super::{Add, Graph, Node, NodeId, Op, Source, Value};
use crate::error::Error;

/// The gradient by a parameter, with the values of both.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParameterGradient {
    pub parameter: usize,
    pub weights: Value,
    pub gradient: Value,
}

/// Adds the ops of the gradient by every parameter, from the one by `of`. The parameters' gradients come back, last layer first. There is no gradient by a value
/// that depends on no parameter. A value that is read twice has the sum, in reverse order of use.
///
/// # Errors
///
/// [`Error::Kernel`] for an op between a parameter and `of` that has no gradient: a mistake in this crate.
pub(super) fn backward(graph: &mut Graph, of: Value, gradient: Value) -> Result<Vec<ParameterGradient>, Error> {
    let wanted = depends_on_parameters(graph);
    let mut gradients = HashMap::from([(of, gradient)]);
    let mut of_parameters = vec![];
    for at in (0..=graph.maker(of).0).rev() {
        let node = graph.node(NodeId(at)).clone();
        // An op hands on the gradient by its first result alone.
        if node.results.iter().skip(1).any(|result| gradients.contains_key(result)) {
            return Err(wrong(&node, "a gradient comes by another result than its first"));
        }
        let Some(&upstream) = node.results.first().and_then(|result| gradients.get(result)) else { continue };
        if let Op::Source(Source::Parameter(index)) = node.op {
            let (parameter, weights) = (index, node.result());
            of_parameters.push(ParameterGradient { parameter, weights, gradient: upstream });
        }
        graph.enter(graph.layer(NodeId(at)));
        let wanted: Vec<bool> = node.inputs.iter().map(|input| wanted[input.0]).collect();
        let own = node.op.backward(graph, &node, upstream, &wanted);
        if wanted.iter().enumerate().any(|(at, &wanted)| wanted != own.get(at).is_some_and(Option::is_some)) {
            return Err(wrong(&node, "it has no gradient for an input that parameters go into"));
        }
        for (input, gradient) in node.inputs.iter().zip(own) {
            let Some(gradient) = gradient else { continue };
            let sum = match gradients.get(input) {
                Some(&other) => graph.add(Add, vec![other, gradient]),
                None => gradient,
            };
            gradients.insert(*input, sum);
        }
    }
    graph.enter(None);
    of_parameters.sort_by_key(|of| std::cmp::Reverse(of.parameter));
    Ok(of_parameters)
}

fn wrong(node: &Node, reason: &str) -> Error {
    Error::Kernel { kernel: node.op.to_string(), reason: reason.into() }
}

/// For every value, whether a parameter goes into it.
fn depends_on_parameters(graph: &Graph) -> Vec<bool> {
    let mut depends = vec![false; graph.shapes.len()];
    for (_, node) in graph.nodes() {
        let own = matches!(node.op, Op::Source(Source::Parameter(_)));
        let any = own || node.inputs.iter().any(|input| depends[input.0]);
        node.results.iter().for_each(|result| depends[result.0] = any);
    }
    depends
}
