//! A step on its way to a plan: the graph and the sizes of its layers.

use std::collections::HashMap;

use super::Request;
use super::strips::InStrips;
use crate::activation::{Activation, Epilogue};
use crate::graph::{Dropout, Graph, Node, NodeId, Op, Pass, Value, image_of};
use crate::kernel::Input;
use crate::kernel::map::Rows;
use crate::layout::{Dense, Extent};
use crate::network::Parameter;
use crate::targets::Targets;

/// Nodes that one kernel computes. The first says which kernel; the others are stages of it, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub nodes: Vec<NodeId>,
}

/// What the passes of a plan hand on.
pub(super) struct Step<'a> {
    pub request: Request<'a>,
    pub graph: Graph,
    /// The network's parameters, by their numbers.
    pub parameters: Vec<Parameter>,
    /// The sizes of each in a minibatch.
    pub dense: Vec<Dense>,
    /// The rows that are computed: the minibatch's, or the first of them.
    pub rows: u32,
    /// The input of every product, by its parameter.
    inputs: HashMap<usize, Value>,
    /// The loss, where there is one.
    loss: Option<NodeId>,
    /// Its last layer, where that and the loss go over the rows a strip at a time.
    pub in_strips: Option<InStrips>,
}

impl<'a> Step<'a> {
    pub fn new(request: Request<'a>, graph: Graph) -> Self {
        let parameters = request.network.named_parameters();
        let dense = parameters.iter().map(|parameter| parameter.dense(request.batch)).collect();
        let input = |node: &Node| match node.op {
            Op::Linear(linear) => Some((linear.parameter, node.inputs[0])),
            Op::Conv2d(conv) => Some((conv.parameter, node.inputs[0])),
            _ => None,
        };
        let inputs = graph.nodes().filter_map(|(_, node)| input(node)).collect();
        let loss = graph.nodes().find(|(_, node)| matches!(node.op, Op::Loss(_))).map(|(id, _)| id);
        let in_strips = InStrips::of(&graph, request);
        Step { request, graph, parameters, dense, rows: request.batch, inputs, loss, in_strips }
    }

    /// A minibatch's rows of the set: as wide as the network's input, also where its first layer has no weights. Images are rows here, too.
    pub fn features(&self) -> Rows {
        Rows { batch: self.request.batch, width: self.request.network.inputs() as u32, is_image: false }
    }

    /// Places of a row that have logits and a label each.
    pub fn places(&self) -> u64 {
        self.request.network.places().map_or(1, u64::from)
    }

    /// Labels, or rows of target values, of the whole set.
    pub fn targets(&self) -> u64 {
        match (self.request.network.places(), self.request.set.tokens()) {
            (Some(places), Some(layout)) => layout.tokens(self.request.set.rows, places),
            (places, _) => self.request.set.rows * places.map_or(1, u64::from),
        }
    }

    /// The parameters that an optimizer updates, by number.
    pub fn trained(&self) -> Vec<usize> {
        let is_frozen = |number| self.request.training.is_some_and(|training| training.groups.is_frozen(number));
        let all = self.parameters.iter().enumerate();
        all.filter(|&(number, parameter)| parameter.is_trained() && !is_frozen(number))
            .map(|(number, _)| number)
            .collect()
    }

    /// Whether it changes the network: not where gradients alone are wanted, or an evaluation.
    pub fn updates(&self) -> bool {
        self.graph.nodes().any(|(_, node)| matches!(node.op, Op::Update(_) | Op::Orthogonalize(_)))
    }

    /// Where the layers are that a group's nodes are ops of, that of the first node first.
    pub fn layers(&self, group: &Group) -> Vec<String> {
        let mut own: Vec<usize> = vec![];
        for layer in group.nodes.iter().filter_map(|&id| self.graph.layer(id)) {
            if !own.contains(&layer) {
                own.push(layer);
            }
        }
        own.into_iter().map(|layer| self.graph.layers()[layer].clone()).collect()
    }

    /// The form that the loss takes the targets in.
    pub fn device_targets(&self) -> Targets {
        self.request.loss.targets(self.request.targets)
    }

    /// The input of a dense layer or a convolution.
    pub fn input_of(&self, parameter: usize) -> Option<Value> {
        self.inputs.get(&parameter).copied()
    }

    /// The input of the product with an embedding's table, where there is one.
    pub fn input_of_tied(&self) -> Option<Value> {
        let tied = self.graph.nodes().find(|(_, node)| matches!(node.op, Op::Tied(_)));
        tied.map(|(_, node)| node.inputs[0])
    }

    /// The pass that a node belongs to: the loss ends the forward one.
    pub fn pass(&self, id: NodeId) -> Pass {
        if self.loss.is_some_and(|loss| id > loss) { Pass::Backward } else { Pass::Forward }
    }

    /// How the rows of a dense layer's input are read: from the set where no kernel gathers them.
    pub fn input_kind(&self, parameter: usize) -> Input {
        let maker = self.input_of(parameter).map(|input| self.graph.maker(input));
        let is_set = maker.is_some_and(|maker| self.is_gathered_by_readers(maker));
        let input = self.input_of(parameter).map(|input| Extent::of(self.graph.shape(input)));
        match is_set {
            true => self.request.set.element.input(),
            false if input.is_some_and(|input| input.is_image) => Input::Flattened,
            false => Input::Activations,
        }
    }

    /// Whether no kernel gathers a minibatch: of a set in one buffer, of features as they are, products find the rows by themselves.
    pub fn is_gathered_by_readers(&self, id: NodeId) -> bool {
        let node = self.graph.node(id);
        let is_product = |reader| matches!(self.graph.node(reader).op, Op::Linear(_) | Op::LinearWeights(_));
        let is_image = image_of(self.graph.shape(node.result())).is_some();
        let loads = matches!(node.op, Op::Gather(_)) && !self.request.set.is_gathered() && !is_image;
        loads && self.graph.readers(node.result()).all(is_product)
    }

    /// The first of a group's ops that derives, which reads what the forward pass stored.
    pub fn derived(&self, group: &Group) -> Option<&Node> {
        let mut nodes = group.nodes.iter().map(|&id| self.graph.node(id));
        nodes.find(|node| node.op.is_derivative())
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
                // What begins a kernel, or is computed beside it. All are named, so that no stage can be left out here.
                Op::Source(_) | Op::Gather(_) | Op::Linear(_) | Op::LinearInput(_) | Op::LinearWeights(_) => {}
                Op::Conv2d(_) | Op::ConvInput(_) | Op::ConvWeights(_) | Op::Flatten(_) | Op::Unflatten(_) => {}
                Op::MaxPool(_) | Op::MaxPoolBackward(_) | Op::AveragePool(_) | Op::AveragePoolBackward(_) => {}
                Op::GlobalAveragePool(_) | Op::GlobalAveragePoolBackward(_) => {}
                Op::BatchNorm(_) | Op::BatchNormWeights(_) | Op::BatchNormInput(_) => {}
                Op::RowNorm(_) | Op::RowNormWeights(_) | Op::RowNormInput(_) => {}
                Op::Embed(_) | Op::EmbedWeights(_) => {}
                Op::Embedding(_) | Op::EmbeddingWeights(_) | Op::Positions(_) | Op::PositionsWeights(_) => {}
                Op::Attention(_) | Op::AttentionInput(_) => {}
                Op::Tied(_) | Op::TiedInput(_) | Op::TiedWeights(_) => {}
                Op::Loss(_) | Op::Metrics(_) | Op::GradientNorm(_) | Op::Update(_) | Op::Orthogonalize(_) => {}
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
