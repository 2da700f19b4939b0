//! Which buffer each value of a step lives in.

use std::collections::HashMap;

use super::Role;
use super::fuse::Group;
use super::lower::map::derived;
use super::step::Step;
use crate::error::Error;
use crate::graph::{Op, Value};
use crate::kernel::Input;

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
    /// [`Error::Kernel`] for an op that no kernel computes, and for a value that is read by another kernel and stored by none: a mistake in this crate.
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
                Op::Source(_) | Op::Metrics(_) | Op::GradientNorm(_) | Op::Update(_) | Op::Orthogonalize(_) => {}
                // What has a kernel of its own.
                _ => {
                    let (number, end) = (widths.len(), step.end(group));
                    widths.push(step.graph.shape(end)[1]);
                    homes.insert(end, Homes::of_own(step, &homes, group, number));
                }
            }
        }
        let homes = Homes { homes, widths };
        groups.iter().try_for_each(|group| homes.check(step, group))?;
        Ok(homes)
    }

    /// That a kernel computes the group, and finds in memory what the group does not make itself.
    fn check(&self, step: &Step<'_>, group: &Group) -> Result<(), Error> {
        let wrong = |op: &Op, reason| Err(Error::Kernel { kernel: op.to_string(), reason });
        for node in group.nodes.iter().map(|&id| step.graph.node(id)) {
            // The second input of a derivative is a stage's result, which the kernel derives from the layer's output.
            let read = if node.op.is_derivative() { &node.inputs[..1] } else { &node.inputs[..] };
            let is_stored = |&&input: &&Value| {
                let maker = step.graph.maker(input);
                let is_elsewhere = matches!(step.graph.node(maker).op, Op::Source(_) | Op::GradientNorm(_));
                is_elsewhere || group.nodes.contains(&maker) || self.homes.contains_key(&input)
            };
            if read.iter().any(|input| !is_stored(&input)) {
                return wrong(&node.op, "it reads a value that no kernel stores".into());
            }
        }
        Ok(())
    }

    /// Where the result of a kernel of its own is. In the backward pass it begins with a gradient; where it derives an activation, it ends at what the
    /// activation is of, whose gradient belongs to the layer that it is part of.
    fn of_own(step: &Step<'_>, homes: &HashMap<Value, Role>, group: &Group, number: usize) -> Role {
        let derived = derived(step, group).and_then(|node| homes.get(&node.inputs[1]));
        let first = step.graph.node(group.nodes[0]).inputs[0];
        match (derived, homes.get(&first)) {
            (Some(&Role::Activations(layer)), _) => Role::Gradient(layer),
            (_, Some(Role::Gradient(_) | Role::InputGradient(_))) => Role::InputGradient(number),
            _ => Role::Activations(number),
        }
    }

    /// Where the gradient that goes below a layer is: that of the layer whose activation is derived, or which made the input; or a part of it, which a later
    /// product adds.
    fn gradient_below(step: &Step<'_>, homes: &HashMap<Value, Role>, group: &Group, layer: usize) -> Role {
        let reader = step.graph.only_reader(step.end(group)).map(|reader| &step.graph.node(reader).op);
        let made = derived(step, group).map(|node| node.inputs[1]).or_else(|| step.input_of(layer));
        match (reader, made.and_then(|made| homes.get(&made))) {
            (Some(Op::Add(_)), _) => Role::InputGradient(layer),
            (_, Some(&Role::Activations(below))) => Role::Gradient(below),
            _ => Role::InputGradient(layer),
        }
    }

    /// The buffer of a value. [`of`](Self::of) has checked that those which kernels hand on have one; the others' is never bound.
    pub fn role(&self, value: Value) -> Role {
        self.homes.get(&value).copied().unwrap_or(Role::State)
    }

    /// Where a layer's input is, and how its rows are read.
    pub fn input(&self, step: &Step<'_>, layer: usize) -> (Role, Input) {
        let role = step.input_of(layer).map_or(Role::State, |input| self.role(input));
        (role, if role == Role::Set(0) { step.request.set.element.input() } else { Input::Activations })
    }

    /// Where what a gradient is derived by is: the output that the group's first derivative is of, or else the layer's input.
    pub fn derived(&self, step: &Step<'_>, group: &Group, layer: usize) -> Role {
        derived(step, group).map_or_else(|| self.input(step, layer).0, |node| self.role(node.inputs[1]))
    }
}

/// The widths of the dense layers' outputs.
pub(super) fn widths(step: &Step<'_>) -> Vec<u32> {
    step.dense.iter().map(|dense| dense.outputs).collect()
}
