//! A network's ops, which its layers write one after the other.

use super::{Layer, Network};
use crate::activation::Epilogue;
use crate::graph::{Dropout, Gather, Graph, Linear, Op, Source, Value};

/// A graph to which layers add their ops.
pub(super) struct Forward {
    graph: Graph,
    /// Whether units drop out.
    training: bool,
    /// How many layers with weights, and how many without, have been written.
    parameters: usize,
    unweighted: usize,
    /// How many layers with weights there are.
    all: usize,
    /// Where the layers are that have not been written, each before those within it.
    locations: std::vec::IntoIter<String>,
}

/// See [`Network::forward`].
pub(super) fn forward(network: &Network, batch: u32, training: bool) -> (Graph, Value) {
    let all = network.named_parameters().len();
    let mut locations = vec![];
    network.walk(&mut |located| locations.push(located.location));
    let locations = locations.into_iter();
    let mut forward = Forward { graph: Graph::default(), training, parameters: 0, unweighted: 0, all, locations };
    let features = forward.graph.source(Source::Features, vec![network.inputs() as u32]);
    let x = forward.graph.add(Gather { batch }, vec![features]);
    let logits = forward.layers(x, network.layers());
    (forward.graph, logits)
}

impl Forward {
    /// Adds layers that follow each other.
    pub fn layers(&mut self, x: Value, layers: &[Layer]) -> Value {
        layers.iter().fold(x, |x, layer| self.layer(x, layer))
    }

    /// Adds a layer: the ops of its kind, then its activation and its dropout. A number tells a dropout's masks from those of others: it is that of the
    /// layer's weights, and layers without weights follow those that have any.
    fn layer(&mut self, x: Value, layer: &Layer) -> Value {
        let (of_weights, location) = (self.parameters, self.locations.next());
        let z = layer.kind().write(x, self);
        let number = if layer.kind().has_weights() {
            of_weights
        } else {
            self.unweighted += 1;
            self.all + self.unweighted - 1
        };
        let Epilogue { activation, dropout } = layer.epilogue;
        let y = self.graph.activated(z, activation);
        let y = match self.training && dropout > 0.0 {
            true => self.graph.add(Dropout { layer: number, probability: dropout }, vec![y]),
            false => y,
        };
        location.into_iter().for_each(|location| self.graph.name(y, location));
        y
    }

    /// Adds a product with weights of its own.
    pub fn linear(&mut self, x: Value, outputs: usize) -> Value {
        let parameter = self.parameters;
        self.parameters += 1;
        let inputs = self.graph.shape(x)[1];
        let weights = self.graph.source(Source::Parameter(parameter), vec![inputs + 1, outputs as u32]);
        self.graph.add(Linear { parameter }, vec![x, weights])
    }

    /// Adds an op that has no weights.
    pub fn op(&mut self, op: impl Into<Op>, inputs: Vec<Value>) -> Value {
        self.graph.add(op, inputs)
    }
}
