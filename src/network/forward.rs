//! A network's ops, which its layers write one after the other.

use super::{Form, Layer, Network, Parameter};
use crate::graph::{Dropout, Flatten, Gather, Graph, Op, Source, Tied, Value};

/// A graph to which layers add their ops.
pub(super) struct Forward {
    graph: Graph,
    /// Whether units drop out.
    training: bool,
    /// The most places of the one sequence that rows are places of, if they are.
    continues: Option<u32>,
    /// The network's parameters, and how many have been written.
    all: Vec<Parameter>,
    parameters: usize,
    /// How many layers without parameters have been written.
    unweighted: usize,
    /// The table of the embedding, once it has been written.
    table: Option<(Tied, Value)>,
    /// How many layers have been begun, each before those within it.
    layers: usize,
}

/// See [`Network::forward`], and [`Network::continuation`] for one that `continues`.
pub(super) fn forward(network: &Network, batch: u32, training: bool, continues: Option<u32>) -> (Graph, Value) {
    let all = network.named_parameters();
    let mut locations = vec![];
    network.walk(&mut |located| locations.push(located.location));
    let graph = Graph::of_layers(locations);
    let mut forward = Forward { graph, training, continues, all, parameters: 0, unweighted: 0, table: None, layers: 0 };
    let shape = match network.input() {
        Form::Image(image) => vec![image.height, image.width, image.channels],
        input => vec![input.values() as u32],
    };
    let features = forward.graph.source(Source::Features, shape);
    let x = forward.graph.add(Gather { batch }, vec![features]);
    let logits = forward.layers(x, network.input(), network.layers());
    (forward.graph, logits)
}

impl Forward {
    /// Adds layers that follow each other.
    pub fn layers(&mut self, x: Value, input: Form, layers: &[Layer]) -> Value {
        let one = |(x, input), layer: &Layer| (self.layer(x, input, layer), layer.output(input));
        layers.iter().fold((x, input), one).0
    }

    /// Adds a layer: the ops of its kind, then its activation and its dropout. A number tells a dropout's masks from those of others: it is that of the
    /// layer's weights, and layers without weights follow those that have any.
    fn layer(&mut self, x: Value, input: Form, layer: &Layer) -> Value {
        let (of_weights, own) = (self.parameters, self.layers);
        self.layers += 1;
        let outer = self.graph.enter(Some(own));
        let z = layer.kind().write(x, input, self);
        let number = if self.parameters > of_weights && !layer.has_lists() {
            of_weights
        } else {
            self.unweighted += 1;
            self.all.len() + self.unweighted - 1
        };
        let y = self.graph.activated(z, layer.activation());
        let probability = layer.dropout();
        let y = match self.training && probability > 0.0 {
            true => self.graph.add(Dropout { layer: number, probability }, vec![y]),
            false => y,
        };
        // What a layer passes on as it is, is the output of the one before.
        if y != x {
            self.graph.name(y, own);
        }
        self.graph.enter(outer);
        y
    }

    /// Adds the layer's next parameter, and gives its number and its value.
    pub fn parameter(&mut self) -> (usize, Value) {
        let parameter = self.parameters;
        self.parameters += 1;
        let own = &self.all[parameter];
        let source = if own.is_trained() { Source::Parameter(parameter) } else { Source::Statistics(parameter) };
        (parameter, self.graph.source(source, vec![own.inputs as u32 + 1, own.outputs as u32]))
    }

    /// Keeps the table of the network's embedding for a last layer that has it too.
    pub fn remember_table(&mut self, tied: Tied, table: Value) {
        self.table = Some((tied, table));
    }

    /// Adds the product with the embedding's table. A network without one does not pass its check.
    pub fn tied(&mut self, x: Value) -> Value {
        match self.table {
            Some((tied, table)) => self.graph.add(tied, vec![x, table]),
            None => x,
        }
    }

    /// The number that the next parameter will have.
    pub fn next_parameter(&self) -> usize {
        self.parameters
    }

    /// Adds an op, and gives its first result.
    pub fn op(&mut self, op: impl Into<Op>, inputs: Vec<Value>) -> Value {
        self.graph.add(op, inputs)
    }

    /// A layer's input as a row of features, where it is an image that was flattened: a dense layer takes that as it is, and any other as its own op.
    pub fn features(&mut self, x: Value, input: Form) -> Value {
        match input {
            Form::Flattened(image) => self.graph.add(Flatten { image, by_place: false }, vec![x]),
            Form::FlattenedSequence(sequence) => {
                self.graph.add(Flatten { image: sequence.image(), by_place: true }, vec![x])
            }
            _ => x,
        }
    }

    /// Whether the graph is one of a step that trains.
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// The most places of the sequence that the graph continues: rows are its places, and no samples.
    pub fn continues(&self) -> Option<u32> {
        self.continues
    }

    /// Rows of the minibatch.
    pub fn batch(&self, x: Value) -> u32 {
        self.graph.shape(x)[0]
    }
}
