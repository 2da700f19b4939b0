//! What a step computes: ops on logical shapes, before anything is said of kernels, padding or buffers.
//!
//! A network writes its [forward](crate::Network::forward) ops; the loss follows; `backward` walks them in reverse and adds the ops of the gradients;
//! `update` adds those that change the weights. The order of nodes is one in which they can be computed. A graph prints itself.

mod activate;
mod add;
mod attention;
mod backward;
mod conv;
mod dropout;
mod embed;
mod embedding;
mod flatten;
#[cfg(feature = "cli")]
mod flops;
mod gather;
mod linear;
mod loss;
mod norm;
mod operation;
mod pool;
mod source;
mod tied;
mod update;

use std::collections::BTreeMap;
use std::fmt;

pub use self::activate::{Activate, ActivateBackward};
pub use self::add::Add;
pub use self::attention::{Attention, AttentionInput};
use self::backward::ParameterGradient;
pub use self::conv::{Conv2d, ConvInput, ConvWeights};
pub use self::dropout::{Dropout, DropoutBackward};
pub use self::embed::{Embed, EmbedColumn, EmbedWeights};
pub use self::embedding::{Embedding, EmbeddingWeights, Positions, PositionsWeights};
pub use self::flatten::{Flatten, Unflatten};
pub use self::gather::Gather;
pub(crate) use self::linear::image_of;
pub use self::linear::{Linear, LinearInput, LinearWeights};
pub use self::loss::{Loss, Metrics};
pub use self::norm::{BatchNorm, BatchNormInput, BatchNormWeights, Over, RowNorm, RowNormInput, RowNormWeights};
pub use self::operation::Op;
use self::operation::Operation;
pub(crate) use self::operation::{Pass, Stage};
pub use self::pool::{
    AveragePool, AveragePoolBackward, GlobalAveragePool, GlobalAveragePoolBackward, MaxPool, MaxPoolBackward,
};
pub use self::source::Source;
pub use self::tied::{Tied, TiedInput, TiedWeights};
pub use self::update::{GradientNorm, Orthogonalize, Update};
use crate::error::Error;
use crate::training::Training;

/// The logical shape of a tensor, `[rows, features]`, `[rows, height, width, channels]` or `[inputs and bias, outputs]`: without padding.
pub type Shape = Vec<u32>;

/// A tensor of the graph: a result of one of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(usize);

/// A node of the graph, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

/// An op, what it reads and what it makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// What it is computed from, in the op's own order.
    pub inputs: Vec<Value>,
    /// What comes out, in the op's own order.
    pub results: Vec<Value>,
}

impl Node {
    /// The first result, which is the only one of most ops.
    pub fn result(&self) -> Value {
        self.results[0]
    }
}

/// Ops in an order in which they can be computed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    shapes: Vec<Shape>,
    makers: Vec<NodeId>,
    readers: Vec<Vec<NodeId>>,
    /// Where the network's layers are, each before those within it.
    layers: Vec<String>,
    /// Of each node, the layer that it is an op of.
    owners: Vec<Option<usize>>,
    /// The layer whose ops are added.
    owner: Option<usize>,
    /// Of values that are outputs of layers, the layer.
    outputs: BTreeMap<Value, usize>,
}

impl Graph {
    /// No ops yet, of a network whose layers are here.
    pub(crate) fn of_layers(layers: Vec<String>) -> Graph {
        Graph { layers, ..Graph::default() }
    }

    /// A step that evaluates, from the forward pass and its logits: the loss of `batch` rows, and where `metrics` are wanted, what they are counted or
    /// summed from.
    pub fn of_evaluation((mut graph, logits): (Graph, Value), batch: u32, metrics: bool) -> Graph {
        let targets = graph.source(Source::Targets, vec![batch]);
        graph.add(Loss { trains: false }, vec![logits, targets]);
        if metrics {
            graph.add(Metrics, vec![logits, targets]);
        }
        graph
    }

    /// A step that computes the gradient by every parameter, from the forward pass and its logits, and changes none.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] for an op that has no gradient: a mistake in this crate.
    pub fn of_gradients(forward: (Graph, Value), batch: u32) -> Result<Graph, Error> {
        Ok(Graph::with_gradients(forward, batch)?.0)
    }

    /// A step that trains, from the forward pass and its logits.
    ///
    /// # Errors
    ///
    /// As [`of_gradients`](Self::of_gradients).
    pub fn of_training(mut forward: (Graph, Value), batch: u32, training: Training<'_>) -> Result<Graph, Error> {
        forward.0.freeze(training);
        let (mut graph, gradients) = Graph::with_gradients(forward, batch)?;
        update::update(&mut graph, &gradients, training);
        Ok(graph)
    }

    /// The forward pass, the loss and the backward pass, with the gradient by every parameter, the last layer's first.
    fn with_gradients(
        (mut graph, logits): (Graph, Value),
        batch: u32,
    ) -> Result<(Graph, Vec<ParameterGradient>), Error> {
        let targets = graph.source(Source::Targets, vec![batch]);
        let loss = graph.push(Loss { trains: true }, vec![logits, targets]);
        let gradient = graph.node(loss).results[1];
        let gradients = backward::backward(&mut graph, logits, gradient)?;
        Ok((graph, gradients))
    }

    /// Adds a node, and gives its place.
    fn push(&mut self, op: impl Into<Op>, inputs: Vec<Value>) -> NodeId {
        let (op, id) = (op.into(), NodeId(self.nodes.len()));
        let shapes: Vec<&Shape> = inputs.iter().map(|&input| self.shape(input)).collect();
        let own = op.results(&shapes);
        let results = (self.shapes.len()..self.shapes.len() + own.len()).map(Value).collect();
        self.makers.extend(own.iter().map(|_| id));
        self.readers.extend(own.iter().map(|_| vec![]));
        for (at, input) in inputs.iter().enumerate() {
            // Once, where a node reads a value twice.
            if !inputs[..at].contains(input) {
                self.readers[input.0].push(id);
            }
        }
        self.shapes.extend(own);
        self.owners.push(self.owner);
        self.nodes.push(Node { op, inputs, results });
        id
    }

    /// Adds a node, and gives its first result.
    pub(crate) fn add(&mut self, op: impl Into<Op>, inputs: Vec<Value>) -> Value {
        let id = self.push(op, inputs);
        self.node(id).result()
    }

    /// Adds a tensor that the step is given.
    pub(crate) fn source(&mut self, source: Source, shape: Shape) -> Value {
        let value = self.add(source, vec![]);
        self.shapes[value.0] = shape;
        value
    }

    /// Lets two ops of one input change places: what read the first's result reads the second's, and the other way round. The first has one result, which
    /// nothing but the second reads. It has no place in the network any more.
    pub(crate) fn swap(&mut self, first: NodeId, second: NodeId) {
        let (early, late) = (self.node(first).clone(), self.node(second).clone());
        let (between, end) = (early.result(), late.result());
        self.shapes[between.0] = self.shape(end).clone();
        self.outputs.remove(&between);
        self.owners.swap(first.0, second.0);
        let others = &late.results[1..];
        others.iter().for_each(|other| self.makers[other.0] = first);
        let results = [&[between], others].concat();
        self.nodes[first.0] = Node { op: late.op, inputs: early.inputs, results };
        self.nodes[second.0] = Node { op: early.op, inputs: late.inputs, results: vec![end] };
    }

    /// The node with this place.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Every node, in order.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(at, node)| (NodeId(at), node))
    }

    /// Says whose ops are added from here on: those of a layer by its number, or of none. Gives whose were added before.
    pub(crate) fn enter(&mut self, layer: Option<usize>) -> Option<usize> {
        std::mem::replace(&mut self.owner, layer)
    }

    /// Says which layer's output a value is, by the layer's number: that of the first which says so, where others pass it on.
    pub(crate) fn name(&mut self, value: Value, layer: usize) {
        self.outputs.entry(value).or_insert(layer);
    }

    /// The number of the innermost layer that a node is an op of: in the forward pass, in the backward pass as a part of its gradients, or as the update of
    /// its weights. The loss and what comes before the first layer are of none.
    pub fn layer(&self, id: NodeId) -> Option<usize> {
        self.owners[id.0]
    }

    /// Where all layers of the network are, by their number, as "layer 2's body, layer 1": each before those within it.
    pub fn layers(&self) -> &[String] {
        &self.layers
    }

    /// The outputs of layers, each with where its layer is in the network, as "layer 2's body, layer 1".
    pub fn outputs(&self) -> impl Iterator<Item = (Value, &str)> {
        self.outputs.iter().map(|(&value, &layer)| (value, &self.layers[layer][..]))
    }

    /// The shape of a value.
    pub fn shape(&self, value: Value) -> &Shape {
        &self.shapes[value.0]
    }

    /// The node that makes a value.
    pub fn maker(&self, value: Value) -> NodeId {
        self.makers[value.0]
    }

    /// The nodes that read a value, in order.
    pub fn readers(&self, value: Value) -> impl Iterator<Item = NodeId> {
        self.readers[value.0].iter().copied()
    }

    /// The one node that reads a value, if there is one only.
    pub fn only_reader(&self, value: Value) -> Option<NodeId> {
        let mut readers = self.readers(value);
        readers.next().filter(|_| readers.next().is_none())
    }
}

impl fmt::Display for Graph {
    /// A line a node: `%5 [32, 256] = linear 0 (%1, %4)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            let results: Vec<String> =
                node.results.iter().map(|&value| format!("%{} {:?}", value.0, self.shape(value))).collect();
            let inputs: Vec<String> = node.inputs.iter().map(|value| format!("%{}", value.0)).collect();
            writeln!(f, "{} = {} ({})", results.join(", "), node.op, inputs.join(", "))?;
        }
        Ok(())
    }
}
