//! The forward pass of a graph in f64, node after node, in plain loops: what kernels, plans and gradients are judged by. It knows the meaning of each op and
//! nothing of what computes it on a device. Gradients are central differences of it, which share no line with any backward pass.

use std::collections::BTreeMap;

use super::network::{Layer, activate};
use super::{dense_forward, norm, sliding, tokens};
use crate::activation::Activation;
use crate::graph::{Dropout, Graph, Linear, Node, NodeId, Op, Source, Value};
use crate::layout::Image;
use crate::network::Network;

/// The factor of a unit under dropout: of the dropout with a number, in a row, of a unit of that row, of a number of units, at a rate. An image's rows are its
/// pixels, and their units its channels.
pub type Mask<'a> = &'a dyn Fn(usize, usize, usize, usize, f64) -> f64;

/// The factor of an element of a value that a node has computed.
pub type Rounding<'a> = &'a dyn Fn(Value, usize) -> f64;

/// A network's forward pass.
pub struct Interpreter<'a> {
    graph: Graph,
    logits: Value,
    mask: Mask<'a>,
    activate: &'a dyn Fn(Activation, f64) -> f64,
    rounding: Rounding<'a>,
}

/// The values of a forward pass.
#[derive(Clone, Default)]
pub struct Values {
    rows: usize,
    of: BTreeMap<Value, Vec<f64>>,
    /// The running statistics after the step, by their parameter: means as weights, variances as bias. Only of a pass that trains.
    pub statistics: BTreeMap<usize, Layer>,
}

impl Values {
    /// The elements of a value, row-major and without padding; images have their channels last.
    ///
    /// # Panics
    ///
    /// For a value that is not computed on the way to the logits, and for parameters.
    pub fn of(&self, value: Value) -> &[f64] {
        &self.of[&value]
    }
}

/// Central differences of this distance.
const STEP: f64 = 1e-6;

impl<'a> Interpreter<'a> {
    /// The forward pass of an evaluation.
    pub fn evaluating(network: &Network) -> Self {
        Self::of(network.forward(1, false))
    }

    /// The forward pass of a step that trains, whose units drop out by these masks.
    pub fn training(network: &Network, mask: Mask<'a>) -> Self {
        Interpreter { mask, ..Self::of(network.forward(1, true)) }
    }

    /// The forward pass of a graph, up to these logits. The graph's own number of rows does not matter: that of the features that come in does.
    pub fn of((graph, logits): (Graph, Value)) -> Self {
        Interpreter { graph, logits, mask: &|_, _, _, _, _| 1.0, activate: &activate, rounding: &|_, _| 1.0 }
    }

    /// With a factor for every element that a node computes, near 1: as another arithmetic would round it. The gradients have the factors, too, each where the
    /// gradient by that element comes in.
    #[must_use]
    pub fn with_rounding(self, rounding: Rounding<'a>) -> Self {
        Interpreter { rounding, ..self }
    }

    /// With these activations, for a user's own.
    #[must_use]
    pub fn with_activations(self, activate: &'a dyn Fn(Activation, f64) -> f64) -> Self {
        Interpreter { activate, ..self }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The logits of a minibatch `[rows, outputs]`, from its features `[rows, features]`.
    ///
    /// # Panics
    ///
    /// For an activation of the user's own, unless [`with_activations`](Self::with_activations) says what it is.
    pub fn logits(&self, layers: &[Layer], x: &[f64]) -> Vec<f64> {
        let mut values = self.values(layers, x);
        values.of.remove(&self.logits).unwrap_or_default()
    }

    /// All values of a minibatch, from its features.
    pub fn values(&self, layers: &[Layer], x: &[f64]) -> Values {
        let mut values = Values::default();
        for node in self.nodes() {
            let results = match node.op {
                Op::Source(_) => continue,
                // The minibatch's rows are given.
                Op::Gather(_) => {
                    values.rows = x.len() / elements(&self.graph.shape(node.result())[1..]);
                    vec![self.rounded(node, x.to_vec())]
                }
                _ => {
                    if let Some((parameter, moved)) = self.statistics(node, layers, &values) {
                        values.statistics.insert(parameter, moved);
                    }
                    self.rounded_results(node, layers, values.rows, &|value| values.of(value), None)
                }
            };
            values.of.extend(node.results.iter().copied().zip(results));
        }
        values
    }

    /// ∂loss/∂w for every weight and bias, by central differences. `loss` is that of logits.
    pub fn gradient(&self, layers: &[Layer], x: &[f64], loss: &dyn Fn(&[f64]) -> f64) -> Vec<Layer> {
        self.some_of_gradient(layers, x, loss, usize::MAX)
    }

    /// As [`gradient`](Self::gradient), but NaN for all but at most this many elements of each parameter's weights and of its bias, spread over all of them:
    /// a difference costs two forward passes.
    pub fn some_of_gradient(
        &self,
        layers: &[Layer],
        x: &[f64],
        loss: &dyn Fn(&[f64]) -> f64,
        most: usize,
    ) -> Vec<Layer> {
        let values = self.values(layers, x);
        let (mut moved, mut gradient) = (layers.to_vec(), layers.to_vec());
        for at in 0..layers.len() {
            let parts: [fn(&mut Layer) -> &mut Vec<f64>; 2] = [|layer| &mut layer.weights, |layer| &mut layer.bias];
            for part in parts {
                let count = part(&mut moved[at]).len();
                part(&mut gradient[at]).fill(f64::NAN);
                // Odd, so that a power of two, which sizes often are, does not keep columns from being visited.
                let stride = count.div_ceil(most) | 1;
                for i in (0..count).step_by(stride) {
                    let value = part(&mut moved[at])[i];
                    let mut beside = |by: f64| {
                        part(&mut moved[at])[i] = value + by;
                        loss(&self.logits_after(at, &moved, &values))
                    };
                    let slope = (beside(STEP) - beside(-STEP)) / (2.0 * STEP);
                    part(&mut moved[at])[i] = value;
                    part(&mut gradient[at])[i] = slope;
                }
            }
        }
        gradient
    }

    /// The logits where one parameter has changed since these values: only what it goes into is computed.
    fn logits_after(&self, changed: usize, layers: &[Layer], values: &Values) -> Vec<f64> {
        let mut anew: BTreeMap<Value, Vec<f64>> = BTreeMap::new();
        for node in self.nodes() {
            let reads = |&input: &Value| anew.contains_key(&input) || self.parameter(input) == Some(changed);
            if node.inputs.iter().any(reads) {
                let get = |value: Value| anew.get(&value).map_or_else(|| values.of(value), Vec::as_slice);
                let results = self.rounded_results(node, layers, values.rows, &get, Some(values));
                anew.extend(node.results.iter().copied().zip(results));
            }
        }
        anew.remove(&self.logits).unwrap_or_else(|| values.of(self.logits).to_vec())
    }

    /// The nodes up to the logits.
    fn nodes(&self) -> impl Iterator<Item = &Node> {
        let last: NodeId = self.graph.maker(self.logits);
        self.graph.nodes().take_while(move |&(id, _)| id <= last).map(|(_, node)| node)
    }

    /// The number of the parameter, or of the running statistics, that a value is.
    fn parameter(&self, value: Value) -> Option<usize> {
        match self.graph.node(self.graph.maker(value)).op {
            Op::Source(Source::Parameter(index) | Source::Frozen(index) | Source::Statistics(index)) => Some(index),
            _ => None,
        }
    }

    /// The running statistics' number and new values, of a batch norm that trains.
    fn statistics(&self, node: &Node, layers: &[Layer], values: &Values) -> Option<(usize, Layer)> {
        match &node.op {
            Op::BatchNorm(norm) if norm.trains => {
                let moved = norm::moved_statistics(*norm, values.of(node.inputs[0]), &layers[norm.statistics]);
                Some((norm.statistics, moved))
            }
            _ => None,
        }
    }

    /// `x·W + b`, from rows or from images.
    fn linear(&self, node: &Node, x: &[f64], own: &Layer) -> Vec<f64> {
        let without = vec![0.0; self.graph.shape(node.result())[1] as usize];
        let bias = if own.bias.is_empty() { &without } else { &own.bias };
        let by_place = matches!(node.op, Op::Linear(Linear { by_place: true, .. }));
        match self.graph.shape(node.inputs[0])[..] {
            [_, height, width, channels] if !by_place => {
                dense_forward(&flattened(x, Image { height, width, channels }), &own.weights, bias, false)
            }
            _ => dense_forward(x, &own.weights, bias, false),
        }
    }

    /// The elements of a node's first result, with their rounding.
    fn rounded(&self, node: &Node, mut values: Vec<f64>) -> Vec<f64> {
        for (at, value) in values.iter_mut().enumerate() {
            *value *= (self.rounding)(node.result(), at);
        }
        values
    }

    /// How what a norm keeps is rounded.
    fn rounding_of<'v>(&'v self, node: &Node, around: Option<&'v Values>) -> norm::Rounding<'v> {
        let kept = node.results.get(1).copied();
        norm::Rounding { kept, factor: self.rounding, around: kept.and_then(|kept| Some(around?.of(kept))) }
    }

    /// What comes out of a node, rounded. The positions that pools keep have no rounding, and norms round what they keep before they use it. `around` are the values that
    /// these lie around, where a gradient is made of differences.
    fn rounded_results<'v>(
        &self,
        node: &Node,
        layers: &[Layer],
        rows: usize,
        get: &dyn Fn(Value) -> &'v [f64],
        around: Option<&Values>,
    ) -> Vec<Vec<f64>> {
        let mut results = self.results(node, layers, rows, get, around);
        results[0] = self.rounded(node, std::mem::take(&mut results[0]));
        results
    }

    /// What comes out of a node.
    fn results<'v>(
        &self,
        node: &Node,
        layers: &[Layer],
        rows: usize,
        get: &dyn Fn(Value) -> &'v [f64],
        around: Option<&Values>,
    ) -> Vec<Vec<f64>> {
        let x = get(node.inputs[0]);
        let channels = self.graph.shape(node.inputs[0]).last().map_or(1, |&last| last as usize);
        let layer = |at: usize| &layers[self.parameter(node.inputs[at]).unwrap_or_else(|| no_parameter(node))];
        match &node.op {
            Op::Linear(_) => vec![self.linear(node, x, layer(1))],
            Op::Conv2d(conv) => vec![sliding::conv(conv.conv, rows, x, layer(1))],
            Op::MaxPool(pool) => {
                let (y, winners) = sliding::max_pool(pool.sliding, rows, x);
                vec![y, winners]
            }
            Op::AveragePool(pool) => vec![sliding::average_pool(pool.0, rows, x)],
            Op::GlobalAveragePool(pool) => vec![sliding::global_average_pool(pool.0, rows, x)],
            Op::BatchNorm(norm) => norm::batch_norm(*norm, x, layer(1), layer(2), self.rounding_of(node, around)),
            Op::RowNorm(norm) => norm::row_norm(*norm, x, rows, layer(1), self.rounding_of(node, around)),
            Op::Flatten(flatten) if flatten.by_place => vec![x.to_vec()],
            Op::Flatten(flatten) => vec![flattened(x, flatten.image)],
            Op::Embed(_) | Op::Tied(_) | Op::Embedding(_) | Op::Positions(_) | Op::Attention(_) => {
                self.of_tokens(node, x, layer)
            }
            Op::Activate(of) => vec![x.iter().map(|&z| (self.activate)(of.0, z)).collect()],
            Op::Dropout(of) => vec![self.dropped(x, channels, *of)],
            Op::Add(_) => vec![x.iter().zip(get(node.inputs[1])).map(|(a, b)| a + b).collect()],
            // Logits are made of none of these.
            Op::Source(_)
            | Op::Gather(_)
            | Op::Loss(_)
            | Op::Metrics(_)
            | Op::ConvInput(_)
            | Op::ConvWeights(_)
            | Op::MaxPoolBackward(_)
            | Op::AveragePoolBackward(_)
            | Op::GlobalAveragePoolBackward(_)
            | Op::BatchNormWeights(_)
            | Op::BatchNormInput(_)
            | Op::RowNormWeights(_)
            | Op::RowNormInput(_)
            | Op::EmbedWeights(_)
            | Op::EmbeddingWeights(_)
            | Op::PositionsWeights(_)
            | Op::AttentionInput(_)
            | Op::TiedInput(_)
            | Op::TiedWeights(_)
            | Op::Unflatten(_)
            | Op::LinearInput(_)
            | Op::LinearWeights(_)
            | Op::ActivateBackward(_)
            | Op::DropoutBackward(_)
            | Op::GradientNorm(_)
            | Op::Update(_)
            | Op::Orthogonalize(_) => panic!("{} is no op of a forward pass", node.op),
        }
    }

    /// Rows of this many units, of which some drop out.
    fn dropped(&self, x: &[f64], units: usize, of: Dropout) -> Vec<f64> {
        let factor = |at: usize| (self.mask)(of.layer, at / units, at % units, units, of.probability);
        x.iter().enumerate().map(|(at, x)| factor(at) * x).collect()
    }

    /// What comes out of a node of a network of tokens, or of categories. `layer` gives the parameter that is an input.
    fn of_tokens<'l>(&self, node: &Node, x: &[f64], layer: impl Fn(usize) -> &'l Layer) -> Vec<Vec<f64>> {
        let channels = self.graph.shape(node.inputs[0]).last().map_or(1, |&last| last as usize);
        match &node.op {
            Op::Embed(embed) => {
                let tables: Vec<&Layer> = (1..node.inputs.len()).map(layer).collect();
                vec![tokens::embed(embed, x, channels, &tables)]
            }
            Op::Tied(_) => vec![tokens::tied(x, channels, layer(1))],
            Op::Embedding(_) => {
                let width = self.graph.shape(node.result())[3] as usize;
                vec![tokens::embedding(x, width, layer(1))]
            }
            Op::Positions(of) if !of.continues => {
                let places = self.graph.shape(node.result())[2] as usize;
                vec![tokens::positions(x, places, channels, layer(1))]
            }
            Op::Attention(of) if of.continues.is_none() => {
                let [places, width] = [2, 3].map(|at| self.graph.shape(node.result())[at]);
                let factor = |row: usize, column: usize, columns: usize| {
                    (self.mask)(of.number, row, column, columns, of.dropout)
                };
                tokens::attention(*of, x, places as usize, width as usize, &factor)
            }
            // A step that continues a sequence is judged by the whole sequence.
            op => panic!("{op} is no op of whole rows of tokens"),
        }
    }
}

fn no_parameter(node: &Node) -> usize {
    panic!("{} reads no parameter where it needs one", node.op)
}

/// The number of elements of this shape.
fn elements(shape: &[u32]) -> usize {
    shape.iter().product::<u32>() as usize
}

/// Images as rows, channel by channel: `torch.nn.Flatten` of images with their channels first.
fn flattened(x: &[f64], Image { height, width, channels }: Image) -> Vec<f64> {
    let (pixels, channels) = ((height * width) as usize, channels as usize);
    let of_image = |image: &[f64]| -> Vec<f64> {
        (0..channels * pixels).map(|at| image[at % pixels * channels + at / pixels]).collect()
    };
    x.chunks_exact(pixels * channels).flat_map(of_image).collect()
}
