//! Which buffer each value of a step lives in.

use std::collections::HashMap;

use super::Role;
use super::step::{Group, Step};
use crate::error::Error;
use crate::graph::{Op, Pass, Value};

/// The buffer of every value that is stored.
pub(super) struct Homes {
    homes: HashMap<Value, Role>,
    /// The width of every layer's output: of the dense layers, then of what is computed by itself, in the order of the step.
    pub widths: Vec<u32>,
}

impl Homes {
    /// Assigns them: a group stores what its last node makes, and a loss its gradient besides.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] for an op that no kernel computes, and for a value that a stage reads and no kernel stores: a mistake in this crate.
    pub fn of(step: &Step<'_>, groups: &[Group]) -> Result<Homes, Error> {
        let (mut homes, mut widths) = (HashMap::new(), widths(step));
        for (_, node) in step.graph.nodes() {
            // Where no kernel gathers, products read the set.
            if matches!(node.op, Op::Gather(_)) {
                homes.insert(node.result(), Role::Set(0));
            }
        }
        for group in groups {
            let mut nodes = group.nodes.iter().map(|&id| step.graph.node(id));
            match step.op(group) {
                Op::Gather(_) => {
                    homes.insert(step.end(group), Role::Minibatch);
                }
                Op::Linear(linear) => {
                    let layer = linear.parameter;
                    match nodes.clone().find(|node| matches!(node.op, Op::Loss(_))) {
                        None => {
                            homes.insert(step.end(group), Role::Activations(layer));
                        }
                        Some(loss) => {
                            homes.insert(loss.inputs[0], Role::Activations(layer));
                            homes.extend(loss.results.get(1).map(|&gradient| (gradient, Role::Gradient(layer))));
                        }
                    }
                    if nodes.any(|node| matches!(node.op, Op::LinearInput(_))) {
                        homes.insert(step.end(group), Homes::gradient_below(step, &homes, group, layer));
                    }
                }
                Op::Loss(_) => {
                    let loss = step.graph.node(group.nodes[0]);
                    let gradient = match homes.get(&loss.inputs[0]) {
                        Some(&Role::Activations(layer)) => Role::Gradient(layer),
                        _ => continue,
                    };
                    homes.extend(loss.results.get(1).map(|&result| (result, gradient)));
                }
                Op::LinearInput(linear) => {
                    homes.insert(step.end(group), Homes::gradient_below(step, &homes, group, linear.parameter));
                }
                Op::LinearWeights(linear) => {
                    homes.insert(step.graph.node(group.nodes[0]).result(), Role::WeightGradient(linear.parameter));
                }
                Op::Metrics(_) | Op::GradientNorm(_) | Op::Update(_) | Op::Orthogonalize(_) => {}
                // Ops with a kernel of their own, and stages that no product takes in.
                op => {
                    let (number, end) = (widths.len(), step.end(group));
                    let &[_, width] = &step.graph.shape(end)[..] else { return Err(no_kernel(op)) };
                    widths.push(width);
                    homes.insert(end, Homes::of_own(step, &homes, group, number)?);
                }
            }
        }
        Ok(Homes { homes, widths })
    }

    /// Where the result of a kernel of its own is: an output in the forward pass; in the backward pass a gradient, which belongs to the layer whose
    /// activation it is derived of.
    fn of_own(step: &Step<'_>, homes: &HashMap<Value, Role>, group: &Group, number: usize) -> Result<Role, Error> {
        let made = step.derived(group).map(|node| node.inputs[1]);
        match (made.map(|made| (made, homes.get(&made))), step.pass(group.nodes[0])) {
            (Some((_, Some(&Role::Activations(layer)))), _) => Ok(Role::Gradient(layer)),
            (Some((made, _)), _) => Err(not_stored(step, made)),
            (None, Pass::Backward) => Ok(Role::InputGradient(number)),
            (None, Pass::Forward) => Ok(Role::Activations(number)),
        }
    }

    /// Where the gradient that goes below a layer is: that of the layer whose activation is derived, or which made the input; or a part of it, which a later
    /// product adds.
    fn gradient_below(step: &Step<'_>, homes: &HashMap<Value, Role>, group: &Group, layer: usize) -> Role {
        let reader = step.graph.only_reader(step.end(group)).map(|reader| &step.graph.node(reader).op);
        let made = step.derived(group).map(|node| node.inputs[1]).or_else(|| step.input_of(layer));
        match (reader, made.and_then(|made| homes.get(&made))) {
            (Some(Op::Add(_)), _) => Role::InputGradient(layer),
            (_, Some(&Role::Activations(below))) => Role::Gradient(below),
            _ => Role::InputGradient(layer),
        }
    }

    /// The buffer of a value that a kernel hands on to others.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] for a value that no kernel stores: a mistake in this crate.
    pub fn role(&self, step: &Step<'_>, value: Value) -> Result<Role, Error> {
        self.homes.get(&value).copied().ok_or_else(|| not_stored(step, value))
    }

    /// Where a dense layer's input is.
    ///
    /// # Errors
    ///
    /// As [`role`](Self::role).
    pub fn input(&self, step: &Step<'_>, layer: usize) -> Result<Role, Error> {
        let input = step.input_of(layer).ok_or_else(|| Error::Kernel {
            kernel: format!("linear {layer}"),
            reason: "its gradient is computed and it is not".into(),
        })?;
        self.role(step, input)
    }

    /// Where what a gradient is derived by is: the output that the group's first derivative is of, or else the layer's input.
    ///
    /// # Errors
    ///
    /// As [`role`](Self::role).
    pub fn derived(&self, step: &Step<'_>, group: &Group, layer: usize) -> Result<Role, Error> {
        step.derived(group).map_or_else(|| self.input(step, layer), |node| self.role(step, node.inputs[1]))
    }
}

/// What a value that is read and that no kernel stores ends a plan with.
fn not_stored(step: &Step<'_>, value: Value) -> Error {
    let op = &step.graph.node(step.graph.maker(value)).op;
    Error::Kernel { kernel: op.to_string(), reason: "another kernel reads its result, which none stores".into() }
}

/// What an op that nothing computes ends a plan with.
pub(super) fn no_kernel(op: &Op) -> Error {
    Error::Kernel { kernel: op.to_string(), reason: "no kernel computes this op".into() }
}

/// The widths of the dense layers' outputs.
pub(super) fn widths(step: &Step<'_>) -> Vec<u32> {
    step.dense.iter().map(|dense| dense.outputs).collect()
}
