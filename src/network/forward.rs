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
}

/// See [`Network::forward`].
pub(super) fn forward(network: &Network, batch: u32, training: bool) -> (Graph, Value) {
    let all = network.named_parameters().len();
    let mut forward = Forward { graph: Graph::default(), training, parameters: 0, unweighted: 0, all };
    let features = forward.graph.source(Source::Features, vec![network.inputs() as u32]);
    let x = forward.graph.add(Gather { batch }, vec![features]);
    let logits = forward.layers(x, network.layers());
    (forward.graph, logits)
}

impl Forward {
    /// Adds layers that follow each other.
    pub fn layers(&mut self, x: Value, layers: &[Layer]) -> Value {
        layers.iter().fold(x, |x, layer| layer.write(x, self))
    }

    /// Adds a product with weights of its own, and gives their number.
    pub fn linear(&mut self, x: Value, outputs: usize) -> (Value, usize) {
        let parameter = self.parameters;
        self.parameters += 1;
        let inputs = self.graph.shape(x)[1];
        let weights = self.graph.source(Source::Parameter(parameter), vec![inputs + 1, outputs as u32]);
        (self.graph.add(Linear { parameter }, vec![x, weights]), parameter)
    }

    /// Adds an op of a layer that has no weights of its own, and gives its number: these follow those of the layers with weights.
    pub fn unweighted(&mut self, op: impl Into<Op>, inputs: Vec<Value>) -> (Value, usize) {
        self.unweighted += 1;
        (self.graph.add(op, inputs), self.all + self.unweighted - 1)
    }

    /// Adds an activation and a dropout. The number tells this dropout's masks from those of others.
    pub fn epilogue(&mut self, z: Value, Epilogue { activation, dropout }: Epilogue, number: usize) -> Value {
        let y = self.graph.activated(z, activation);
        match self.training && dropout > 0.0 {
            true => self.graph.add(Dropout { layer: number, probability: dropout }, vec![y]),
            false => y,
        }
    }
}
