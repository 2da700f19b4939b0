//! A step on its way to a plan: the graph and the sizes of its layers.

use super::Request;
use super::fuse::Group;
use crate::activation::{Activation, Epilogue};
use crate::graph::{Dropout, Graph, Linear, NodeId, Op, Value};
use crate::kernel::map::Rows;
use crate::layout::Dense;
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
        let dense = request.network.dense_sizes(request.batch);
        Step { request, graph, dense, rows: request.batch }
    }

    /// A minibatch's rows of the set: as wide as the network's input, whatever its first weights take.
    pub fn features(&self) -> Rows {
        Rows { batch: self.request.batch, width: self.request.network.inputs() as u32 }
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

    /// The stages among these nodes.
    pub fn stages(&self, nodes: &[NodeId]) -> Stages {
        let mut stages = Stages { epilogue: Epilogue::of(Activation::Identity), dropout_number: None, addend: None };
        for (at, &id) in nodes.iter().enumerate() {
            let node = self.graph.node(id);
            let mut drops_out = |dropout: Dropout| {
                stages.epilogue.dropout = dropout.probability;
                stages.dropout_number = Some(dropout.layer);
            };
            match &node.op {
                Op::Activate(activate) => stages.epilogue.activation = activate.0,
                Op::ActivateBackward(activate) => stages.epilogue.activation = activate.0,
                Op::Dropout(dropout) => drops_out(*dropout),
                Op::DropoutBackward(dropout) => drops_out(dropout.0),
                Op::Add(_) => {
                    let before = if at == 0 { node.inputs[0] } else { self.graph.node(nodes[at - 1]).result() };
                    // By its position: a value may be added to itself.
                    let own = node.inputs.iter().position(|&input| input == before).unwrap_or(0);
                    stages.addend = Some(node.inputs[1 - own]);
                }
                _ => {}
            }
        }
        stages
    }
}

/// What follows a product's sum, or is computed by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stages {
    pub epilogue: Epilogue,
    /// What tells the masks of its dropout from those of others.
    pub dropout_number: Option<usize>,
    /// What is added before the activation.
    pub addend: Option<Value>,
}
