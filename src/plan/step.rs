//! A step on its way to a plan: the graph, the sizes of its layers, and which buffer each value lives in.

use std::collections::HashMap;

use super::fuse::Group;
use super::{Request, Role};
use crate::error::Error;
use crate::graph::{Graph, Linear, NodeId, Op, Value};
use crate::kernel::Input;
use crate::layout::Dense;
use crate::network::{Activation, Layer};
use crate::targets::Targets;

/// What the passes of a plan hand on.
pub(super) struct Step<'a> {
    pub request: Request<'a>,
    pub graph: Graph,
    /// The sizes of every layer, by its parameter.
    pub dense: Vec<Dense>,
    /// The rows that are computed: the minibatch's, or the first of them.
    pub rows: u32,
}

impl<'a> Step<'a> {
    pub fn new(request: Request<'a>, graph: Graph) -> Self {
        let dense = request.network.dense_layers(request.batch);
        Step { request, graph, dense, rows: request.batch }
    }

    /// The form that the loss takes the targets in.
    pub fn device_targets(&self) -> Targets {
        self.request.loss.targets(self.request.targets)
    }

    /// The input of a layer.
    pub fn input_of(&self, parameter: usize) -> Option<Value> {
        let is_layer = |(_, node): &(NodeId, &crate::graph::Node)| node.op == Linear { parameter }.into();
        self.graph.nodes().find(is_layer).map(|(_, node)| node.inputs[0])
    }

    /// The op of a group's first node.
    pub fn op(&self, group: &Group) -> &Op {
        &self.graph.node(group.nodes[0]).op
    }

    /// What a group's last node makes.
    pub fn end(&self, group: &Group) -> Value {
        self.graph.node(group.nodes[group.nodes.len() - 1]).result()
    }

    /// The stages among these nodes, as a layer has them, and what is added before them.
    pub fn stages(&self, nodes: &[NodeId], outputs: u32) -> (Layer, Option<Value>) {
        let mut layer = Layer { outputs: outputs as usize, activation: Activation::Identity, dropout: 0.0 };
        let mut addend = None;
        for (at, &id) in nodes.iter().enumerate() {
            let node = self.graph.node(id);
            match &node.op {
                Op::Activate(activate) => layer.activation = activate.0,
                Op::ActivateBackward(activate) => layer.activation = activate.0,
                Op::Dropout(dropout) => layer.dropout = dropout.probability,
                Op::DropoutBackward(dropout) => layer.dropout = dropout.0.probability,
                Op::Add(_) => {
                    let before = self.graph.node(nodes[at - 1]).result();
                    addend = node.inputs.iter().copied().find(|&input| input != before);
                }
                _ => {}
            }
        }
        (layer, addend)
    }
}

/// The buffer of every value that is stored.
pub(super) struct Homes(HashMap<Value, Role>);

impl Homes {
    /// Assigns them: a group stores what its last node makes, and a loss its gradient besides.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] for an op that no kernel computes, and for a value that is read by another kernel and stored by none: a mistake in this crate.
    pub fn of(step: &Step<'_>, groups: &[Group]) -> Result<Homes, Error> {
        let mut homes = HashMap::new();
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
                        homes.insert(step.end(group), Homes::gradient_below(step, &homes, layer, step.end(group)));
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
                    let (layer, end) = (linear.parameter, step.end(group));
                    homes.insert(end, Homes::gradient_below(step, &homes, layer, end));
                }
                Op::LinearWeights(linear) => {
                    homes.insert(step.graph.node(group.nodes[0]).result(), Role::WeightGradient(linear.parameter));
                }
                _ => {}
            }
        }
        let homes = Homes(homes);
        groups.iter().try_for_each(|group| homes.check(step, group))?;
        Ok(homes)
    }

    /// That a kernel computes the group, and finds in memory what the group does not make itself.
    fn check(&self, step: &Step<'_>, group: &Group) -> Result<(), Error> {
        let wrong = |op: &Op, reason| Err(Error::Kernel { kernel: op.to_string(), reason });
        let alone = step.op(group);
        if matches!(
            alone,
            Op::Add(_) | Op::Activate(_) | Op::Dropout(_) | Op::ActivateBackward(_) | Op::DropoutBackward(_)
        ) {
            return wrong(alone, "no kernel computes this op by itself".into());
        }
        for node in group.nodes.iter().map(|&id| step.graph.node(id)) {
            // The second input of a derivative is a stage's result, which the kernel derives from the layer's output.
            let read = match node.op {
                Op::ActivateBackward(_) | Op::DropoutBackward(_) => &node.inputs[..1],
                _ => &node.inputs[..],
            };
            let is_stored = |&&input: &&Value| {
                let maker = step.graph.maker(input);
                let is_elsewhere = matches!(step.graph.node(maker).op, Op::Source(_) | Op::GradientNorm(_));
                is_elsewhere || group.nodes.contains(&maker) || self.0.contains_key(&input)
            };
            if read.iter().any(|input| !is_stored(&input)) {
                return wrong(&node.op, "it reads a value that no kernel stores".into());
            }
        }
        Ok(())
    }

    /// Where the gradient that goes below a layer is: that of the layer below, or a part of it, which a later product adds.
    fn gradient_below(step: &Step<'_>, homes: &HashMap<Value, Role>, layer: usize, end: Value) -> Role {
        let reader = step.graph.only_reader(end).map(|reader| &step.graph.node(reader).op);
        let below = step.input_of(layer).and_then(|input| homes.get(&input));
        match (reader, below) {
            (Some(Op::Add(_)), _) => Role::InputGradient(layer),
            (_, Some(&Role::Activations(below))) => Role::Gradient(below),
            _ => Role::InputGradient(layer),
        }
    }

    /// The buffer of a value. [`of`](Self::of) has checked that those which kernels hand on have one; the others' is never bound.
    pub fn role(&self, value: Value) -> Role {
        self.0.get(&value).copied().unwrap_or(Role::State)
    }

    /// Where a layer's input is, and how its rows are read.
    pub fn input(&self, step: &Step<'_>, layer: usize) -> (Role, Input) {
        let role = step.input_of(layer).map_or(Role::State, |input| self.role(input));
        (role, if role == Role::Set(0) { step.request.set.element.input() } else { Input::Activations })
    }
}
