//! What each layer is, makes and takes: a summary for people.

use serde_json::{Map, Value as Json};

use super::{ConvLayer, Form, Layer, LayerKind, Located, Network, Padding, words};
use crate::activation::Activation;

/// A layer in a summary. Its weights and its work are its own: those of layers within it are in lines of their own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    /// Its name in files.
    pub name: String,
    /// Where it is, as errors name it.
    pub location: String,
    /// How many layers it is within.
    pub depth: usize,
    /// The word that begins it in a list of layers.
    pub kind: &'static str,
    /// Its word with its options, as "conv 32, kernel 3, padding same, relu".
    pub words: String,
    pub activation: Activation,
    pub dropout: f64,
    /// What goes in and out, of one sample.
    pub input: Form,
    pub output: Form,
    /// Its own weights and biases, running statistics left out.
    pub weights: usize,
    /// Running statistics.
    pub statistics: usize,
    /// Floating-point operations of the forward pass, of one sample.
    pub flops: u64,
    /// Bytes that its weights and running statistics take in device memory, with what pads them.
    pub weight_bytes: u64,
}

impl Summary {
    /// Its location without that of the layer which it is within: "body, layer 1" for "layer 2's body, layer 1".
    pub fn short(&self) -> &str {
        self.location.rsplit_once("'s ").map_or(&self.location, |(_, own)| own)
    }
}

impl Network {
    /// A line for each layer, each before those within it. The network has passed its [`check`](Self::check).
    pub(crate) fn summary(&self) -> Vec<Summary> {
        let (graph, _) = self.forward(1, false);
        let mut flops = vec![0; graph.layers().len()];
        for (id, node) in graph.nodes() {
            if let Some(layer) = graph.layer(id) {
                flops[layer] += graph.forward_flops(node);
            }
        }
        let mut lines = vec![];
        self.walk(&mut |located| {
            let count = |is_trained: bool| -> usize {
                located.parameters().filter(|own| own.is_trained() == is_trained).map(|own| own.count()).sum()
            };
            let (weights, statistics) = (count(true), count(false));
            let output = located.layer.output(located.input);
            lines.push(Summary {
                depth: located.location.matches("'s ").count(),
                kind: located.layer.word(),
                words: in_words(located.layer, &[]),
                activation: located.layer.activation(),
                dropout: located.layer.dropout(),
                input: located.input,
                output,
                weights,
                statistics,
                flops: flops[lines.len()],
                weight_bytes: located.parameters().map(|own| own.dense(1).weights_bytes()).sum(),
                name: located.name,
                location: located.location,
            });
        });
        lines
    }
}

impl Located<'_> {
    /// Its word with the options on which its outputs depend, as "conv 32, kernel 3, padding same", without its activation and the lists within it.
    pub fn computation(&self) -> String {
        in_words(self.layer, NOT_COMPUTED)
    }

    /// Whether it makes the same outputs of the same inputs and weights as another layer of its kind, before the activation. A padding in other words, as 1 for
    /// the "same" of a kernel of 3, is the same.
    pub fn computes_as(&self, other: &Located<'_>) -> bool {
        let comparable = |located: &Located<'_>| match (located.layer.kind(), located.input) {
            (LayerKind::Conv(conv), Form::Image(image)) => {
                let bare = ConvLayer { padding: Padding::Valid, ..conv.clone() };
                (in_words(&bare.into(), NOT_COMPUTED), conv.pads(image))
            }
            _ => (located.computation(), [0; 4]),
        };
        comparable(self) == comparable(other)
    }
}

/// Options that change no output of a trained layer by themselves, or that are compared apart from the others.
const NOT_COMPUTED: &[&str] = &[words::ACTIVATION, words::DROPOUT, words::INITIALIZER, super::norm::MOMENTUM];

/// The word of a layer and its options, without the lists within it and without those options that are left out.
fn in_words(layer: &Layer, left_out: &[&str]) -> String {
    let list = words::to_json(std::slice::from_ref(layer));
    let none = Map::new();
    let entries = list[0].as_object().unwrap_or(&none);
    let is_list = |value: &Json| value.as_array().is_some_and(|list| list.iter().any(Json::is_object));
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        Json::Array(pair) => pair.iter().map(Json::to_string).collect::<Vec<_>>().join("×"),
        other => other.to_string(),
    };
    let word = layer.word();
    let own = match entries.get(word) {
        Some(value) if !is_list(value) && value != &Json::Bool(true) => format!("{word} {}", text(value)),
        _ => word.to_string(),
    };
    // The activation and the dropout come last, as they do in the layer.
    let last =
        |key: &String| [words::ACTIVATION, words::DROPOUT].iter().position(|word| word == key).map_or(0, |at| at + 1);
    let mut options: Vec<(&String, &Json)> = entries
        .iter()
        .filter(|(key, value)| *key != word && !is_list(value) && !left_out.contains(&key.as_str()))
        .collect();
    options.sort_by_key(|(key, _)| last(key));
    let option = |(key, value): (&String, &Json)| match key.as_str() {
        words::ACTIVATION => text(value),
        _ => format!("{key} {}", text(value)),
    };
    [own].into_iter().chain(options.into_iter().map(option)).collect::<Vec<_>>().join(", ")
}
